"""Valid requests with everything in them, and the ways in which a valid request is spoiled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

MESSAGES: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 64,
    "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PIXEL}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "title": "t"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "a tool may know", "signature": "c2ln"},
                {"type": "text", "text": "let me see"},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"where": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a dot"}]},
            ],
        },
    ],
    "tools": [{"name": "look", "description": "looks", "input_schema": {"type": "object", "properties": {}}}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 32},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "top_k": 4,
    "top_p": 0.9,
    "stream": False,
    "output_config": {"effort": "low"},
    "service_tier": "auto",
}

CHAT: dict[str, Any] = {
    "model": "gpt",
    "max_completion_tokens": 64,
    "messages": [
        {"role": "system", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PIXEL}", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "a tool may know",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"where":1}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a dot"},
        {"role": "user", "content": "go on"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}, "strict": True}},
        {"type": "custom", "custom": {"name": "say", "format": {"type": "text"}}},
    ],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "parallel_tool_calls": True,
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "stop": ["END"],
    "temperature": 1,
    "n": 1,
    "seed": 1,
    "logit_bias": {"1": 1},
    "user": "u",
    "metadata": {"a": "b"},
    "stream": False,
    "stream_options": {"include_usage": True},
    "prediction": {"type": "content", "content": "x"},
    "functions": [{"name": "find", "parameters": {}}],
    "function_call": "auto",
}

STRANGE: list[Any] = [
    None, True, 0, -1, 2**63, 2**64, -(10**30), 1e308, "", "x", "\0", "\u2028", "a\r\nx-injected: 1", "\x1b[31m",
    [], [None], [[]], [1], {}, {"": None}, {"type": None}, {"type": "x"}, [{"type": "text"}], {"type": "image"},
    {"type": "tool_use"}, [{"type": "tool_result"}], "[" * 60, "null", "NaN", "{", "data:", "data:image/png;base64,",
    "data:image/png;base64,é", "http://169.254.169.254/", "auto", [{"type": "image_url", "image_url": 5}],
    "[" * 500 + "]" * 500, '{"a":' * 20_000, '"\\ud800"', '{"a":1e999}', '{"a":NaN}', "x" * 100_000,
]  # fmt: skip
"""What stands at a place where something else belongs."""


def spoiled(body: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Every request that differs from `body` by one value: deleted, or a strange one in its place. (where, JSON)"""
    for path in _paths(body):
        yield f"{path} deleted", json.dumps(_without(body, path)).encode()
        for value in STRANGE:
            yield f"{path} = {value!r:.60}", json.dumps(_with(body, path, value)).encode()


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    steps = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in steps:
        yield (*path, step)
        yield from _paths(value[step], (*path, step))


def _with(value: Any, path: tuple[Any, ...], strange: Any) -> Any:
    if not path:
        return strange
    copy = value.copy()
    copy[path[0]] = _with(value[path[0]], path[1:], strange)
    return copy


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    copy = value.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _without(value[path[0]], path[1:])
    return copy
