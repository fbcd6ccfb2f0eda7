"""Requests and answers of both protocols, made from nothing but their sizes: the same bytes on every run.

1k     one question
64k    a coding agent's turn: a system prompt of 12 KB, 20 tools, 30 messages with tool calls and their results
640k   the same conversation, long grown
image  a question about two pictures, 400 KB of base64
"""

from __future__ import annotations

import base64
import functools
import json
import random
from collections.abc import Iterator
from typing import Any

SIZES = {"1k": 1_000, "64k": 64_000, "640k": 640_000, "image": 400_000}
"""Bytes of a request body, within a few percent."""

SMALL = 4_000
"""Bytes up to which a request is one question; a larger one is a coding agent's turn."""

EVENTS = 204
"""Server-sent events in one streamed answer, `[DONE]` included."""

_WORDS = (
    *("the", "gateway", "reads", "a", "request", "once", "and", "passes", "every", "byte", "it", "has", "no", "reason"),
    *("to", "touch", "while", "each", "backend", "says", "what", "can", "do", "so", "that", "first", "one", "fits"),
    *("def", "class", "return", "import", "async", "await", "self", "None", "True", "value"),
)
_TOOLS = 20
_TURNS = 15
_SYSTEM = 12_000


@functools.cache
def request(protocol: str, size: str, model: str, *, stream: bool) -> bytes:
    """The body of a request (`anthropic` or `openai`) in one of SIZES."""
    if size == "image":
        return _json(_with_pictures(protocol, model, stream))
    return sized(protocol, SIZES[size], model, stream=stream)


def sized(protocol: str, size: int, model: str, *, stream: bool) -> bytes:
    """The body of a request of about so many bytes."""
    make = _anthropic if protocol == "anthropic" else _openai
    body = make(model, stream, 0, small=size <= SMALL)
    missing = size - len(_json(body))
    return _json(make(model, stream, max(0, missing), small=size <= SMALL))


@functools.cache
def reply(protocol: str, model: str) -> bytes:
    """A whole answer of about 1.3 KB."""
    text = answer_text()
    if protocol == "anthropic":
        usage = {"input_tokens": 321, "output_tokens": 180, "cache_read_input_tokens": 0}
        content = [{"type": "text", "text": text}]
        head = {"id": "msg_bench", "type": "message", "role": "assistant", "model": model, "content": content}
        return _json({**head, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage})
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    head = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1_700_000_000, "model": model}
    return _json({**head, "choices": [choice], "usage": _openai_usage()})


@functools.cache
def events(protocol: str, model: str, count: int = EVENTS) -> tuple[bytes, ...]:
    """A streamed answer: so many server-sent events, each as its bytes."""
    make = _anthropic_events if protocol == "anthropic" else _openai_events
    return tuple(make(model, deltas(protocol, count)))


@functools.cache
def answer_text() -> str:
    """The words of every whole answer."""
    return _prose(1_000, 7)


def deltas(protocol: str, count: int = EVENTS) -> int:
    """How many pieces of text a streamed answer of so many events holds."""
    return count - (5 if protocol == "anthropic" else 4)


def _anthropic(model: str, stream: bool, padding: int, *, small: bool) -> dict[str, Any]:
    head: dict[str, Any] = {"model": model, "max_tokens": 1024, "stream": stream}
    if small:
        return {**head, "messages": [{"role": "user", "content": "Why is the sky blue? " + _prose(padding, 1)}]}
    messages: list[dict[str, Any]] = []
    for turn, (path, result) in enumerate(_results(padding)):
        call = {"type": "tool_use", "id": f"toolu_{turn:02}", "name": f"tool_{turn % _TOOLS}", "input": {"path": path}}
        said = {"type": "text", "text": _prose(120, turn)}
        back = {"type": "tool_result", "tool_use_id": f"toolu_{turn:02}", "content": result}
        messages += [{"role": "assistant", "content": [said, call]}, {"role": "user", "content": [back]}]
    system = [{"type": "text", "text": _prose(_SYSTEM, 3), "cache_control": {"type": "ephemeral"}}]
    tools = [{"name": name, "description": told, "input_schema": schema} for name, told, schema in _tools()]
    asked = {"role": "user", "content": "Find out why the test fails."}
    return {**head, "system": system, "tools": tools, "messages": [asked, *messages]}


def _openai(model: str, stream: bool, padding: int, *, small: bool) -> dict[str, Any]:
    head: dict[str, Any] = {"model": model, "max_tokens": 1024, "stream": stream}
    if stream:
        head["stream_options"] = {"include_usage": True}
    if small:
        return {**head, "messages": [{"role": "user", "content": "Why is the sky blue? " + _prose(padding, 1)}]}
    messages: list[dict[str, Any]] = [{"role": "system", "content": _prose(_SYSTEM, 3)}]
    messages.append({"role": "user", "content": "Find out why the test fails."})
    for turn, (path, result) in enumerate(_results(padding)):
        function = {"name": f"tool_{turn % _TOOLS}", "arguments": json.dumps({"path": path})}
        call = {"id": f"call_{turn:02}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": _prose(120, turn), "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    tools = [
        {"type": "function", "function": {"name": name, "description": told, "parameters": schema}}
        for name, told, schema in _tools()
    ]
    return {**head, "messages": messages, "tools": tools}


def _with_pictures(protocol: str, model: str, stream: bool) -> dict[str, Any]:
    data = base64.b64encode(random.Random(9).randbytes(SIZES["image"] * 3 // 8)).decode()
    if protocol == "anthropic":
        source = {"type": "base64", "media_type": "image/png", "data": data}
        picture: dict[str, Any] = {"type": "image", "source": source}
    else:
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    content = [{"type": "text", "text": "Which of the two is the older one?"}, picture, picture]
    body = {"model": model, "max_tokens": 1024, "stream": stream}
    return {**body, "messages": [{"role": "user", "content": content}]}


def _tools() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for number in range(_TOOLS):
        path = {"type": "string", "description": _prose(80, number)}
        options = {"type": "object", "properties": {"depth": {"type": "integer"}, "follow": {"type": "boolean"}}}
        schema = {"type": "object", "properties": {"path": path, "options": options}, "required": ["path"]}
        yield f"tool_{number}", _prose(600, 100 + number), schema


def _results(padding: int) -> Iterator[tuple[str, str]]:
    """File names and what reading them gave, `padding` characters of it in all, quotes and line ends included."""
    share = padding // _TURNS
    for turn in range(_TURNS):
        line = f'{turn:4}  return "{_prose(40, turn)}"\n'
        escaped = len(json.dumps(line)) - 2
        yield f"src/part_{turn}.py", line * (share // escaped)


def _openai_events(model: str, words: int) -> Iterator[bytes]:
    def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _openai_event(model, [{"index": 0, "delta": delta, "finish_reason": finish}], None)

    yield event({"role": "assistant", "content": ""})
    for number in range(words):
        yield event({"content": f" {_WORDS[number % len(_WORDS)]}"})
    yield event({}, "stop")
    yield _openai_event(model, [], _openai_usage())
    yield b"data: [DONE]\n\n"


def _openai_event(model: str, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> bytes:
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model}
    return b"data: " + _json({**head, "choices": choices, "usage": usage}) + b"\n\n"


def _openai_usage() -> dict[str, int]:
    return {"prompt_tokens": 321, "completion_tokens": 200, "total_tokens": 521}


def _anthropic_events(model: str, words: int) -> Iterator[bytes]:
    def event(name: str, **fields: Any) -> bytes:
        return f"event: {name}\ndata: ".encode() + _json({"type": name, **fields}) + b"\n\n"

    usage = {"input_tokens": 321, "output_tokens": 1}
    message = {"id": "msg_bench", "type": "message", "role": "assistant", "model": model, "content": []}
    yield event("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": usage})
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for number in range(words):
        delta = {"type": "text_delta", "text": f" {_WORDS[number % len(_WORDS)]}"}
        yield event("content_block_delta", index=0, delta=delta)
    yield event("content_block_stop", index=0)
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield event("message_delta", delta=end, usage={"output_tokens": 200})
    yield event("message_stop")


def _prose(length: int, seed: int) -> str:
    """So many characters of words, of no meaning but of ordinary statistics."""
    words = random.Random(seed).choices(_WORDS, k=length // 4 + 1)
    return " ".join(words)[:length]


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
