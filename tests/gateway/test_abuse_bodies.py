"""Bodies that no honest client sends: whatever they hold, the answer is a 400 with its reason, and the worker lives."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmux.protocols.nesting import MAX_DEPTH, MAX_VALUES, crowded, too_deep
from tests.gateway import abuse_bodies
from tests.gateway.abuse_given import CHAT, MESSAGES, Gate, entered, packed

POSTS = {
    "/v1/messages": ("anthropic", MESSAGES),
    "/v1/messages/count_tokens": ("anthropic", MESSAGES),
    "/v1/chat/completions": ("openai", CHAT),
    "/v1/route/explain": ("openai", CHAT),
}
UPSTREAMS = ("gpt", "claude")


class Fixed:
    """A running application that synchronous tests can ask."""

    def __init__(self, runner: asyncio.Runner, gate: Gate) -> None:
        self.runner = runner
        self.gate = gate

    def post(self, path: str, body: bytes) -> Any:
        """One answer."""
        return self.runner.run(self.gate.ask("POST", path, body=body, query="body=1"))


@pytest.fixture(scope="module")
def fixed() -> Iterator[Fixed]:
    with asyncio.Runner() as runner:
        holding, gate, leave = runner.run(held())
        yield Fixed(runner, gate)
        leave.set()
        runner.run(asyncio.wait_for(holding, 10))


async def held() -> tuple[asyncio.Task[None], Gate, asyncio.Event]:
    """The application, entered and left by one task that runs until the event is set."""
    leave, ready = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def hold() -> None:
        async with entered() as gate:
            ready.set_result(gate)
            await leave.wait()

    return (asyncio.create_task(hold()), await ready, leave)


def alive(fixed: Fixed) -> bool:
    """Whether honest requests are still answered, by both upstreams."""
    models = [fixed.post("/v1/messages", packed(MESSAGES | {"model": model})) for model in UPSTREAMS]
    return all(answer.status == 200 for answer in models)


GARBAGE = {
    "nothing": b"",
    "blanks": b"  \r\n ",
    "no JSON": b"hello",
    "a form": b"model=gpt&messages=x",
    "XML": b"<?xml version='1.0'?><a/>",
    "null": b"null",
    "a list": b"[]",
    "a string": b'"x"',
    "a number": b"1",
    "half": b'{"model":"gpt"',
    "two": b'{"model":"gpt"}{"model":"gpt"}',
    "trailing": b'{"model":"gpt"} x',
    "a comment": b'{"model":"gpt"/*x*/}',
    "single quotes": b"{'model':'gpt'}",
    "NaN": b'{"model":"gpt","temperature":NaN}',
    "Infinity": b'{"model":"gpt","temperature":-Infinity}',
    "NUL": b'{"model":"gpt\0"}',
    "NUL after": b'{"model":"gpt"}\0',
    "BOM": b'\xef\xbb\xbf{"model":"gpt"}',
    "UTF-16": json.dumps(CHAT).encode("utf-16"),
    "UTF-32": json.dumps(CHAT).encode("utf-32"),
    "Latin-1": '{"model":"é"}'.encode("latin-1"),
    "gzip unsaid": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "a wrong escape": b'{"model":"\\x"}',
    "a number key": b'{1:"gpt"}',
    "zeros first": b'{"model":"gpt","n":01}',
}


@pytest.mark.parametrize("path", POSTS)
def test_what_is_no_json_object_is_a_400_in_the_words_of_the_path(fixed: Fixed, path: str) -> None:
    for name, body in GARBAGE.items():
        answer = fixed.post(path, body)
        assert (answer.status, answer.dialect()) == (400, POSTS[path][0]), name
    assert alive(fixed)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b'"\\ud83d"', "half a surrogate pair"),
        (b'"cut \\ud83d in two"', "half a surrogate pair"),
        (b'"\\ude00\\ud83d"', "half a surrogate pair"),
        (b'"\xff"', "not valid UTF-8"),
        (b'"\xed\xa0\x80"', "not valid UTF-8"),
        (b'"\xc0\xaf"', "not valid UTF-8"),
        (b"NaN", "not valid JSON"),
    ],
)
@pytest.mark.parametrize("where", [b'"metadata":{"unread":[[@]]}', b'"messages":[{"role":"user","content":@}]'])
def test_what_is_no_text_is_refused_where_nobody_reads_it_too(
    fixed: Fixed, upstream: str, path: str, value: bytes, said: str, where: bytes
) -> None:
    extra = b',"messages":[{"role":"user","content":"x"}]' if b"messages" not in where else b""
    body = b'{"model":"%s","max_tokens":8%s,%s}' % (upstream.encode(), extra, where.replace(b"@", value))
    answer = fixed.post(path, body)
    assert answer.status == 400
    assert said in answer.json["error"]["message"]
    assert "(byte " in answer.json["error"]["message"]


@pytest.mark.parametrize("path", POSTS)
def test_numbers_beyond_64_bits_pass_where_nobody_reads_them_and_are_named_where_somebody_does(
    fixed: Fixed, path: str
) -> None:
    base = POSTS[path][1]
    unread = packed(base)[:-1] + b',"metadata":{"n":123456789012345678901234567890}}'
    assert fixed.post(path, unread).status in (200, 400)
    for field in (b"max_tokens", b"temperature", b"top_p"):
        spoiled = packed({key: value for key, value in base.items() if key != "max_tokens"})
        answer = fixed.post(path, spoiled[:-1] + b',"%s":%s}' % (field, b"9" * 400))
        assert answer.status in (200, 400), field


@pytest.mark.parametrize("path", POSTS)
def test_128_levels_are_taken_and_129_are_not(fixed: Fixed, path: str) -> None:
    """A level is the body itself; what nobody reads is counted as well."""
    base = packed(POSTS[path][1])[:-1]
    for levels, status in ((128, 200), (129, 400), (5_000, 400), (100_000, 400), (2_000_000, 400)):
        body = base + b',"unread":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"
        started = time.perf_counter()
        answer = fixed.post(path, body)
        assert answer.status == status, levels
        assert time.perf_counter() - started < 1
    objects = base + b',"unread":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}"
    assert fixed.post(path, objects).status == 400
    assert alive(fixed)


def test_levels_hidden_behind_strings_end_no_worker(fixed: Fixed) -> None:
    for path, (_, base) in POSTS.items():
        for levels in (200, 600, 900, 950, 980, 5_000):
            hidden = b'["]",' * levels + b"1" + b"]" * levels
            for where in (b'"unread":', b'"tools":', b'"metadata":', b'"tool_choice":'):
                assert fixed.post(path, packed(base)[:-1] + b"," + where + hidden + b"}").status in (200, 400)
    assert alive(fixed)


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_json_inside_strings_may_be_as_deep_as_it_likes(fixed: Fixed, upstream: str) -> None:
    for arguments in ("[" * 100_000, '{"a":' * 50_000, "[" * 900 + "]" * 900, '"\\ud800"', "NaN", "1e999", "9" * 5_000):
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
        turns = [*CHAT["messages"], {"role": "assistant", "tool_calls": [call]}]  # type: ignore[misc]
        answered = {"role": "tool", "tool_call_id": "c", "content": arguments}
        body = CHAT | {"model": upstream, "messages": [*turns, answered]}
        assert fixed.post("/v1/chat/completions", packed(body)).status in (200, 400)


@pytest.mark.parametrize("path", POSTS)
def test_more_than_ten_thousand_messages_are_refused(fixed: Fixed, path: str) -> None:
    for count, status in ((10_000, 200), (10_001, 400), (200_000, 400)):
        turns = [{"role": "user", "content": "a"}] * count
        answer = fixed.post(path, packed(POSTS[path][1] | {"messages": turns}))
        assert answer.status == status, answer.body[:200]
        if status == 400:
            assert "messages" in answer.json["error"]["message"] or "values" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":"' + b"[" * 300 + rb"\"" * 1_000_000,
        b'{"a":[' + b",".join([b"[" * 120 + b"]" * 120] * 8_000) + b"]}",
        b'{"a":[' + b'"[",' * 1_000_000 + b"1]}",
        b'{"a":[' + b"{}," * 1_000_000 + b"1]}",
        b'{"a":' + b'["]",' * 300_000 + b"1" + b"]" * 300_000 + b"}",
        b'{"a":"' + b"\\" * 2_000_001,
        b'"' * 2_000_001 + b"[" * 200,
    ],
    ids=["open string", "combs", "brackets in strings", "objects", "hidden", "backslashes", "quotes"],
)
def test_no_body_makes_the_look_at_its_shape_slow(data: bytes) -> None:
    started = time.perf_counter()
    crowded(data)
    too_deep(data[:500_000])
    assert time.perf_counter() - started < 1.5


def test_values_are_counted_outside_strings() -> None:
    assert not crowded(b'{"a":"' + b"1,2," * MAX_VALUES + b'"}')
    assert not crowded(b'{"a":"' + rb"\",\"," * MAX_VALUES + b'"}')
    assert crowded(b'{"a":[' + b"1," * MAX_VALUES + b"1]}")
    assert not too_deep(b'{"a":"' + b"[" * 1000 + b'"}')
    assert too_deep(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}")


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", abuse_bodies.MESSAGES),
        ("/v1/messages/count_tokens", abuse_bodies.MESSAGES),
        ("/v1/chat/completions", abuse_bodies.CHAT),
        ("/v1/route/explain", abuse_bodies.CHAT),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_one_wrong_value_anywhere_never_makes_a_5xx(
    fixed: Fixed, path: str, body: dict[str, Any], upstream: str, stream: bool
) -> None:
    cases = list(abuse_bodies.spoiled(body | {"model": upstream, "stream": stream}))
    told: Counter[int] = Counter()
    for name, spoiled in random.Random(7).sample(cases, 120):
        answer = fixed.post(path, spoiled)
        told[answer.status] += 1
        assert answer.status in (200, 400, 404), f"{name}: {answer.status} {answer.body[:300]!r}"
        if answer.status != 200:
            assert answer.dialect() == POSTS[path][0], name
    assert told[400] > 10, told
    assert alive(fixed)


WORDS = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "user",
        "assistant",
        "tool",
        "image_url",
        "url",
        "source",
        "id",
        "name",
        "input",
        "arguments",
        "function",
        "tool_calls",
        "tool_use_id",
        "thinking",
        "data",
        "base64",
        "enabled",
        "stream",
        "gpt",
    ]
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text() | WORDS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(), inner, max_size=5)
)
KEYS = st.sampled_from(sorted({*abuse_bodies.MESSAGES, *abuse_bodies.CHAT} - {"model"}))


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("path", POSTS)
def test_any_json_under_any_key_is_answered_or_refused(fixed: Fixed, path: str, upstream: str) -> None:
    base = POSTS[path][1]

    @settings(max_examples=30, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(KEYS, JSON, min_size=1, max_size=4), st.booleans())
    def ask(fields: dict[str, Any], keep: bool) -> None:
        body = (base if keep else {}) | fields | {"model": upstream}
        answer = fixed.post(path, json.dumps(body).encode())
        assert answer.status in (200, 400, 404), answer.body[:300]

    ask()
    assert alive(fixed)


@pytest.mark.parametrize("path", POSTS)
def test_any_bytes_are_refused(fixed: Fixed, path: str) -> None:
    @settings(max_examples=30)
    @given(st.binary(max_size=200) | st.text().map(str.encode))
    def ask(data: bytes) -> None:
        assert fixed.post(path, data).status == 400

    ask()


def test_a_key_that_comes_twice_counts_once_for_us_and_for_the_upstream(fixed: Fixed) -> None:
    fixed.gate.provider.requests.clear()
    body = b'{"model":"nobody","model":"gpt","max_tokens":8,"messages":[{"role":"user","content":"x"}]}'
    assert fixed.post("/v1/chat/completions", body).status == 200
    assert fixed.gate.provider.requests[-1].body.count(b'"model"') == 1
