"""The simulated provider speaking the Ollama API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmux.mock.answer import Answer, ToolCall, pieces
from llmux.mock.ask import Ask, Refused, Tool, size_of
from llmux.mock.wire import Frame, Usage

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_CREATED = "2026-01-01T00:00:00.000000000Z"
"""The first moment of 2026: an answer depends on nothing but its request."""
_ENCODER = msgspec.json.Encoder()


class Ollama:
    """`POST /api/chat`."""

    name = "ollama"
    answers: tuple[str, ...] = ("/api/chat",)
    counts: tuple[str, ...] = ()
    media_type = "application/x-ndjson"
    ping = b"\n"  # there are no pings; a blank line is the nearest thing that a proxy might put in
    malformed = b'{"model":"mock","message":{"role":"assistant","content":"ha\n'

    def key(self, headers: Mapping[str, str]) -> str:
        """The bearer credential."""
        return headers.get("authorization", "").removeprefix("Bearer ")

    def read(self, body: dict[str, Any], headers: Mapping[str, str], *, counting: bool) -> Ask:
        """What a chat request asks for. Raises Refused for one that only loads a model: there is none to load."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "messages: the simulated provider loads no models, ask it something")
        view = _View()
        for place, message in enumerate(messages):
            view.take(message, f"messages[{place}]")
        tools = tuple(map(_tool, body.get("tools") or []))
        options = body.get("options") or {}
        limit = options.get("num_predict")
        stop = options.get("stop") or ()
        return Ask(
            model=body["model"],
            stream=body.get("stream") is not False,
            messages=len(messages),
            images=view.images,
            said=view.said,
            results=tuple(view.results),
            tools=tools,
            thinking=_thinking(body.get("think")),
            schema=_schema(body.get("format")),
            max_tokens=limit if limit is not None and limit > 0 else None,
            stops=(stop,) if isinstance(stop, str) else tuple(stop),
            text_bytes=view.size + (len(_ENCODER.encode(body["tools"])) if tools else 0),
        )

    def reply(self, answer: Answer, usage: Usage) -> dict[str, Any]:
        """A whole answer."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text}
        if answer.thinking:
            message["thinking"] = answer.thinking
        if answer.calls:
            message["tool_calls"] = [_call(call, index) for index, call in enumerate(answer.calls)]
        return _last(answer, usage, message)

    def frames(self, answer: Answer, ask: Ask, usage: Usage, piece: int) -> Sequence[Frame]:
        """The lines of an answer, up to the one that says it is done."""
        return list(_lines(answer, usage, piece))

    def count(self, tokens: int) -> dict[str, Any]:
        """This protocol counts no tokens. Raises Refused."""
        raise Refused(404, "the Ollama API has no token count")

    def error(self, refused: Refused) -> dict[str, Any]:
        """The error body; a context overflow by its words."""
        if refused.about == "context":
            return {"error": "the input length exceeds the context length"}
        return {"error": refused.message}

    def error_frame(self, refused: Refused) -> bytes:
        """An error line."""
        return _ENCODER.encode(self.error(refused)) + b"\n"


class _View:
    """What the messages hold, gathered in one walk."""

    def __init__(self) -> None:
        self.said = ""
        self.results: list[str] = []
        self.images = 0
        self.size = 0

    def take(self, message: Any, place: str) -> None:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise Refused(400, f"invalid {place}.role")
        content = message.get("content") or ""
        if not isinstance(content, str):
            raise Refused(400, f"json: cannot unmarshal {place}.content into Go value of type string")
        self.size += size_of(content) + size_of(message.get("thinking") or "")
        self.images += len(message.get("images") or [])
        for call in message.get("tool_calls") or []:
            if not isinstance(call["function"].get("arguments") or {}, dict):
                raise Refused(400, f"json: cannot unmarshal {place}.tool_calls.function.arguments into Go value")
            self.size += len(_ENCODER.encode(call["function"]))
        if message["role"] == "tool":
            self.results.append(content)
        elif message["role"] == "user" and content:
            self.said, self.results = content, []


def _tool(tool: dict[str, Any]) -> Tool:
    function = tool.get("function")
    if not isinstance(function, dict) or not function.get("name"):
        raise Refused(400, "tools: a function with a name is needed")
    return Tool(function["name"], function.get("parameters") or {})


def _thinking(think: Any) -> bool:
    if not isinstance(think, bool | str | None):
        raise Refused(400, "think must be a boolean or a string")
    return bool(think)


def _schema(form: Any) -> Any:
    if form == "json":
        return {"type": "object", "properties": {"mock": {"type": "string"}}, "required": ["mock"]}
    return form or None


def _call(call: ToolCall, index: int) -> dict[str, Any]:
    arguments = msgspec.json.decode(call.arguments or "{}")
    return {"id": f"call_{call.id}", "function": {"index": index, "name": call.name, "arguments": arguments}}


def _counts(answer: Answer, usage: Usage) -> dict[str, Any]:
    if usage == "none":
        return {}
    known = 0 if usage == "zero" else 1
    return {"prompt_eval_count": answer.input_tokens * known, "eval_count": answer.output_tokens * known}


def _line(answer: Answer, message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": answer.model, "created_at": _CREATED, "message": message, "done": False, **fields}


def _last(answer: Answer, usage: Usage, message: dict[str, Any]) -> dict[str, Any]:
    reason = "length" if answer.stop == "length" else "stop"
    durations = {"total_duration": 4_000_000, "load_duration": 1_000_000}
    durations |= {"prompt_eval_duration": 1_000_000, "eval_duration": 2_000_000}
    return _line(answer, message, **durations, **_counts(answer, usage)) | {"done": True, "done_reason": reason}


def _lines(answer: Answer, usage: Usage, piece: int) -> Iterator[Frame]:
    told = _counts(answer, usage) if usage == "every" else {}

    def line(content: str = "", **spoken: Any) -> Frame:
        message = {"role": "assistant", "content": content, **spoken}
        return Frame(_ENCODER.encode(_line(answer, message, **told)) + b"\n", "content")

    for text in pieces(answer.thinking, piece):
        yield line(thinking=text)
    for text in pieces(answer.text, piece):
        yield line(text)
    for index, call in enumerate(answer.calls):
        yield line(tool_calls=[_call(call, index)])
    last = _last(answer, usage, {"role": "assistant", "content": ""})
    yield Frame(_ENCODER.encode(last) + b"\n", "done")
