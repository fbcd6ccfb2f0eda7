"""The simulated provider speaking OpenAI Chat Completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmux.mock.answer import Answer, ToolCall, pieces
from llmux.mock.ask import Ask, Refused, Tool, size_of
from llmux.mock.wire import Frame, Mark, Usage

STOPS: dict[str, str] = {"end": "stop", "length": "length", "tools": "tool_calls", "sequence": "stop"}
_ERRORS = {401: "authentication_error", 402: "insufficient_quota", 429: "rate_limit_error"}
_CODES = {"model": "model_not_found", "key": "invalid_api_key", "context": "context_length_exceeded"}
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
CREATED = 1_767_225_600
"""The first second of 2026: an answer depends on nothing but its request."""
_ENCODER = msgspec.json.Encoder()


class OpenAIChat:
    """`POST /v1/chat/completions`."""

    name = "openai"
    answers: tuple[str, ...] = ("/chat/completions",)
    counts: tuple[str, ...] = ()
    media_type = "text/event-stream; charset=utf-8"
    ping = b": mock keeps you waiting\n\n"
    malformed = b'data: {"id":"chatcmpl-mock","choices":[{"index":0,"delta":{"content":"ha\n\n'

    def key(self, headers: Mapping[str, str]) -> str:
        """The bearer credential, or Azure's `api-key`."""
        return headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    def read(self, body: dict[str, Any], headers: Mapping[str, str], *, counting: bool) -> Ask:
        """What a Chat Completions request asks for."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refused(400, "Invalid 'messages': at least one message is required.")
        if body.get("tools") == []:
            raise Refused(400, "Invalid 'tools': empty array. Expected an array with minimum length 1.")
        view = _View()
        for place, message in enumerate(messages):
            view.take(message, f"messages[{place}]")
        view.settled(f"messages[{len(messages)}]")
        tools = tuple(map(_tool, body.get("tools") or []))
        if body.get("tool_choice") is not None and not tools:
            raise Refused(400, "'tool_choice' is only allowed when 'tools' are specified.")
        stop = body.get("stop") or ()
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        if limit is not None and not isinstance(limit, int):
            raise Refused(400, "Invalid type for 'max_completion_tokens': expected an integer.")
        return Ask(
            model=body["model"],
            stream=body.get("stream") is True,
            messages=len(messages),
            images=view.images,
            said=view.said,
            results=tuple(view.results),
            tools=tools,
            choice=_choice(body.get("tool_choice")),
            parallel=body.get("parallel_tool_calls") is not False,
            thinking=_thinking(body),
            schema=_schema(body.get("response_format")),
            max_tokens=limit,
            stops=(stop,) if isinstance(stop, str) else tuple(stop),
            text_bytes=view.size + (len(_ENCODER.encode(body["tools"])) if tools else 0),
            usage_wanted=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def reply(self, answer: Answer, usage: Usage) -> dict[str, Any]:
        """A chat.completion."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if answer.thinking:
            message["reasoning_content"] = answer.thinking
        if answer.calls:
            message["tool_calls"] = [_call(call, call.arguments) for call in answer.calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": STOPS[answer.stop]}
        return {
            **_head(answer, "chat.completion"),
            "choices": [choice],
            **({} if usage == "none" else {"usage": write_usage(answer, usage)}),
        }

    def frames(self, answer: Answer, ask: Ask, usage: Usage, piece: int) -> Sequence[Frame]:
        """The chunks of a chat.completion, up to `[DONE]`."""
        return list(_chunks(answer, ask.usage_wanted, usage, piece))

    def count(self, tokens: int) -> dict[str, Any]:
        """This protocol counts no tokens. Raises Refused."""
        raise Refused(404, "Chat Completions has no token count")

    def error(self, refused: Refused) -> dict[str, Any]:
        """The error body; a context overflow by its code."""
        kind = _ERRORS.get(refused.status, "invalid_request_error" if refused.status < 500 else "server_error")
        message = refused.message
        if refused.about == "context":
            message = "This model's maximum context length is 128000 tokens. However, your messages resulted in 128001."
        param = "model" if refused.about == "model" else None
        return {"error": {"message": message, "type": kind, "param": param, "code": _CODES.get(refused.about)}}

    def error_frame(self, refused: Refused) -> bytes:
        """An error chunk."""
        return b"data: %b\n\n" % _ENCODER.encode(self.error(refused))


class _View:
    """What the messages hold, gathered in one walk."""

    def __init__(self) -> None:
        self.said = ""
        self.results: list[str] = []
        self.images = 0
        self.size = 0
        self._due: set[str] = set()

    def take(self, message: Any, place: str) -> None:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise Refused(400, f"Invalid value for '{place}.role'.")
        role = message["role"]
        text = self._text(message.get("content"), place)
        if role in ("tool", "function"):
            if role == "tool" and message.get("tool_call_id") not in self._due:
                raise Refused(
                    400, f"{place}: role 'tool' must be a response to a preceeding message with 'tool_calls'."
                )
            self._due.discard(message.get("tool_call_id", ""))
            self.results.append(text)
            return
        self.settled(place)
        calls = message.get("tool_calls") or []
        self._due = {call["id"] for call in calls}
        self.size += sum(len(_ENCODER.encode(call.get("function"))) for call in calls)
        self.size += size_of(message.get("reasoning_content") or "")
        if role == "user" and text:
            self.said, self.results = text, []

    def settled(self, place: str) -> None:
        """Raises Refused when a call before `place` is without its result."""
        if self._due:
            raise Refused(400, f"{place}: 'tool_call_ids' did not have response messages: {sorted(self._due)[0]}")

    def _text(self, content: Any, place: str) -> str:
        texts = []
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content or []:
            if not isinstance(part, dict):
                raise Refused(400, f"Invalid type for '{place}.content'.")
            if part.get("type") in ("image_url", "file", "input_audio"):
                self.images += 1
            else:
                texts.append(part.get("text") or part.get("refusal") or "")
        text = "\n".join(texts)
        self.size += size_of(text)
        return text


def _tool(tool: dict[str, Any]) -> Tool:
    if tool.get("type") == "custom":
        return Tool(tool["custom"]["name"])
    function = tool.get("function")
    if not isinstance(function, dict) or not function.get("name"):
        raise Refused(400, "Missing required parameter: 'tools[0].function.name'.")
    return Tool(function["name"], function.get("parameters") or {})


def _choice(choice: Any) -> str:
    if isinstance(choice, dict):
        return str((choice.get("function") or choice.get("custom") or {}).get("name") or "any")
    return "any" if choice == "required" else str(choice or "auto")


def _thinking(body: dict[str, Any]) -> bool:
    """Whether any of the switches that providers have for it is on."""
    template = body.get("chat_template_kwargs") or {}
    return bool(
        body.get("reasoning_effort") not in (None, "none")
        or (body.get("thinking") or {}).get("type") == "enabled"
        or body.get("enable_thinking")
        or template.get("enable_thinking")
    )


def _schema(form: Any) -> Any:
    match form:
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return schema
        case {"type": "json_object"}:
            return {"type": "object", "properties": {"mock": {"type": "string"}}, "required": ["mock"]}
    return None


def _head(answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": CREATED,
        "model": answer.model,
        "system_fingerprint": "fp_mock",
    }


def _call(call: ToolCall, arguments: str) -> dict[str, Any]:
    if call.custom:
        return {"id": f"call_{call.id}", "type": "custom", "custom": {"name": call.name, "input": arguments}}
    return {"id": f"call_{call.id}", "type": "function", "function": {"name": call.name, "arguments": arguments}}


def write_usage(answer: Answer, usage: Usage) -> dict[str, Any]:
    """The token counts of an answer."""
    known = 0 if usage == "zero" else 1
    return {
        "prompt_tokens": answer.input_tokens * known,
        "completion_tokens": answer.output_tokens * known,
        "total_tokens": (answer.input_tokens + answer.output_tokens) * known,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.thinking_tokens * known},
    }


def _chunks(answer: Answer, usage_wanted: bool, usage: Usage, piece: int) -> Iterator[Frame]:
    head = _head(answer, "chat.completion.chunk")
    told: dict[str, Any] = {}
    if usage == "every":
        told = {"usage": write_usage(answer, usage)}
    elif usage_wanted and usage != "none":
        told = {"usage": None}

    def chunk(delta: dict[str, Any], mark: Mark = "content", finish: str | None = None) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _frame({**head, "choices": [choice], **told}, mark)

    yield chunk({"role": "assistant", "content": ""}, "frame")
    for text in pieces(answer.thinking, piece):
        yield chunk({"reasoning_content": text})
    for text in pieces(answer.text, piece):
        yield chunk({"content": text})
    for index, call in enumerate(answer.calls):
        kind, field = ("custom", "input") if call.custom else ("function", "arguments")
        yield chunk({"tool_calls": [{"index": index, **_call(call, "")}]})
        for text in pieces(call.arguments, piece):
            yield chunk({"tool_calls": [{"index": index, kind: {field: text}}]})
    yield chunk({}, "finish", STOPS[answer.stop])
    if usage_wanted and usage != "none":
        yield _frame({**head, "choices": [], "usage": write_usage(answer, usage)}, "finish")
    yield Frame(b"data: [DONE]\n\n", "done")


def _frame(body: dict[str, Any], mark: Mark) -> Frame:
    return Frame(b"data: %b\n\n" % _ENCODER.encode(body), mark)
