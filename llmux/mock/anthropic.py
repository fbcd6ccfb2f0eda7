"""The simulated provider speaking Anthropic Messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmux.mock.answer import Answer, pieces
from llmux.mock.ask import Ask, Refused, Tool, size_of
from llmux.mock.wire import Frame, Mark, Usage

_STOPS = {"end": "end_turn", "length": "max_tokens", "tools": "tool_use", "sequence": "stop_sequence"}
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_SIGNATURE = "bW9jay1zaWduYXR1cmUtb2YtYS1zaW11bGF0ZWQtcHJvdmlkZXI="
_ENCODER = msgspec.json.Encoder()


class Anthropic:
    """`POST /v1/messages` and `/v1/messages/count_tokens`."""

    name = "anthropic"
    answers: tuple[str, ...] = ("/messages",)
    counts: tuple[str, ...] = ("/messages/count_tokens",)
    media_type = "text/event-stream; charset=utf-8"
    ping = b'event: ping\ndata: {"type":"ping"}\n\n'
    malformed = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"te\n\n'

    def key(self, headers: Mapping[str, str]) -> str:
        """The key of `x-api-key`, else of a bearer credential."""
        return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    def read(self, body: dict[str, Any], headers: Mapping[str, str], *, counting: bool) -> Ask:
        """What a Messages request asks for; what the real API insists on is insisted on here."""
        if "anthropic-version" not in headers:
            raise Refused(400, "anthropic-version: header is required")
        if not counting and not isinstance(body.get("max_tokens"), int):
            raise Refused(400, "max_tokens: Field required")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "messages: at least one message is required")
        _check_results(messages)
        view = _View()
        view.take_system(body.get("system"))
        for place, message in enumerate(messages):
            view.take(message, f"messages.{place}")
        thinking = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        choice = body.get("tool_choice") or {}
        form = (body.get("output_config") or {}).get("format") or {}
        tools = tuple(Tool(tool["name"], tool.get("input_schema", {})) for tool in body.get("tools") or [])
        return Ask(
            model=body["model"],
            stream=body.get("stream") is True,
            messages=len(messages),
            images=view.images,
            said=view.said,
            results=tuple(view.results),
            tools=tools,
            choice=choice.get("name") or choice.get("type") or "auto",
            parallel=not choice.get("disable_parallel_tool_use"),
            thinking=thinking,
            schema=form.get("schema") if form.get("type") == "json_schema" else None,
            max_tokens=body.get("max_tokens"),
            stops=tuple(body.get("stop_sequences") or ()),
            text_bytes=view.size + (len(_ENCODER.encode(body["tools"])) if tools else 0),
        )

    def reply(self, answer: Answer, usage: Usage) -> dict[str, Any]:
        """A Message."""
        return {
            **_head(answer),
            "content": [_whole(block) for block in _blocks(answer)],
            "stop_reason": _STOPS[answer.stop],
            "stop_sequence": answer.sequence or None,
            **({} if usage == "none" else {"usage": _usage(answer, usage)}),
        }

    def frames(self, answer: Answer, ask: Ask, usage: Usage, piece: int) -> Sequence[Frame]:
        """The events of a Message, from message_start to message_stop."""
        return list(_events(answer, usage, piece))

    def count(self, tokens: int) -> dict[str, Any]:
        """`{"input_tokens": n}`, and nothing else."""
        return {"input_tokens": tokens}

    def error(self, refused: Refused) -> dict[str, Any]:
        """The error body; a context overflow in the words that clients look for."""
        message = refused.message
        if refused.about == "context":
            message = "prompt is too long: 200001 tokens > 200000 maximum"
        kind = _ERRORS.get(refused.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_mock"}

    def error_frame(self, refused: Refused) -> bytes:
        """`event: error`."""
        return _event("error", {"type": "error", "error": self.error(refused)["error"]})


class _View:
    """What the messages hold, gathered in one walk."""

    def __init__(self) -> None:
        self.said = ""
        self.results: list[str] = []
        self.images = 0
        self.size = 0

    def take_system(self, system: Any) -> None:
        for block in [system] if isinstance(system, str) else system or []:
            self.size += size_of(block if isinstance(block, str) else block.get("text", ""))

    def take(self, message: Any, place: str) -> None:
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise Refused(400, f"{place}.role: Input should be 'user', 'assistant' or 'system'")
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(blocks, list):
            raise Refused(400, f"{place}.content: Input should be a valid list or string")
        texts = [self._take_block(block, place) for block in blocks]
        said = "\n".join(text for text in texts if text)
        if message["role"] == "user" and said:
            self.said = said
            if not any(block.get("type") == "tool_result" for block in blocks):
                self.results = []

    def _take_block(self, block: Any, place: str) -> str:
        """The text of a text block; counts every block."""
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise Refused(400, f"{place}.content: each block needs a type")
        match block["type"]:
            case "text":
                if not isinstance(block.get("text"), str) or not block["text"].strip():
                    raise Refused(400, f"{place}: text content blocks must contain non-whitespace text")
                self.size += size_of(block["text"])
                return str(block["text"])
            case "image" | "document":
                self.images += 1
            case "thinking":
                self.size += size_of(block.get("thinking", ""))
            case "tool_use":
                self.size += len(_ENCODER.encode(block.get("input")))
            case "tool_result":
                self.results.append(self._take_result(block.get("content"), place))
        return ""

    def _take_result(self, content: Any, place: str) -> str:
        blocks = [{"type": "text", "text": content or " "}] if isinstance(content, str) else content or []
        texts = []
        for block in blocks:
            if block.get("type") == "text":
                self.size += size_of(block.get("text", ""))
                texts.append(block.get("text", ""))
            else:
                self._take_block(block, place)
        return "\n".join(texts)


def _check_results(messages: list[Any]) -> None:
    """Every tool_use has its tool_result in the next message, and no result is without its call."""
    due: set[str] = set()
    for place, message in enumerate(messages):
        content = message.get("content") if isinstance(message, dict) else None
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        given = {str(block.get("tool_use_id")) for block in blocks if block.get("type") == "tool_result"}
        if orphans := given - due:
            raise Refused(
                400, f"messages.{place}: unexpected `tool_use_id` in `tool_result` blocks: {sorted(orphans)[0]}"
            )
        if missing := due - given:
            raise Refused(
                400,
                f"messages.{place}: `tool_use` ids were found without `tool_result` blocks after: {sorted(missing)[0]}",
            )
        due = {str(block.get("id")) for block in blocks if block.get("type") == "tool_use"}


def _head(answer: Answer) -> dict[str, Any]:
    return {"id": f"msg_{answer.id}", "type": "message", "role": "assistant", "model": answer.model}


def _usage(answer: Answer, usage: Usage) -> dict[str, Any]:
    known = 0 if usage == "zero" else 1
    return {
        "input_tokens": answer.input_tokens * known,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": answer.output_tokens * known,
        "output_tokens_details": {"thinking_tokens": answer.thinking_tokens * known},
    }


def _blocks(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.thinking:
        yield {"type": "thinking", "thinking": answer.thinking, "signature": _SIGNATURE}
    if answer.text:
        yield {"type": "text", "text": answer.text}
    for call in answer.calls:
        yield {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": call.arguments}


def _whole(block: dict[str, Any]) -> dict[str, Any]:
    """A block as JSON shows it: a call's arguments are an object there, empty when they are no JSON."""
    if block["type"] != "tool_use":
        return block
    try:
        return {**block, "input": msgspec.json.decode(block["input"], type=dict[str, Any])}
    except msgspec.DecodeError:
        return {**block, "input": {}}


def _events(answer: Answer, usage: Usage, piece: int) -> Iterator[Frame]:
    told = {} if usage == "none" else {"usage": _usage(answer, usage)}
    first = {
        "output_tokens": 1,
        "output_tokens_details": {"thinking_tokens": 0},
        **({"input_tokens": 0} if usage == "late" else {}),
    }
    start = {"usage": {**told["usage"], **first}} if told else {}
    message = {**_head(answer), "content": [], "stop_reason": None, "stop_sequence": None, **start}
    yield _frame("message_start", {"message": message})
    yield Frame(Anthropic.ping)
    for index, block in enumerate(_blocks(answer)):
        yield from _block_events(index, block, piece)
    delta = {"stop_reason": _STOPS[answer.stop], "stop_sequence": answer.sequence or None}
    yield _frame("message_delta", {"delta": delta, **told}, "finish")
    yield _frame("message_stop", {}, "done")


def _block_events(index: int, block: dict[str, Any], piece: int) -> Iterator[Frame]:
    match block["type"]:
        case "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": text} for text in pieces(block["thinking"], piece)]
        case "text":
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": text} for text in pieces(block["text"], piece)]
        case _:
            empty = {key: value for key, value in block.items() if key != "input"} | {"input": {}}
            deltas = [
                {"type": "input_json_delta", "partial_json": text} for text in ["", *pieces(block["input"], piece)]
            ]
    yield _frame("content_block_start", {"index": index, "content_block": empty})
    for delta in deltas:
        yield _frame("content_block_delta", {"index": index, "delta": delta}, "content")
    if block["type"] == "thinking":
        delta = {"type": "signature_delta", "signature": block["signature"]}
        yield _frame("content_block_delta", {"index": index, "delta": delta})
    yield _frame("content_block_stop", {"index": index})


def _frame(name: str, body: dict[str, Any], mark: Mark = "frame") -> Frame:
    return Frame(_event(name, {"type": name, **body}), mark)


def _event(name: str, body: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _ENCODER.encode(body))
