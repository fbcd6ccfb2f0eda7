"""What a strict client makes of a response: the checkers of the Responses API, which join the tables of grammar.py.

Stricter than the SDK: event names, a sequence number that counts every event, output indices in order of appearance,
one open item, every `.done` equal to its deltas, and a final response that holds exactly the items that were told.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from grammar import ENDINGS, REPLIES, STOPS, STREAMS, GrammarError, Json, Told, arguments_of, records, require

_PREFIXES = {
    "message": "msg_",
    "reasoning": "rs_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "tool_search_call": "tsc_",
}
_REPEATED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
)
_TEXTS = {
    "response.output_text": ("message", "output_text", "text"),
    "response.refusal": ("message", "refusal", "refusal"),
    "response.reasoning_summary_text": ("reasoning", "summary_text", "text"),
    "response.function_call_arguments": ("function_call", "", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "", "input"),
}
"""Events of growing text -> (type of its item, type of its part, field of the whole text)."""


class ResponsesStream:
    """created in_progress (item added body item done)* (completed | incomplete | failed), or one error and nothing."""

    def __init__(self) -> None:
        self.told = Told()
        self.number = 0
        self.state = "new"
        self.first: Json = {}
        self.items: list[Json] = []
        self.item: Json | None = None
        self.part: Json | None = None
        self.parts: list[Json] = []
        self.text = ""
        self.whole: str | None = None

    def take(self, event: str, body: Json) -> None:
        """One record; raises GrammarError where it must not stand."""
        require(event == body.get("type"), "the event name is not the type", (event, body))
        require(body.get("sequence_number") == self.number, f"not number {self.number}", body)
        self.number += 1
        require(self.state != "over", "a record after the end", body)
        if event == "error":
            return self.fail(body)
        steps: dict[str, Callable[[Json], None]] = {
            "response.created": self.create,
            "response.in_progress": self.progress,
            "response.output_item.added": self.begin,
            "response.output_item.done": self.finish,
            "response.content_part.added": self.open,
            "response.content_part.done": self.close,
            "response.reasoning_summary_part.added": self.open,
            "response.reasoning_summary_part.done": self.close,
            "response.completed": self.end,
            "response.incomplete": self.end,
            "response.failed": self.end,
        }
        if event in steps:
            return steps[event](body)
        name, _, kind = event.rpartition(".")
        require(name in _TEXTS and kind in ("delta", "done"), "an unknown event", event)
        return self.more(name, body) if kind == "delta" else self.complete(name, body)

    def create(self, body: Json) -> None:
        require(self.state == "new", "a second response.created", body)
        self.state = "created"
        self.first = body["response"]
        check_response(self.first, "in_progress")
        require(self.first["output"] == [] and self.first["usage"] is None, "an answer before it began", body)
        self.told.model = self.first["model"]

    def progress(self, body: Json) -> None:
        require(self.state == "created" and body["response"] == self.first, "in_progress out of its place", body)
        self.state = "open"

    def begin(self, body: Json) -> None:
        require(self.state == "open" and self.item is None, "an item inside another or before the start", body)
        require(body["output_index"] == len(self.items), "an output index with a gap", body)
        item = body["item"]
        require(item["type"] in _PREFIXES, "an unknown item", body)
        require(item["id"].startswith(_PREFIXES[item["type"]]), "an id of another kind of item", body)
        require(item["id"] not in [other["id"] for other in self.items], "an id said before", body)
        require(item["status"] == "in_progress", "an item that begins complete", body)
        empty = {
            "message": "content",
            "reasoning": "summary",
            "function_call": "arguments",
            "custom_tool_call": "input",
        }
        require(not item.get(empty.get(item["type"], ""), None), "an item that begins with content", body)
        self.item, self.part, self.parts, self.text, self.whole = item, None, [], "", None

    def here(self, body: Json, *kinds: str) -> Json:
        """The open item, if the event is about it."""
        require(self.item is not None, "an event outside of an item", body)
        assert self.item is not None
        require(body["output_index"] == len(self.items), "an event of another item", body)
        require(body["item_id"] == self.item["id"], "an item id that changed", body)
        require(self.item["type"] in kinds, "an event for another kind of item", body)
        return self.item

    def open(self, body: Json) -> None:
        item = self.here(body, "message", "reasoning")
        require(self.part is None, "a part inside another", body)
        index = body["content_index" if item["type"] == "message" else "summary_index"]
        require(index == len(self.parts), "a part index with a gap", body)
        part = body["part"]
        require(not part.get("text") and not part.get("refusal"), "a part that begins with words", body)
        self.part, self.text, self.whole = part, "", None

    def more(self, name: str, body: Json) -> None:
        kind, part, _ = _TEXTS[name]
        self.here(body, kind)
        if part:
            require(self.part is not None and self.part["type"] == part, "a delta outside of its part", body)
        require(self.whole is None, "a delta after its .done", body)
        require(isinstance(body["delta"], str) and body["delta"], "a delta of nothing", body)
        self.text += body["delta"]

    def complete(self, name: str, body: Json) -> None:
        kind, part, field = _TEXTS[name]
        self.here(body, kind)
        if part:
            require(self.part is not None and self.part["type"] == part, "a .done outside of its part", body)
        require(self.whole is None, "a second .done", body)
        require(body[field] == self.text, "a .done that is not its deltas", body)
        self.whole = body[field]

    def close(self, body: Json) -> None:
        self.here(body, "message", "reasoning")
        require(self.part is not None and self.whole is not None, "the end of a part that is not complete", body)
        part = body["part"]
        words = part["refusal"] if part["type"] == "refusal" else part["text"]
        require(words == self.whole, "a part that is not its text", body)
        self.parts.append(part)
        self.part = None

    def finish(self, body: Json) -> None:
        item, begun = body["item"], self.item
        require(begun is not None and body["output_index"] == len(self.items), "an end without a beginning", body)
        assert begun is not None
        for field in ("id", "type", "call_id", "name", "namespace"):
            require(item.get(field) == begun.get(field), f"another {field} than at the beginning", body)
        require(item["status"] == "completed" and self.part is None, "an item that is not complete", body)
        match item["type"]:
            case "message":
                require(item["content"] == self.parts and self.parts, "a message that is not its parts", body)
            case "reasoning":
                require(item["summary"] == self.parts, "reasoning that is not its parts", body)
            case "function_call":
                require(item["arguments"] == self.whole, "arguments that are not their deltas", body)
            case "custom_tool_call":
                require(item["input"] == (self.whole or ""), "an input that is not its deltas", body)
        self.items.append(item)
        self.item = None

    def end(self, body: Json) -> None:
        response = body["response"]
        status = body["type"].removeprefix("response.")
        require(self.state in ("created", "open"), "an end before the beginning", body)
        require(self.item is None or status == "failed", "an end inside an item", body)
        check_response(response, status)
        for field in ("id", "model", "created_at"):
            require(response[field] == self.first[field], f"another {field} than before", body)
        self.state = "over"
        if status == "failed":
            require(response["error"]["code"], "a failure without a code", body)
            self.told.error = response["error"]["message"]
            return
        require(response["output"] == self.items, "a final output that is not what was told", body)
        hear(response, self.told)

    def fail(self, body: Json) -> None:
        require(self.state == "new", "an error event after response.created", body)
        self.state = "over"
        require({"code", "message", "param"} <= body.keys(), "an error without its flat fields", body)
        require(body["error"]["message"] == body["message"] != "", "an error without a message", body)
        self.told.error = body["message"]


def check_response(response: Json, status: str) -> None:
    """Raises GrammarError unless the response object is whole and has this status."""
    require(response["object"] == "response" and response["id"].startswith("resp_"), "no response", response)
    require(isinstance(response["created_at"], int), "no created_at", response)
    require(response["status"] == status, f"the status is not {status}", response)
    for field in (*_REPEATED, "error", "incomplete_details", "usage", "output"):
        require(field in response, f"no {field}", response)
    require((response["error"] is not None) is (status == "failed"), "an error of another status", response)
    require((response["incomplete_details"] is not None) is (status == "incomplete"), "odd details", response)


def hear(response: Json, told: Told) -> None:
    """Adds what a complete response tells."""
    calls: list[str] = []
    status = response["status"]
    cut = status == "incomplete"
    for item in response["output"]:
        match item["type"]:
            case "message":
                require(item["role"] == "assistant" and item["content"], "no message of the assistant's", item)
                for part in item["content"]:
                    if part["type"] == "output_text":
                        require(part["annotations"] == [], "no annotations", part)
                        told.text += part["text"]
                    else:
                        require(part["type"] == "refusal", "an unknown part", part)
                        told.refusal += part["refusal"]
            case "reasoning":
                require(isinstance(item["summary"], list), "no summary", item)
                told.thinking += "".join(part["text"] for part in item["summary"])
            case "function_call":
                told.tools.append((item["name"], arguments_of(item["arguments"], cut=cut)))
                calls.append(item["call_id"])
            case "custom_tool_call":
                told.tools.append((item["name"], {"input": item["input"]}))
                calls.append(item["call_id"])
            case "tool_search_call":
                require(item["execution"] == "client" and isinstance(item["arguments"], dict), "no search", item)
                told.tools.append(("tool_search", item["arguments"]))
                calls.append(item["call_id"])
            case _:
                raise GrammarError(f"an unknown item: {item}")
    require(len(set(calls)) == len(calls) and all(calls), "calls without ids of their own", calls)
    if cut:
        told.stop = {"max_output_tokens": "length", "content_filter": "refusal"}[
            response["incomplete_details"]["reason"]
        ]
    else:
        told.stop = "refusal" if told.refusal else "tool" if calls else "end"
    if response["usage"] is not None:
        told.usage = _usage(response["usage"])


def responses_stream(stream: bytes) -> Told:
    """What a client is told by a Responses stream."""
    reading = ResponsesStream()
    for event, data in records(stream):
        require(event, "a record without an event name", data)
        reading.take(event, json.loads(data))
    require(reading.state == "over", "the stream is cut", stream[-80:])
    return reading.told


def responses_reply(body: bytes) -> Told:
    """What a client is told by a whole response."""
    response = json.loads(body)
    check_response(response, response["status"])
    require(response["status"] in ("completed", "incomplete"), "no answer", response)
    for item in response["output"]:
        require(item["id"].startswith(_PREFIXES[item["type"]]), "an id of another kind of item", item)
        require(item["status"] == "completed", "an item that is not complete", item)
    told = Told(model=response["model"])
    hear(response, told)
    return told


def _usage(usage: Json) -> dict[str, int]:
    require(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], "a wrong total", usage)
    require(isinstance(usage["output_tokens_details"]["reasoning_tokens"], int), "no reasoning_tokens", usage)
    return {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"],
        "cached": usage["input_tokens_details"]["cached_tokens"],
        "cache_write": usage["input_tokens_details"].get("cache_write_tokens", 0),  # a relayed provider may lack it
    }


STREAMS["responses"] = responses_stream
REPLIES["responses"] = responses_reply
STOPS["responses"] = {"sequence": "end", "context": "length", "pause": "end"}
ENDINGS["responses"] = rb'"response\.(completed|incomplete)"'
