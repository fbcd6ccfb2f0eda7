"""What strict clients of the Ollama API make of an answer and a provider of a request: its checkers for the matrix.

The rules are those of the official SDKs and of Zed's reader, which has no defaults: every field on every line, one call
a line, arguments that are objects, no blank line, and after an error nothing.
"""

from __future__ import annotations

import json
import re
from typing import Any

from grammar import ENDINGS, REPLIES, STOPS, STREAMS, Json, Told, require
from hearing import HEARINGS, Heard
from msgspec import structs

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
_COUNTS = ("prompt_eval_count", "eval_count")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


class OllamaStream:
    """line* last | … error; `spoken` is where a line keeps its words: in `message`, or (generate) at its top."""

    def __init__(self, *, generate: bool = False) -> None:
        self.told = Told()
        self.generate = generate
        self.ids: list[str] = []
        self.over = False

    def take(self, line: Json) -> None:
        """One line; raises GrammarError where a client would stumble."""
        require(not self.over, "a line after the end", line)
        if "error" in line:
            require(line.keys() == {"error"}, "an error beside something else", line)
            require(isinstance(line["error"], str) and line["error"], "an error without words", line)
            self.told.error, self.over = line["error"], True
            return
        require(line["model"] and isinstance(line["model"], str), "a line without model", line)
        require(self.told.model in ("", line["model"]), "another model than before", line)
        self.told.model = line["model"]
        require(_MOMENT.fullmatch(line["created_at"]), "a time that is none", line)
        require(isinstance(line["done"], bool), "a line without done", line)
        self.speak(line)
        if line["done"]:
            self.finish(line)
        else:
            require(not line.keys() & {*_DURATIONS, *_COUNTS, "done_reason"}, "an end before the end", line)

    def speak(self, line: Json) -> None:
        """The words of a line."""
        spoken = line if self.generate else line["message"]
        content = spoken["response" if self.generate else "content"]
        require(isinstance(content, str), "a line without content", line)
        if not self.generate:
            require(spoken["role"] == "assistant", "a line of nobody", line)
            require(spoken.keys() <= {"role", "content", "thinking", "tool_calls"}, "an unknown field", line)
        thinking = spoken.get("thinking", "")
        require(isinstance(thinking, str) and (thinking or "thinking" not in spoken), "no thinking", line)
        calls = spoken.get("tool_calls", [])
        said = [bool(content), bool(thinking), bool(calls)]
        require(sum(said) == (0 if line["done"] else 1), "more or less than one thing on a line", line)
        require("tool_calls" not in spoken or len(calls) == 1, "not one call on a line", line)
        self.told.text += content
        self.told.thinking += thinking
        for call in calls:
            self.call(call)

    def call(self, call: Json) -> None:
        """A tool call."""
        require(isinstance(call["id"], str) and call["id"] not in self.ids, "no id, or one said twice", call)
        require(call["function"]["index"] == len(self.ids), "an index with a gap", call)
        self.ids.append(call["id"])
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        require(name and isinstance(arguments, dict), "a call without name or with arguments that are no object", call)
        self.told.tools.append((name, arguments))

    def finish(self, line: Json) -> None:
        """The fields of the last line."""
        self.over = True
        for name in (*_DURATIONS, *_COUNTS):
            require(isinstance(line[name], int) and line[name] >= 0, f"no {name}", line)
        require(line["eval_duration"] > 0 and line["prompt_eval_duration"] > 0, "a division by zero", line)
        require(line["total_duration"] < 3_600_000_000_000, "hours", line)
        reason = {"stop": "tool" if self.told.tools else "end", "length": "length"}
        self.told.stop = reason[line["done_reason"]]
        self.told.usage = {"input": line["prompt_eval_count"], "output": line["eval_count"]}


def ollama_stream(stream: bytes, *, generate: bool = False) -> Told:
    """What a client is told by a stream of lines."""
    require(stream.endswith(b"\n"), "the stream ends inside a line", stream[-40:])
    reading = OllamaStream(generate=generate)
    for line in stream.decode().split("\n")[:-1]:
        require(line.strip(), "a blank line", stream)
        value = json.loads(line)
        require(isinstance(value, dict), "a line that is no object", line)
        reading.take(value)
    require(reading.over, "the stream is cut", stream[-80:])
    return reading.told


def ollama_reply(body: bytes, *, generate: bool = False) -> Told:
    """What a client is told by a whole answer."""
    reply = json.loads(body)
    require(reply["done"] is True, "an answer that is not done", reply)
    reading = OllamaStream(generate=generate)
    spoken = reply if generate else reply["message"]
    for call in spoken.pop("tool_calls", []):
        reading.call(call)
    reading.told.text = spoken["response" if generate else "content"]
    reading.told.thinking = spoken.pop("thinking", "")
    spoken["response" if generate else "content"] = ""
    reading.take(reply)
    return reading.told


class OllamaRequest:
    """`/api/chat`: content is text, pictures are base64, and the results of calls follow them in their order."""

    def __init__(self, body: Json, *, strict: bool) -> None:
        self.require = require if strict else _believe
        self.require(isinstance(body.get("stream"), bool), "stream left to the server", body)
        options = body.get("options") or {}
        limit = options.get("num_predict")
        stop = options.get("stop") or []
        self.heard = Heard(
            model=body["model"],
            max_tokens=limit if limit and limit > 0 else None,
            stop=[stop] if isinstance(stop, str) else stop,
        )
        self.open: list[str] = []
        self.require(body["messages"], "a request that only loads the model", body)
        for message in body["messages"]:
            self.message(message)
        self.require(not self.open, "a tool call without its result", self.open)
        for tool in body.get("tools") or []:
            self.require(tool["type"] == "function" and tool["function"]["parameters"], "no function", tool)
            self.heard.tools.append(tool["function"]["name"])
        form = body.get("format")
        self.heard.schema = form if isinstance(form, dict) else None
        think = body.get("think")
        self.heard.effort = think if isinstance(think, str) else ""
        self.heard.thinks = bool(think)

    def message(self, message: Json) -> None:
        role, content = message["role"], message.get("content") or ""
        self.require(isinstance(message.get("content"), str), "content that is no text", message)
        images: list[Any] = message.get("images") or []
        self.require(all(_BASE64.fullmatch(image) for image in images), "a picture that is no base64", message)
        self.heard.images += images
        if role == "tool":
            self.require([message.get("tool_name")] == self.open[:1], "a result out of its order", message)
            self.open = self.open[1:]
            self.heard.results.append(content)
            return
        self.require(not self.open, "a message between calls and their results", message)
        self.require(role in ("system", "user", "assistant"), "an unknown role", message)
        self.heard.texts += [content] if content else []
        for call in message.get("tool_calls") or []:
            arguments = call["function"]["arguments"]
            self.require(isinstance(arguments, dict), "arguments that are no object", call)
            self.heard.calls.append((call["function"]["name"], arguments))
            self.open.append(call["function"]["name"])


def sayable(heard: Heard) -> Heard:
    """What the Ollama API can say of a request: without a tool choice, only tools that may be called are offered."""
    tools = [tool for tool in heard.tools if heard.forced in ("", "any", tool)]
    return structs.replace(heard, tools=tools, forced="", parallel=True)


def _believe(condition: object, complaint: str, at: object = "") -> None:
    """Takes a client's own request as it is."""


STREAMS["ollama"] = ollama_stream
REPLIES["ollama"] = ollama_reply
STOPS["ollama"] = {"sequence": "end", "context": "length", "pause": "end", "refusal": "end"}
ENDINGS["ollama"] = rb'"done":\s*true'
HEARINGS["ollama"] = OllamaRequest  # type: ignore[assignment]
