"""What a strict client makes of an answer: grammar checkers for streams and whole replies, one pair per protocol.

    STREAMS[name](bytes) -> Told     raises GrammarError where a client program would stumble
    REPLIES[name](bytes) -> Told

The rules are those of the official SDKs and of Claude Code, and stricter where those are lenient: event names, dense
indices, one open block, ids said once, a terminator or an error and never both.
A third protocol joins by adding its two checkers to the tables at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import Struct

Json = dict[str, Any]


class GrammarError(AssertionError):
    """A client of the protocol could not read this."""


class Told(Struct):
    """What the client knows when the answer is over; stops in the dialog's words, usage inclusive.

    tools: (name, arguments) of every call; error: the message of an in-stream error, None = a complete answer
    """

    text: str = ""
    thinking: str = ""
    tools: list[tuple[str, Json]] = []
    stop: str | None = None
    refusal: str = ""
    usage: dict[str, int] | None = None
    model: str = ""
    error: str | None = None


def require(condition: object, complaint: str, at: object = "") -> None:
    """Raises GrammarError unless the condition holds."""
    if not condition:
        raise GrammarError(f"{complaint}: {at!r}" if at != "" else complaint)


def records(stream: bytes) -> list[tuple[str, str]]:
    """(event, data) of every SSE record, read as the SDKs do; comments are skipped, anything odd is refused."""
    require(stream == b"" or stream.endswith(b"\n\n"), "the stream ends inside a record", stream[-40:])
    found = []
    for record in stream.decode("utf-8").split("\n\n")[:-1]:
        event, data = "", []
        for line in record.split("\n"):
            field, colon, value = line.partition(":")
            require(colon and field in ("", "event", "data"), "an unknown line", line)
            if field == "event":
                require(not event, "two event names in one record", record)
                event = value.removeprefix(" ")
            elif field == "data":
                data.append(value.removeprefix(" "))
        if data:
            found.append((event, "\n".join(data)))
        else:
            require(not event, "an event without data", record)
    return found


def arguments_of(text: str, *, cut: bool = False) -> Json:
    """Arguments of a tool call, which must be a JSON object; cut: the length ended the answer, perhaps inside them."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        require(cut, "tool arguments are no JSON", text)
        return {}
    require(isinstance(value, dict), "tool arguments are no object", text)
    return dict(value)


_ANTHROPIC_STOPS = {
    "end_turn": "end",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool",
    "pause_turn": "pause",
    "refusal": "refusal",
}
_ANTHROPIC_ERRORS = {
    f"{kind}_error"
    for kind in (
        "invalid_request",
        "authentication",
        "billing",
        "permission",
        "not_found",
        "rate_limit",
        "timeout",
        "api",
        "overloaded",
        "conflict",
    )
}


class AnthropicStream:
    """message_start (ping | block)* message_delta+ message_stop | … error; blocks one after the other from index 0."""

    def __init__(self) -> None:
        self.told = Told()
        self.usage: Json = {}
        self.block: Json | None = None
        self.kind = ""
        self.text = ""
        self.sealed = False
        self.blocks = 0
        self.state = "new"

    def take(self, event: str, body: Json) -> None:
        """One record; raises GrammarError where it must not stand."""
        require(event == body.get("type"), "the event name is not the type", (event, body))
        require(self.state not in ("stopped", "failed"), "a record after the end", body)
        if event == "error":
            return self.fail(body)
        if event == "ping":
            return None
        if event != "message_start":
            require(self.state != "new", "a record before message_start", body)
        steps: dict[str, Callable[[Json], None]] = {
            "message_start": self.start,
            "content_block_start": self.open,
            "content_block_delta": self.more,
            "content_block_stop": self.close,
            "message_delta": self.settle,
            "message_stop": self.stop,
        }
        require(event in steps, "an unknown event", event)
        return steps[event](body)

    def start(self, body: Json) -> None:
        require(self.state == "new", "a second message_start", body)
        self.state = "open"
        message = body["message"]
        require(message["id"].startswith("msg_"), "an id that is none", message)
        require((message["type"], message["role"]) == ("message", "assistant"), "no assistant message", message)
        require(message["content"] == [], "content in message_start", message)
        require("stop_reason" in message and message["stop_reason"] is None, "a stop reason at the start", message)
        require(
            "stop_sequence" in message and message["stop_sequence"] is None, "a stop sequence at the start", message
        )
        for count in ("input_tokens", "output_tokens"):
            require(isinstance(message["usage"].get(count), int), f"no usage.{count}", message)
        self.told.model = message["model"]
        self.usage |= {name: value for name, value in message["usage"].items() if value is not None}

    def open(self, body: Json) -> None:
        require(self.state == "open" and self.block is None, "a block inside another or after message_delta", body)
        require(body["index"] == self.blocks, "an index with a gap", body)
        block = body["content_block"]
        self.kind, self.text, self.sealed = block["type"], "", False
        match self.kind:
            case "text":
                require(block["text"] == "", "text in content_block_start", body)
            case "thinking":
                require((block["thinking"], block["signature"]) == ("", ""), "thinking in content_block_start", body)
            case "redacted_thinking":
                require(block["data"], "redacted thinking without data", body)
            case "tool_use":
                require(block["id"].replace("_", "a").replace("-", "a").isalnum(), "a tool id of odd letters", body)
                require(block["name"] and block["input"] == {}, "a tool without name or with input", body)
            case _:
                raise GrammarError(f"an unknown block: {body}")
        self.block = block

    def more(self, body: Json) -> None:
        require(self.block is not None and body["index"] == self.blocks, "a delta for a block that is not open", body)
        delta = body["delta"]
        fits = {
            "text_delta": ("text", "text"),
            "thinking_delta": ("thinking", "thinking"),
            "signature_delta": ("thinking", "signature"),
            "input_json_delta": ("tool_use", "partial_json"),
        }
        require(delta["type"] in fits, "an unknown delta", body)
        kind, field = fits[delta["type"]]
        require(kind == self.kind, "a delta of another kind than its block", body)
        require(not self.sealed, "a delta after the signature", body)
        require(isinstance(delta[field], str), "a delta without text", body)
        if field == "signature":
            self.sealed = True
        else:
            self.text += delta[field]

    def close(self, body: Json) -> None:
        require(self.block is not None and body["index"] == self.blocks, "a stop for a block that is not open", body)
        assert self.block is not None
        if self.kind == "text":
            self.told.text += self.text
        elif self.kind == "thinking":
            self.told.thinking += self.text
        elif self.kind == "tool_use":
            self.told.tools.append((self.block["name"], arguments_of(self.text or "{}")))
        self.block = None
        self.blocks += 1

    def settle(self, body: Json) -> None:
        require(self.block is None, "message_delta inside a block", body)
        self.state = "settled"
        require(isinstance(body["usage"]["output_tokens"], int), "message_delta without output_tokens", body)
        self.usage |= {name: value for name, value in body["usage"].items() if value is not None}
        delta = body["delta"]
        if delta.get("stop_reason") is not None:
            self.told.stop = _ANTHROPIC_STOPS[delta["stop_reason"]]
        self.told.refusal = (delta.get("stop_details") or {}).get("explanation") or ""

    def stop(self, body: Json) -> None:
        require(self.state == "settled" and self.told.stop, "message_stop without a stop reason", body)
        self.state = "stopped"

    def fail(self, body: Json) -> None:
        self.state = "failed"
        require(body["error"]["type"] in _ANTHROPIC_ERRORS, "an error type that no client knows", body)
        require(body["error"]["message"], "an error without a message", body)
        self.told.error = body["error"]["message"]


def anthropic_stream(stream: bytes) -> Told:
    """What a client is told by an Anthropic stream."""
    reading = AnthropicStream()
    for event, data in records(stream):
        require(event, "a record without an event name", data)
        reading.take(event, json.loads(data))
    require(reading.state in ("stopped", "failed"), "the stream is cut", stream[-80:])
    if reading.state == "stopped":
        reading.told.usage = _anthropic_usage(reading.usage)
    return reading.told


def anthropic_reply(body: bytes) -> Told:
    """What a client is told by an Anthropic message."""
    message = json.loads(body)
    require((message["type"], message["role"]) == ("message", "assistant"), "no assistant message", message)
    require(message["id"].startswith("msg_"), "an id that is none", message)
    require("stop_sequence" in message, "no stop_sequence", message)
    told = Told(model=message["model"], stop=_ANTHROPIC_STOPS[message["stop_reason"]])
    for block in message["content"]:
        match block["type"]:
            case "text":
                told.text += block["text"]
            case "thinking":
                require(isinstance(block["signature"], str), "thinking without signature", block)
                told.thinking += block["thinking"]
            case "redacted_thinking":
                require(block["data"], "redacted thinking without data", block)
            case "tool_use":
                require(block["id"] and isinstance(block["input"], dict), "a tool without id or input", block)
                told.tools.append((block["name"], block["input"]))
            case _:
                raise GrammarError(f"an unknown block: {block}")
    told.refusal = (message.get("stop_details") or {}).get("explanation") or ""
    told.usage = _anthropic_usage(message["usage"])
    return told


def _anthropic_usage(usage: Json) -> dict[str, int]:
    cached, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    return {
        "input": usage["input_tokens"] + cached + written,
        "output": usage["output_tokens"],
        "cached": cached,
        "cache_write": written,
    }


_CHAT_STOPS = {"stop": "end", "length": "length", "tool_calls": "tool", "content_filter": "refusal"}


class ChatStream:
    """chunk* [DONE] | … error; the role first, tool indices dense, id and name once, one finish, usage last."""

    def __init__(self) -> None:
        self.told = Told()
        self.calls: list[Json] = []
        self.first: Json | None = None
        self.finished = False
        self.counted = False

    def take(self, chunk: Json) -> None:
        """One chunk; raises GrammarError where it must not stand."""
        require(self.told.error is None, "a chunk after the error", chunk)
        if chunk.get("error"):
            error = chunk["error"]
            require(isinstance(error["message"], str) and error["message"], "an error without a message", chunk)
            require({"type", "code", "param"} <= error.keys(), "an error without its fields", chunk)
            self.told.error = error["message"]
            return
        require(chunk["object"] == "chat.completion.chunk", "no chunk", chunk)
        require(isinstance(chunk["created"], int) and chunk["id"], "a chunk without id or created", chunk)
        require(not self.counted, "a chunk after the usage", chunk)
        if self.first is None:
            self.first = chunk
            self.told.model = chunk["model"]
            require(chunk["choices"][0]["delta"].get("role") == "assistant", "no role in the first chunk", chunk)
        for field in ("id", "model", "created"):
            require(chunk[field] == self.first[field], f"another {field} than before", chunk)
        if not chunk["choices"]:
            require(self.finished and chunk.get("usage"), "a chunk of nothing", chunk)
            self.told.usage = _chat_usage(chunk["usage"])
            self.counted = True
            return
        require(chunk.get("usage") is None, "usage beside a choice", chunk)
        (choice,) = chunk["choices"]
        require(choice["index"] == 0 and "finish_reason" in choice, "a choice without its fields", chunk)
        self.more(choice["delta"], chunk)
        if choice["finish_reason"] is not None:
            self.told.stop = _CHAT_STOPS[choice["finish_reason"]]
            self.finished = True

    def more(self, delta: Json, chunk: Json) -> None:
        require(not (self.finished and delta), "a delta after the finish", chunk)
        require("role" not in delta or chunk is self.first, "the role again", chunk)
        self.told.text += delta.get("content") or ""
        self.told.thinking += delta.get("reasoning_content") or ""
        self.told.refusal += delta.get("refusal") or ""
        for call in delta.get("tool_calls") or []:
            index = call["index"]
            require(isinstance(index, int), "a tool call without index", chunk)
            function = call["function"]
            if index == len(self.calls):
                require(call["id"] and call["type"] == "function" and function["name"], "a tool without a name", chunk)
                self.calls.append({"id": call["id"], "name": function["name"], "text": ""})
            else:
                require(index < len(self.calls), "a tool index with a gap", chunk)
                require(not call.get("id") and not function.get("name"), "id or name said twice", chunk)
            self.calls[index]["text"] += function.get("arguments") or ""


def chat_stream(stream: bytes) -> Told:
    """What a client is told by a Chat Completions stream."""
    reading, done = ChatStream(), False
    for event, data in records(stream):
        require(not event, "a chunk with an event name", event)
        require(not done, "a record after [DONE]", data)
        if data == "[DONE]":
            done = True
        else:
            reading.take(json.loads(data))
    if reading.told.error is not None:
        require(not done, "[DONE] after an error")
    else:
        require(done and reading.finished, "the stream is cut", stream[-80:])
        ids = [call["id"] for call in reading.calls]
        require(len(set(ids)) == len(ids), "two calls with one id", ids)
        cut = reading.told.stop == "length"
        reading.told.tools = [(call["name"], arguments_of(call["text"], cut=cut)) for call in reading.calls]
    return reading.told


def chat_reply(body: bytes) -> Told:
    """What a client is told by a chat completion."""
    reply = json.loads(body)
    require(reply["object"] == "chat.completion" and reply["id"], "no completion", reply)
    require(isinstance(reply["created"], int), "no created", reply)
    (choice,) = reply["choices"]
    message = choice["message"]
    require(message["role"] == "assistant" and "content" in message, "no assistant message", message)
    told = Told(model=reply["model"], stop=_CHAT_STOPS[choice["finish_reason"]])
    told.text = message["content"] or ""
    told.thinking = message.get("reasoning_content") or ""
    told.refusal = message.get("refusal") or ""
    for call in message.get("tool_calls") or []:
        require(call["id"] and call["type"] == "function", "a tool call without id", call)
        told.tools.append((call["function"]["name"], arguments_of(call["function"]["arguments"])))
    if reply.get("usage") is not None:
        told.usage = _chat_usage(reply["usage"])
    return told


def _chat_usage(usage: Json) -> dict[str, int]:
    require(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], "a wrong total", usage)
    details = usage.get("prompt_tokens_details") or {}
    return {
        "input": usage["prompt_tokens"],
        "output": usage["completion_tokens"],
        "cached": details.get("cached_tokens") or 0,
        "cache_write": details.get("cache_write_tokens") or 0,
    }


STREAMS: dict[str, Callable[[bytes], Told]] = {"anthropic": anthropic_stream, "openai": chat_stream}
REPLIES: dict[str, Callable[[bytes], Told]] = {"anthropic": anthropic_reply, "openai": chat_reply}

STOPS: dict[str, dict[str, str]] = {
    "anthropic": {},
    "openai": {"sequence": "end", "context": "length", "pause": "end"},
}
"""Stops that a protocol cannot tell apart: the dialog's word -> the one its clients see."""

ENDINGS: dict[str, bytes] = {"anthropic": rb'"message_stop"', "openai": rb'"finish_reason":"[a-z]'}
"""Pattern of the record after which an upstream's answer is complete."""
