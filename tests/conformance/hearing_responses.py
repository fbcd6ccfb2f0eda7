"""What a strict Responses server makes of a request; joins the table of hearing.py."""

from __future__ import annotations

from typing import Any

from grammar import Json, arguments_of, require
from hearing import _NAME, HEARINGS, Heard, _believe


class ResponsesRequest:
    """Every call is answered before anything else comes; tools are flat; nothing is kept or referred to."""

    def __init__(self, body: Json, *, strict: bool) -> None:
        self.require = require if strict else _believe
        self.heard = Heard(model=body["model"], max_tokens=body.get("max_output_tokens"))
        for name in ("previous_response_id", "conversation", "messages", "max_tokens", "response_format"):
            self.require(name not in body, f"{name} in a request", body)
        self.require(body.get("store") is False, "a request that is to be kept", body)
        if body.get("instructions"):
            self.heard.texts.append(body["instructions"])
        self.open: list[str] = []
        told = body["input"]
        for item in [{"role": "user", "content": told}] if isinstance(told, str) else told:
            self.item(item)
        self.require(not self.open, "a call without its output", self.open)
        self.tools(body)
        self.heard.effort = (body.get("reasoning") or {}).get("effort") or ""
        self.heard.thinks = self.heard.effort not in ("", "none")
        form = (body.get("text") or {}).get("format") or {}
        if form.get("type") == "json_schema":
            self.require(_NAME.fullmatch(form["name"]), "a schema without a name", form)
            self.heard.schema = form["schema"]

    def item(self, item: Json) -> None:
        match item.get("type", "message"):
            case "message":
                self.require(not self.open, "a message between calls and their outputs", item)
                self.require(item["role"] in ("user", "assistant", "system", "developer"), "an unknown role", item)
                for part in _parts(item["content"]):
                    self.part(part, item["role"])
            case "reasoning":
                self.require(item.get("encrypted_content"), "reasoning that nobody can read", item)
                self.require(isinstance(item["summary"], list), "reasoning without a summary", item)
            case "function_call" | "custom_tool_call" as kind:
                self.require(item["call_id"] not in self.open, "a call id used twice", item)
                self.require(_NAME.fullmatch(item["name"]), "a tool name that is none", item)
                self.open.append(item["call_id"])
                custom = kind == "custom_tool_call"
                told = {"input": item["input"]} if custom else arguments_of(item["arguments"])
                self.heard.calls.append((item["name"], told))
            case "function_call_output" | "custom_tool_call_output":
                self.require(item["call_id"] in self.open, "an output that no open call asked for", item)
                if item["call_id"] in self.open:
                    self.open.remove(item["call_id"])
                parts = _parts(item["output"])
                self.heard.results.append("".join(part["text"] for part in parts if part["type"] == "input_text"))
                for part in parts:
                    if part["type"] != "input_text":
                        self.part(part, "user")
            case "tool_search_call":
                self.heard.calls.append(("tool_search", item["arguments"]))
            case "tool_search_output":
                self.heard.results.append("")
            case _:
                self.require(False, "an unknown item", item)

    def part(self, part: Json, role: str) -> None:
        match part["type"]:
            case "input_text" | "output_text" as kind:
                self.require((kind == "output_text") is (role == "assistant"), "words of the wrong side", part)
                self.heard.texts += [part["text"]] if part["text"] else []
            case "input_image":
                self.require(role == "user", "an image that is not the user's", part)
                self.heard.images.append(part["image_url"].partition(";base64,")[2] or part["image_url"])
            case "input_file":
                self.require(role == "user" and (part.get("file_data") or part.get("file_url")), "no file", part)
            case _:
                self.require(False, "an unknown part", part)

    def tools(self, body: Json) -> None:
        self.require("tools" not in body or body["tools"], "an empty list of tools", body)
        for tool in _flat(body.get("tools", [])):
            self.require(_NAME.fullmatch(tool["name"]), "a tool name that is none", tool)
            self.require(tool["type"] == "custom" or "strict" in tool, "a function whose strictness is unsaid", tool)
            self.heard.tools.append(tool["name"])
        choice: Any = body.get("tool_choice")
        if choice:
            self.require(self.heard.tools, "a tool choice without tools", body)
            words = {"required": "any", "auto": ""}
            self.heard.forced = words.get(choice, choice) if isinstance(choice, str) else choice["name"]
        self.heard.parallel = body.get("parallel_tool_calls", True)


def _flat(tools: list[Json]) -> list[Json]:
    """Tools that a client can be asked to call, those of namespaces too."""
    found = []
    for tool in tools:
        if tool["type"] == "namespace":
            found += tool["tools"]
        elif tool["type"] in ("function", "custom"):
            found.append(tool)
        elif tool["type"] == "tool_search":
            found.append({"type": "custom", "name": "tool_search"})
    return found


def _parts(content: Any) -> list[Json]:
    """Content as a list of parts; a string is one part of text."""
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else list(content or [])


HEARINGS["responses"] = ResponsesRequest
UNSPOKEN = {"responses": ("stop",)}
"""What a protocol has no words for: it is named as a loss instead."""
