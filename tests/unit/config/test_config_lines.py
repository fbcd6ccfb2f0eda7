"""Every key is found at its line, however the document is written."""

import pytest

from llmux.config.lines import Lines

DOCUMENT = '''\
host = "a"  # = not a key
"quoted key" = 1
text = """
port = 1
""\\""" # still one string
"""
literal = \'\'\'
[x]
\'\'\'
a.b.c = { d = 1, e = [
  2,  # ]
  { f = 3 },
] }

[table."with.dot"]
key = [ [1, 2], [
  3] ]
[[array]]
one = 1
  [array.sub]
  two = 2
  [[array.nested]]
  three = 3
  [[array.nested]]
  three = 4
[[array]]
one = 5
date = 2026-01-01T00:00:00Z
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("host",), 1),
        (("quoted key",), 2),
        (("text",), 3),
        (("literal",), 7),
        (("a", "b", "c"), 10),
        (("a", "b", "c", "d"), 10),
        (("a", "b", "c", "e", 0), 11),
        (("a", "b", "c", "e", 1, "f"), 12),
        (("table", "with.dot"), 15),
        (("table", "with.dot", "key", 1, 0), 17),
        (("array", 0, "one"), 19),
        (("array", 0, "sub", "two"), 21),
        (("array", 0, "nested", 1, "three"), 25),
        (("array", 1), 26),
        (("array", 1, "date"), 28),
    ],
)
def test_a_key_has_its_line(path: tuple[str | int, ...], line: int) -> None:
    assert Lines(DOCUMENT).find(path) == line


def test_a_key_that_is_not_there_has_the_line_of_its_table() -> None:
    assert Lines(DOCUMENT).find(("array", 1, "missing", 3)) == 26


def test_nothing_known_is_line_zero() -> None:
    assert Lines(DOCUMENT).find(("nowhere",)) == 0
    assert Lines().find(("host",)) == 0


def test_windows_line_ends_count_once() -> None:
    assert Lines("a = 1\r\nb = 2\r\n").find(("b",)) == 2
