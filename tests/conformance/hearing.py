"""What a strict provider makes of a request: checkers for request bodies, one per protocol.

    hear(name, body) -> Heard     raises GrammarError where a real provider would answer 400

A third protocol joins by adding its checker to the table at the end.
"""

from __future__ import annotations

import re
from typing import Any

from grammar import Json, arguments_of, require
from msgspec import Struct


class Heard(Struct):
    """What of a request reaches the model, in order of appearance.

    calls: (tool, arguments); results: the text of every tool result; forced: the tool choice in the dialog's words
    """

    model: str = ""
    texts: list[str] = []
    images: list[str] = []
    calls: list[tuple[str, Json]] = []
    results: list[str] = []
    tools: list[str] = []
    forced: str = ""
    schema: Json | None = None
    max_tokens: int | None = None
    stop: list[str] = []
    effort: str = ""
    thinks: bool = False
    parallel: bool = True


_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class AnthropicRequest:
    """Messages API: alternating turns, every tool_use answered in the very next user message, no blank text."""

    def __init__(self, body: Json, *, strict: bool) -> None:
        self.require = require if strict else _believe
        self.heard = Heard(model=body["model"], max_tokens=body["max_tokens"], stop=body.get("stop_sequences", []))
        self.require(isinstance(body["max_tokens"], int) and body["max_tokens"] > 0, "no max_tokens", body)
        system = body.get("system", [])
        for block in _parts(system):
            self.text(block)
        self.asked: list[str] = []
        self.require(
            body["messages"] and body["messages"][0]["role"] == "user", "the first turn is not the user's", body
        )
        for message in body["messages"]:
            self.turn(message)
        self.require(not self.asked, "a tool call without its result", self.asked)
        self.tools(body)
        self.settings(body)

    def turn(self, message: Json) -> None:
        blocks = _parts(message["content"])
        self.require(blocks, "a turn of nothing", message)
        results = [block for block in blocks if block["type"] == "tool_result"]
        if message["role"] == "user":
            ids = [block["tool_use_id"] for block in results]
            self.require(sorted(ids) == sorted(self.asked), "results that are not those of the calls", message)
            self.require(blocks[: len(results)] == results, "a tool result after other content", message)
            self.asked = []
        else:
            self.require(not self.asked, "calls are not answered in the next turn", message)
            self.require(not results, "a tool result outside a user turn", message)
        for block in blocks:
            self.block(block)

    def block(self, block: Json) -> None:
        match block["type"]:
            case "text":
                self.text(block)
            case "image":
                source = block["source"]
                self.heard.images.append(source.get("data") or source["url"])
            case "tool_use":
                self.require(re.fullmatch(r"[A-Za-z0-9_-]+", block["id"]), "a tool id of odd letters", block)
                self.require(block["id"] not in self.asked, "a tool id used twice", block)
                self.require(isinstance(block["input"], dict), "tool input that is no object", block)
                self.asked.append(block["id"])
                self.heard.calls.append((block["name"], block["input"]))
            case "tool_result":
                parts = _parts(block.get("content", ""))
                texts = [part["text"] for part in parts if part["type"] == "text"]
                self.heard.results.append("".join(texts))
                self.heard.images += [part["source"]["data"] for part in parts if part["type"] == "image"]
            case "thinking":
                self.require(block["signature"], "thinking without signature", block)
            case "redacted_thinking":
                self.require(block["data"], "redacted thinking without data", block)
            case _:
                self.require(False, "an unknown block", block)

    def text(self, block: Json) -> None:
        self.require(block["text"].strip(), "blank text", block)
        self.heard.texts.append(block["text"])

    def tools(self, body: Json) -> None:
        for tool in body.get("tools", []):
            self.require(_NAME.fullmatch(tool["name"]), "a tool name that is none", tool)
            self.require(tool["input_schema"].get("type") == "object", "a schema that is no object's", tool)
            self.heard.tools.append(tool["name"])
        choice = body.get("tool_choice")
        if choice:
            self.require(self.heard.tools, "a tool choice without tools", body)
            self.heard.forced = choice.get("name") or {"auto": ""}.get(choice["type"], choice["type"])
            self.heard.parallel = not choice.get("disable_parallel_tool_use", False)

    def settings(self, body: Json) -> None:
        output = body.get("output_config") or {}
        self.heard.effort = output.get("effort", "")
        self.heard.schema = (output.get("format") or {}).get("schema")
        thinking = body.get("thinking") or {}
        self.heard.thinks = thinking.get("type") in ("enabled", "adaptive")
        if thinking.get("type") == "enabled":
            self.require(1024 <= thinking["budget_tokens"] < body["max_tokens"], "a budget without room", body)


class ChatRequest:
    """Chat Completions: tool messages stand directly after the calls they answer, all of them, and nowhere else."""

    def __init__(self, body: Json, *, strict: bool) -> None:
        self.require = require if strict else _believe
        limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if name in body]
        self.require(len(limits) <= 1, "both names of the output limit", body)
        stop = body.get("stop") or []
        self.heard = Heard(
            model=body["model"], max_tokens=next(iter(limits), None), stop=[stop] if isinstance(stop, str) else stop
        )
        self.open: list[str] = []
        for message in body["messages"]:
            self.message(message)
        self.require(not self.open, "a tool call without its result", self.open)
        self.tools(body)
        self.heard.effort = body.get("reasoning_effort", "")
        self.heard.thinks = self.heard.effort not in ("", "none")
        form = body.get("response_format") or {}
        if form.get("type") == "json_schema":
            self.require(_NAME.fullmatch(form["json_schema"]["name"]), "a schema without a name", form)
            self.heard.schema = form["json_schema"]["schema"]

    def message(self, message: Json) -> None:
        role, content = message["role"], message.get("content")
        if role == "tool":
            self.require(message["tool_call_id"] in self.open, "a result that no open call asked for", message)
            self.open.remove(message["tool_call_id"])
            words, others = [], []
            for part in _parts(content):
                (words if part["type"] == "text" else others).append(part)
            self.require(not others, "more than text in a tool message", message)
            self.heard.results.append("".join(part["text"] for part in words))
            self.heard.images += [image_of(part) for part in others]
            return
        self.require(not self.open, "a message between calls and their results", message)
        self.require(role in ("system", "developer", "user", "assistant"), "an unknown role", message)
        for part in _parts(content):
            match part["type"]:
                case "text":
                    self.heard.texts += [part["text"]] if part["text"] else []
                case "image_url":
                    self.require(role == "user", "an image that is not the user's", message)
                    self.heard.images.append(image_of(part))
                case _:
                    self.require(False, "an unknown part", part)
        for call in message.get("tool_calls") or []:
            self.require(call["id"] not in self.open, "a tool id used twice", message)
            self.open.append(call["id"])
            if call["type"] == "function":
                function = call["function"]
                self.heard.calls.append((function["name"], arguments_of(function["arguments"])))
            else:
                self.heard.calls.append((call["custom"]["name"], {"input": call["custom"]["input"]}))

    def tools(self, body: Json) -> None:
        self.require("tools" not in body or body["tools"], "an empty list of tools", body)
        for tool in body.get("tools", []):
            name = tool[tool["type"]]["name"]
            self.require(_NAME.fullmatch(name), "a tool name that is none", tool)
            self.heard.tools.append(name)
        choice: Any = body.get("tool_choice")
        if choice:
            self.require(self.heard.tools, "a tool choice without tools", body)
            words = {"required": "any", "auto": ""}
            self.heard.forced = words.get(choice, choice) if isinstance(choice, str) else choice[choice["type"]]["name"]
        self.heard.parallel = body.get("parallel_tool_calls", True)


def image_of(part: Json) -> str:
    """The base64 of an image part, or its address."""
    url: str = part["image_url"]["url"]
    return url.partition(";base64,")[2] or url


def _parts(content: Any) -> list[Json]:
    """Content as a list of parts; a string is one part of text, nothing is none."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or [])


def _believe(condition: object, complaint: str, at: object = "") -> None:
    """Takes a client's own request as it is."""


HEARINGS: dict[str, Any] = {"anthropic": AnthropicRequest, "openai": ChatRequest}


def hear(name: str, body: Json, *, strict: bool = True) -> Heard:
    """What a provider of this protocol hears. Raises GrammarError for what a strict one would refuse with a 400."""
    heard: Heard = HEARINGS[name](body, strict=strict).heard
    return heard
