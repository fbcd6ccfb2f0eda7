"""What comes again is made once: by its bytes, and by nothing else."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec import Raw

from llmux.errors import LlmuxError
from llmux.protocols import recent
from llmux.protocols.anthropic import PROTOCOL as ANTHROPIC
from llmux.protocols.base import read_body
from llmux.protocols.openai_chat import PROTOCOL as OPENAI
from llmux.protocols.recent import Recent
from llmux.routing.backend import Backend, Quirks


def counted() -> tuple[Recent[list[int]], list[bytes]]:
    made: list[bytes] = []

    def make(raw: Raw) -> list[int]:
        made.append(bytes(raw))
        return msgspec.json.decode(raw, type=list[int])

    return Recent(make), made


def test_equal_bytes_give_the_very_same_value() -> None:
    values, made = counted()
    assert values.of(Raw(b"[1]")) is values.of(Raw(b"[1]"))
    assert values.of(Raw(b"[1]")) is not values.of(Raw(b"[1] "))
    assert made == [b"[1]", b"[1] "]


def test_only_the_last_ones_are_kept() -> None:
    values, made = counted()
    for number in range(recent.MOST + 1):
        values.of(Raw(b"[%d]" % number))
    values.of(Raw(b"[%d]" % recent.MOST))
    values.of(Raw(b"[0]"))
    assert made.count(b"[0]") == 2
    assert len(made) == recent.MOST + 2
    assert len(values._kept) == recent.MOST


def test_large_ones_and_wrong_ones_are_made_each_time() -> None:
    values, made = counted()
    large = Raw(b"[1" + b" " * recent.SIZE + b"]")
    assert values.of(large) == values.of(large) == [1]
    for _ in range(2):
        with pytest.raises(msgspec.ValidationError):
            values.of(Raw(b'["a"]'))
    assert len(made) == 4
    assert not values._kept


def request(**tool: object) -> bytes:
    given = {"name": "read", "description": "Reads.", "input_schema": {"type": "object", "properties": {}}, **tool}
    return json.dumps(
        {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "tools": [given]}
    ).encode()


@pytest.mark.parametrize(
    "tool", [{}, {"strict": True}, {"name": "a name with blanks"}, {"cache_control": {"type": "ephemeral"}}]
)
def test_tools_that_come_again_are_written_for_each_backend_as_it_needs_them(tool: dict[str, object]) -> None:
    plain = Backend(name="a", provider="p", model="m")
    hinted = Backend(name="b", provider="p", model="m", quirks=Quirks(cache_hints="passthrough", strict_tools=True))

    def written(data: bytes, backend: Backend) -> object:
        dialog = ANTHROPIC.read_request(read_body(data), {})
        found = OPENAI.write_request(dialog, backend, None)
        return msgspec.json.decode(found.body["tools"]), found.names

    first = [written(request(**tool), backend) for backend in (plain, hinted)]
    again = [written(request(**tool), backend) for backend in (hinted, plain)]
    assert again == first[::-1]
    [function], _ = first[1]  # type: ignore[misc]
    assert function["function"].get("strict") == tool.get("strict")
    assert function.get("cache_control") == tool.get("cache_control")
    assert "cache_control" not in json.dumps(first[0])


def test_a_tool_without_a_name_is_refused_also_where_it_is_deferred() -> None:
    for tool in ({"name": ""}, {"name": "", "defer_loading": True}):
        with pytest.raises(LlmuxError, match=r"tools\[0\].name: field required"):
            ANTHROPIC.read_request(read_body(request(**tool)), {})


def test_the_schema_of_a_deferred_tool_is_not_looked_at_before_it_is_loaded() -> None:
    deferred = request(defer_loading=True, input_schema="none yet")
    assert ANTHROPIC.read_request(read_body(deferred), {}).tools == ()
    with pytest.raises(LlmuxError, match="input_schema"):
        ANTHROPIC.read_request(read_body(request(input_schema="none yet")), {})
