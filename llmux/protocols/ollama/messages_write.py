"""Turns as Ollama's messages: text and pictures apart, every call followed by its result, in the order of the calls.

Ollama's prompt templates know no ids: a result belongs to the call that stands in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Dialog, Document, Image, Loss, Part, Text, Thinking, ToolCall, ToolResult, Turn
from llmux.protocols.wording import attached, heading, result_text, shown_to, spoken
from llmux.routing.backend import Backend

Message = dict[str, Any]

NO_RESULT = "(no result: the call was not answered)"
"""Stands in for the result of a call that has none, so that the later ones keep their places."""

_BILLING = "x-anthropic-billing-header"


class MessagesWriter:
    """Writes the messages of one request; `losses` is what they could not carry.

    name: the tool name that the backend knows, of a call's name and namespace; custom: names of custom tools, whose
    free text travels as the one argument `input`
    """

    def __init__(self, backend: Backend, name: Callable[[str, str], str], custom: frozenset[str]) -> None:
        self.losses: list[Loss] = []
        self._backend = backend
        self._name = name
        self._custom = custom

    def write(self, dialog: Dialog) -> list[Message]:
        """All messages. Raises LlmuxError(unsupported) that names content the backend cannot take."""
        messages: list[Message] = []
        # Claude Code's first block holds a hash of the request: it spoils every prefix cache and means nothing here.
        system = [text.text for text in dialog.system if text.text and not text.text.startswith(_BILLING)]
        if system:
            messages.append({"role": "system", "content": "\n\n".join(system)})
        turns = _merged(dialog.turns)
        index = 0
        while index < len(turns):
            number, turn = turns[index]
            index += 1
            if turn.role != "assistant":
                messages.extend(self._other(turn, (), (), f"messages[{number}]"))
                continue
            messages.extend(self._assistant(turn, f"messages[{number}]"))
            end = index
            while end < len(turns) and turns[end][1].role != "assistant":
                end += 1
            messages.extend(self._answers(turn, turns[index:end]))
            index = end
        return messages

    def _assistant(self, turn: Turn, place: str) -> list[Message]:
        message: Message = {"role": "assistant", "content": spoken(turn.parts)}
        if thinking := self._thinking(turn):
            message["thinking"] = thinking
        calls = [part for part in turn.parts if isinstance(part, ToolCall)]
        if calls:
            message["tool_calls"] = [self._call(call, number) for number, call in enumerate(calls)]
        for number, part in enumerate(turn.parts):
            if isinstance(part, Image | Document):
                where = f"{place}.content[{number}]"
                raise LlmuxError(Kind.unsupported, f"{where}: an assistant message can only hold text", param=where)
        return [message] if message["content"] or len(message) > 2 else []

    def _call(self, call: ToolCall, number: int) -> Message:
        free = call.custom or call.name in self._custom
        arguments = {"input": call.arguments} if free else _object(call.arguments)
        name = self._name(call.name, call.namespace)
        return {"id": call.id, "function": {"index": number, "name": name, "arguments": arguments}}

    def _thinking(self, turn: Turn) -> str:
        """Earlier reasoning for a backend that thinks: its own, or words that were never under a seal."""
        thoughts = [part for part in turn.parts if isinstance(part, Thinking) and (part.text.strip() or part.seal)]
        kept = [part for part in thoughts if part.text and shown_to(part, self._backend.provider)]
        if len(kept) < len(thoughts) or (kept and not self._backend.thinking):
            self._lost("thinking", "earlier reasoning goes back only to the provider it came from")
        return "\n".join(part.text for part in kept) if self._backend.thinking else ""

    def _answers(self, turn: Turn, following: Sequence[tuple[int, Turn]]) -> list[Message]:
        """The tool messages of one assistant turn, in the order of its calls, then everything else that follows it."""
        waiting: dict[str, list[ToolResult]] = {}
        for _, other in following:
            for part in other.parts:
                if isinstance(part, ToolResult):
                    waiting.setdefault(part.call_id, []).append(part)
        answered: list[ToolResult] = []
        messages: list[Message] = []
        for call in (part for part in turn.parts if isinstance(part, ToolCall)):
            content = NO_RESULT
            if results := waiting.get(call.id):
                answered.append(results.pop(0))
                content = result_text(answered[-1])
            name = self._name(call.name, call.namespace)
            messages.append({"role": "tool", "content": content, "tool_name": name, "tool_call_id": call.id})
        # What tool messages cannot hold comes right after the last of them, in the first message of the user.
        media = attached(answered, by_name=True)
        for number, other in following:
            messages.extend(self._other(other, answered, media, f"messages[{number}]"))
            if other.role == "user":
                media = []
        return messages

    def _other(self, turn: Turn, answered: Sequence[ToolResult], media: Sequence[Part], place: str) -> list[Message]:
        """A user or system turn without the results that are answered already."""
        parts: list[Part] = [*media] if turn.role == "user" else []
        for part in turn.parts:
            if not isinstance(part, ToolResult):
                parts.append(part)
            elif not any(part is result for result in answered):  # an orphan: its call is not in the conversation
                parts.append(Text(f"Tool result: {result_text(part)}"))
                parts.extend(attached((part,), by_name=True))
        if not parts:
            return []
        message = self._words(parts, place)
        if turn.role == "user":
            return [{"role": "user", **message}]
        if self._backend.quirks.system_anywhere:
            return [{"role": "system", **message}]
        return [{"role": "user", "content": f"<system-reminder>\n{message['content']}\n</system-reminder>"}]

    def _words(self, parts: Sequence[Part], place: str) -> Message:
        """`content` and `images` of a message."""
        texts: list[str] = []
        images: list[str] = []
        for number, part in enumerate(parts):
            where = f"{place}.content[{number}]"
            match part:
                case Text():
                    texts.append(part.text)
                case Image():
                    images.append(self._picture(part, where))
                case Document():
                    texts.append(_document(part, where))
                case _:
                    kind = type(part).__name__
                    raise LlmuxError(Kind.unsupported, f"{where}: a message cannot hold a {kind}", param=where)
        message: Message = {"content": "\n\n".join(text for text in texts if text)}
        if images:
            message["images"] = images
        return message

    def _picture(self, image: Image, place: str) -> str:
        if not self._backend.vision:
            raise LlmuxError(Kind.unsupported, f"{place}: this backend takes no images", param=place)
        if image.url or not image.data:
            raise LlmuxError(
                Kind.unsupported, f"{place}: this backend takes images as data only, not by address", param=place
            )
        return image.data

    def _lost(self, field: str, why: str) -> None:
        loss = Loss(field, why)
        if loss not in self.losses:
            self.losses.append(loss)


def _merged(turns: Sequence[Turn]) -> list[tuple[int, Turn]]:
    """The turns with their numbers, neighbouring assistant turns as one: their calls are answered together."""
    merged: list[tuple[int, Turn]] = []
    for number, turn in enumerate(turns):
        if turn.role == "assistant" and merged and merged[-1][1].role == "assistant":
            first, earlier = merged[-1]
            merged[-1] = (first, Turn("assistant", earlier.parts + turn.parts))
        else:
            merged.append((number, turn))
    return merged


def _object(arguments: str) -> Raw | dict[str, Any]:
    """Arguments as the object that Ollama insists on; text that is none stays readable under `_raw`."""
    text = arguments.strip()
    if not text:
        return {}
    try:
        msgspec.json.decode(text, type=dict[str, Raw])
        return Raw(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {"_raw": arguments}


def _document(document: Document, place: str) -> str:
    if not document.text and (document.data or document.url):
        raise LlmuxError(Kind.unsupported, f"{place}: this backend takes no documents", param=place)
    return "\n\n".join(words for words in (heading(document), document.text) if words)
