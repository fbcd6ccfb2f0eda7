"""Rewrites that try to reach what is not theirs are refused when the configuration is read, not when somebody calls."""

from __future__ import annotations

import msgspec
import pytest

from llmux.config.faults import ConfigErrors
from llmux.config.load import load_text
from tests.gateway.abuse_given import CHAT, MESSAGES, OPEN, entered, packed

REFUSED = {
    'key_delete = "messages"': "conversation",
    'key_delete = ["messages.0.content"]': "conversation",
    'key_delete = ["tools"]': "the client's",
    'key_delete = ["a..b"]': "empty step",
    'key_delete = [""]': "empty step",
    "key_delete = [1]": "not a string",
    "key_add = { stream = true }": "the client decides",
    'key_add = { model = "other" }': "decides it",
    'key_add = { "system.x" = 1 }': "conversation",
    "key_add = { a = inf }": "cannot be written as JSON",
    "key_add = { a = 1979-05-27 }": "cannot be written as JSON",
    "key_add = { a = { b = [99999999999999999999] } }": "cannot be written as JSON",
    'key_rename = { a = "a" }': "renamed to itself",
    'key_rename = { a = "c", b = "c" }': "both renamed",
    'key_rename = { a = "b", b = "a" }': "renamed itself",
    'key_rename = { a = "messages" }': "conversation",
    'key_rename = { stream = "a" }': "the client decides",
    'key_rename = { a = "a.b" }': "inside one another",
    "key_rename = { a = 1 }": "not a string",
    'key_rename = "a"': "not a table",
}


@pytest.mark.parametrize(("line", "said"), REFUSED.items())
def test_it_is_an_error_that_names_its_line(line: str, said: str) -> None:
    text = f"{OPEN}{line}\n".replace("{mock}", "http://127.0.0.1:9")
    with pytest.raises(ConfigErrors) as raised:
        load_text(text)
    assert said in str(raised.value)
    assert f":{text.count(chr(10))}: backend.{line.split()[0]}" in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        'key_rename = { __class__ = "__proto__" }\nkey_add = { __class__ = 1 }\nkey_delete = "__dict__"',
        'key_add = { "metadata.a.b.c" = 1, "stop.x" = 1, "temperature.x" = 1 }',
        'key_rename = { "metadata.a" = "top_p", temperature = "metadata.deep.er" }',
        'key_add = { "a\\r\\nx-injected: 1" = "b\\r\\nx-injected: 1" }',
        f'key_add = {{ "{"a." * 120}a" = 1 }}',
        'key_delete = ["max_tokens", "absent", "metadata.user_id"]',
    ],
)
async def test_odd_names_are_names(line: str) -> None:
    changes = [
        {},
        {"metadata": "x"},
        {"metadata": {"a": {"b": []}}},
        {"__class__": {}, "temperature": 0.5},
        {"a": None},
    ]
    async with entered(f"{OPEN}{line}\n") as gate:
        for change in changes:
            for path, body in (("/v1/messages", MESSAGES), ("/v1/chat/completions", CHAT)):
                answer = await gate.ask("POST", path, body=packed(body | {"model": "claude"} | change))
                assert answer.status in (200, 400), answer.body[:200]
                assert b"internal" not in answer.body
        for one in gate.provider.requests:
            sent = msgspec.json.decode(one.body)
            assert (sent["model"], len(sent["messages"])) == ("claude", 1)
            assert not [name for name, _ in one.headers if "injected" in name]
