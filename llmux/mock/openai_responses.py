"""The simulated provider speaking OpenAI's Responses API.

A tool inside a namespace is called by its full name, `CALL[[namespace.tool {…}]]`; its call comes back with both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from llmux.mock.answer import Answer, ToolCall, pieces
from llmux.mock.ask import Ask, Refused, Tool, size_of
from llmux.mock.wire import Frame, Mark, Usage

_CODES = {"model": "model_not_found", "key": "invalid_api_key", "context": "context_length_exceeded"}
_ERRORS = {401: "authentication_error", 429: "rate_limit_error"}
_CALLS = frozenset({"function_call", "custom_tool_call", "tool_search_call"})
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output", "tool_search_output"})
_SILENT = frozenset({"reasoning", "additional_tools", "web_search_call", "file_search_call", "code_interpreter_call"})
_ROLES = frozenset({"user", "assistant", "system", "developer"})
_SEARCH = "tool_search"
_CREATED = 1_767_225_600
"""The first second of 2026: an answer depends on nothing but its request."""
_ENCODER = msgspec.json.Encoder()


class OpenAIResponses:
    """`POST /v1/responses`; every answer is forgotten, whatever `store` says."""

    name = "responses"
    answers: tuple[str, ...] = ("/responses",)
    counts: tuple[str, ...] = ("/responses/input_tokens",)
    media_type = "text/event-stream; charset=utf-8"
    ping = b": mock keeps you waiting\n\n"
    malformed = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"ha\n\n'

    def key(self, headers: Mapping[str, str]) -> str:
        """The bearer credential, or Azure's `api-key`."""
        return headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    def read(self, body: dict[str, Any], headers: Mapping[str, str], *, counting: bool) -> Ask:
        """What a Responses request asks for."""
        for name in ("previous_response_id", "conversation", "prompt"):
            if body.get(name) is not None:
                raise Refused(400, f"'{name}' points to nothing: the simulated provider keeps no answers.")
        told = body.get("input")
        if not isinstance(told, str | list) or not told:
            raise Refused(400, "Missing required parameter: 'input'.")
        view = _View()
        items = [{"role": "user", "content": told}] if isinstance(told, str) else told
        for place, item in enumerate(items):
            view.take(item, f"input[{place}]")
        view.settled()
        tools = tuple(tool for listed in (body.get("tools") or [], *view.found) for tool in _tools(listed))
        limit = body.get("max_output_tokens")
        if limit is not None and not isinstance(limit, int):
            raise Refused(400, "Invalid type for 'max_output_tokens': expected an integer.")
        instructions = body.get("instructions") or ""
        return Ask(
            model=body["model"],
            stream=body.get("stream") is True,
            messages=view.messages,
            images=view.images,
            said=view.said,
            results=tuple(view.results),
            tools=tools,
            choice=_choice(body.get("tool_choice")),
            parallel=body.get("parallel_tool_calls") is not False,
            thinking=(body.get("reasoning") or {}).get("effort") not in (None, "none"),
            schema=_schema((body.get("text") or {}).get("format")),
            max_tokens=limit,
            text_bytes=view.size + size_of(instructions) + (len(_ENCODER.encode(body["tools"])) if tools else 0),
        )

    def reply(self, answer: Answer, usage: Usage) -> dict[str, Any]:
        """A response."""
        output = [item for _, item in _items(answer)]
        return _response(answer, _status(answer), output, None if usage == "none" else _usage(answer, usage))

    def frames(self, answer: Answer, ask: Ask, usage: Usage, piece: int) -> Sequence[Frame]:
        """The events of a response, up to the one that completes it."""
        return [
            Frame(
                b"event: %b\ndata: %b\n\n"
                % (event["type"].encode(), _ENCODER.encode({**event, "sequence_number": number})),
                mark,
            )
            for number, (event, mark) in enumerate(_events(answer, usage, piece))
        ]

    def count(self, tokens: int) -> dict[str, Any]:
        """How many tokens a request has."""
        return {"object": "response.input_tokens", "input_tokens": tokens}

    def error(self, refused: Refused) -> dict[str, Any]:
        """The error body; a context overflow by its code."""
        kind = _ERRORS.get(refused.status, "invalid_request_error" if refused.status < 500 else "server_error")
        message = refused.message
        if refused.about == "context":
            message = "Your input exceeds the context window of this model. Please adjust your input and try again."
        param = "model" if refused.about == "model" else None
        return {"error": {"message": message, "type": kind, "param": param, "code": _CODES.get(refused.about)}}

    def error_frame(self, refused: Refused) -> bytes:
        """An error event, nested as OpenAI sends it."""
        return b"event: error\ndata: %b\n\n" % _ENCODER.encode({"type": "error", **self.error(refused)})


class _View:
    """What the items hold, gathered in one walk."""

    def __init__(self) -> None:
        self.said = ""
        self.results: list[str] = []
        self.images = self.size = self.messages = 0
        self.found: list[list[Any]] = []
        self._due: list[str] = []

    def take(self, item: Any, place: str) -> None:
        kind = item.get("type", "message") if isinstance(item, dict) else ""
        if kind == "message":
            self._message(item, place)
        elif kind in _CALLS:
            self._due.append(item["call_id"])
            self.size += size_of(item.get("input") or "") + len(_ENCODER.encode(item.get("arguments") or ""))
        elif kind in _OUTPUTS:
            if item.get("call_id") not in self._due:
                raise Refused(400, f"No tool call found for {kind} with call_id {item.get('call_id')}.")
            self._due.remove(item["call_id"])
            self.results.append(self._text(item.get("output")))
        elif kind not in _SILENT:
            raise Refused(400, f"Invalid value: '{kind}' at '{place}.type'.")
        if isinstance(item.get("tools"), list):
            self.found.append(item["tools"])

    def settled(self) -> None:
        """Raises Refused when a call is without its output."""
        if self._due:
            raise Refused(400, f"No tool output found for function call {self._due[0]}.")

    def _message(self, item: dict[str, Any], place: str) -> None:
        if item.get("role") not in _ROLES:
            raise Refused(400, f"Invalid value for '{place}.role'.")
        self.messages += 1
        text = self._text(item.get("content"))
        if item["role"] == "user":
            self.settled()
            self.said, self.results = (text or self.said), []

    def _text(self, content: Any) -> str:
        texts = []
        for part in [{"type": "input_text", "text": content}] if isinstance(content, str) else content or []:
            if part.get("type") in ("input_image", "input_file"):
                self.images += 1
            else:
                texts.append(part.get("text") or part.get("refusal") or "")
        text = "\n".join(texts)
        self.size += size_of(text)
        return text


def _tools(listed: list[Any], namespace: str = "") -> Iterator[Tool]:
    """The tools that a model may call; those of the provider's own are none."""
    for tool in listed:
        match tool.get("type"):
            case "namespace":
                yield from _tools(tool["tools"], f"{tool['name']}.")
            case "custom":
                yield Tool(namespace + tool["name"])
            case "function":
                if not tool.get("name"):
                    raise Refused(400, "Missing required parameter: 'tools[0].name'.")
                yield Tool(namespace + tool["name"], tool.get("parameters") or {})
            case "tool_search" if tool.get("execution") == "client":
                yield Tool(_SEARCH, tool.get("parameters") or {})


def _choice(choice: Any) -> str:
    if isinstance(choice, dict):
        return str(choice.get("name") or "any")
    return "any" if choice == "required" else str(choice or "auto")


def _schema(form: Any) -> Any:
    match form:
        case {"type": "json_schema", "schema": schema}:
            return schema
        case {"type": "json_object"}:
            return {"type": "object", "properties": {"mock": {"type": "string"}}, "required": ["mock"]}
    return None


def _status(answer: Answer) -> str:
    return "incomplete" if answer.stop == "length" else "completed"


def _response(answer: Answer, status: str, output: list[Any], usage: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": _CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }


def _items(answer: Answer) -> list[tuple[str, dict[str, Any]]]:
    """(what of it streams, item) of an answer, in order."""
    found: list[tuple[str, dict[str, Any]]] = []
    if answer.thinking:
        summary = [{"type": "summary_text", "text": answer.thinking}]
        item = {
            "id": f"rs_{answer.id}",
            "type": "reasoning",
            "summary": summary,
            "encrypted_content": f"enc-{answer.id}",
        }
        found.append((answer.thinking, item))
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        item = {"id": f"msg_{answer.id}", "type": "message", "role": "assistant", "content": [part]}
        found.append((answer.text, {**item, "status": "completed"}))
    found += [(call.arguments, _call(call)) for call in answer.calls]
    return found


def _call(call: ToolCall) -> dict[str, Any]:
    namespace, _, name = call.name.rpartition(".")
    item: dict[str, Any] = {"call_id": f"call_{call.id}", "status": "completed"}
    if call.name == _SEARCH:
        arguments = json.loads(call.arguments)
        return {
            "id": f"tsc_{call.id}",
            "type": "tool_search_call",
            **item,
            "execution": "client",
            "arguments": arguments,
        }
    item |= {"name": name, **({"namespace": namespace} if namespace else {})}
    if call.custom:
        return {"id": f"ctc_{call.id}", "type": "custom_tool_call", **item, "input": call.arguments}
    return {"id": f"fc_{call.id}", "type": "function_call", **item, "arguments": call.arguments}


def _usage(answer: Answer, usage: Usage) -> dict[str, Any]:
    known = 0 if usage == "zero" else 1
    return {
        "input_tokens": answer.input_tokens * known,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": answer.output_tokens * known,
        "output_tokens_details": {"reasoning_tokens": answer.thinking_tokens * known},
        "total_tokens": (answer.input_tokens + answer.output_tokens) * known,
    }


def _events(answer: Answer, usage: Usage, piece: int) -> Iterator[tuple[dict[str, Any], Mark]]:
    told = _usage(answer, usage) if usage == "every" else None
    for kind in ("response.created", "response.in_progress"):
        yield {"type": kind, "response": _response(answer, "in_progress", [], told)}, "frame"
    items = _items(answer)
    for index, (text, item) in enumerate(items):
        empty: dict[str, Any] = {name: "" if isinstance(item[name], str) else [] for name in _GROWING if name in item}
        if item["type"] == "tool_search_call":
            empty = {"arguments": {}}
        begun = {**item, **empty, "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}, "frame"
        place = {"item_id": item["id"], "output_index": index}
        for kind, fields, mark in _body(item, text, piece):
            yield {"type": f"response.{kind}", **place, **fields}, mark
        yield {"type": "response.output_item.done", "output_index": index, "item": item}, "content"
    status = _status(answer)
    final = _response(answer, status, [item for _, item in items], None if usage == "none" else _usage(answer, usage))
    yield {"type": f"response.{status}", "response": final}, "done"


def _body(item: dict[str, Any], text: str, piece: int) -> Iterator[tuple[str, dict[str, Any], Mark]]:
    """(event, fields, mark) of everything between the beginning and the end of an item."""
    match item["type"]:
        case "message":
            place = {"content_index": 0}
            (part,) = item["content"]
            yield "content_part.added", {**place, "part": {**part, "text": ""}}, "frame"
            yield from (("output_text.delta", {**place, "delta": more}, "content") for more in pieces(text, piece))
            yield "output_text.done", {**place, "text": text}, "frame"
            yield "content_part.done", {**place, "part": part}, "frame"
        case "reasoning":
            place = {"summary_index": 0}
            (part,) = item["summary"]
            yield "reasoning_summary_part.added", {**place, "part": {**part, "text": ""}}, "frame"
            for more in pieces(text, piece):
                yield "reasoning_summary_text.delta", {**place, "delta": more}, "content"
            yield "reasoning_summary_text.done", {**place, "text": text}, "frame"
            yield "reasoning_summary_part.done", {**place, "part": part}, "frame"
        case "function_call" | "custom_tool_call" as kind:
            event, field = _GROWTH[kind]
            yield from ((f"{event}.delta", {"delta": more}, "content") for more in pieces(text, piece))
            yield f"{event}.done", {field: text}, "frame"


_GROWING = ("content", "summary", "arguments", "input")
_GROWTH = {
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}
