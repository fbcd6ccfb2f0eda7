"""Turns as chat messages, in the order that chat servers insist on: every call is followed by its results at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec import Raw, UnsetType

from llmux.errors import Kind, LlmuxError
from llmux.protocols import seals
from llmux.protocols.dialog import Dialog, Document, Image, Loss, Part, Text, Thinking, ToolCall, ToolResult, Turn
from llmux.protocols.openai_chat.turns import merged
from llmux.protocols.tool_names import Names
from llmux.protocols.wording import attached, heading, result_text, shown_to, spoken
from llmux.routing.backend import Backend

Message = dict[str, Any]

NO_RESULT = "(no result: the call was not answered)"
"""Stands in for the result of a call that has none: chat servers refuse a call without its tool message."""

_BREAKPOINTS = 4
_MEDIA = (Image, Document)
_BILLING = "x-anthropic-billing-header"


class MessagesWriter:
    """Writes the messages of one request; `losses` is what they could not carry."""

    def __init__(self, backend: Backend, names: Names, custom: frozenset[str]) -> None:
        self.losses: list[Loss] = []
        self._backend = backend
        self._names = names
        self._custom = custom
        self._breakpoints = 0
        self._turns: Sequence[Turn] = ()

    def write(self, dialog: Dialog) -> list[Message]:
        """All messages. Raises LlmuxError(unsupported) that names content the backend cannot take."""
        self._turns = dialog.turns
        messages: list[Message] = []
        # Claude Code's first block holds a hash of the request: it spoils every prefix cache and means nothing here.
        system = [text for text in dialog.system if text.text and not text.text.startswith(_BILLING)]
        if system:
            role = self._backend.quirks.system_role
            messages.append({"role": role, "content": self._content(system)})
        turns = merged(dialog.turns)
        index = 0
        while index < len(turns):
            turn = turns[index]
            index += 1
            if turn.role != "assistant":
                messages.extend(self._other(turn, (), ()))
                continue
            messages.extend(self._assistant(turn))
            end = index
            while end < len(turns) and turns[end].role != "assistant":
                end += 1
            messages.extend(self._answers(turn, turns[index:end]))
            index = end
        if messages and turns and turns[-1].role == messages[-1]["role"] == "assistant":
            self._lost("prefill", "the backend begins a new answer instead of going on with the last one")
        return messages

    def _assistant(self, turn: Turn) -> list[Message]:
        text = spoken(turn.parts)
        calls: list[Message] = []
        thoughts: list[Thinking] = []
        for part in turn.parts:
            if isinstance(part, ToolCall):
                calls.append(self._call(part))
            elif isinstance(part, Thinking):
                if part.text.strip() or part.seal:
                    thoughts.append(part)
            elif isinstance(part, _MEDIA):
                raise self._unsupported(part, "an assistant message can only hold text")
        message: Message = {"role": "assistant", "content": text or (None if calls else "")}
        if thoughts or (calls and self._backend.quirks.reasoning_required):
            message.update(self._reasoning(thoughts, bool(calls)))
        if calls:
            message["tool_calls"] = calls
        return [message] if text or len(message) > 2 else []

    def _call(self, call: ToolCall) -> Message:
        arguments = call.arguments
        if call.custom or call.name in self._custom:
            arguments = msgspec.json.encode({"input": call.arguments}).decode()
        written: Message = {
            "id": call.id,
            "type": "function",
            "function": {"name": self._names.write(call.name, call.namespace), "arguments": arguments or "{}"},
        }
        extra = _own(call.extra, self._backend.provider)
        if extra is not None:
            written["extra_content"] = extra
        return written

    def _reasoning(self, thoughts: Sequence[Thinking], calls: bool) -> Message:
        """Earlier reasoning for a backend that takes it back: its own, or words that were never under a seal."""
        quirks = self._backend.quirks
        kept = [part for part in thoughts if shown_to(part, self._backend.provider)]
        if len(kept) < len(thoughts) or (kept and not quirks.reasoning_field):
            self._lost("thinking", "earlier reasoning goes back only to the provider it came from")
        field = quirks.reasoning_field
        if not field:
            return {}
        details = [detail for part in kept for detail in _details(part)]
        if field == "reasoning_details" and details:
            return {field: details}
        words = "\n".join(part.text for part in kept if part.text)
        if not words and not (quirks.reasoning_required and calls):
            return {}
        return {"reasoning" if field == "reasoning_details" else field: words or " "}

    def _answers(self, turn: Turn, following: Sequence[Turn]) -> list[Message]:
        """The tool messages of one assistant turn, all of them first, then everything else that follows it."""
        waiting = [part.id for part in turn.parts if isinstance(part, ToolCall)]
        answered: list[ToolResult] = []
        for other in following if waiting else ():
            for part in other.parts:
                if isinstance(part, ToolResult) and part.call_id in waiting:
                    waiting.remove(part.call_id)
                    answered.append(part)
        told = [(result.call_id, result_text(result)) for result in answered]
        told += [(identity, NO_RESULT) for identity in waiting]
        answers: list[Message] = [{"role": "tool", "tool_call_id": name, "content": text} for name, text in told]
        # What tool messages cannot hold comes right after the last of them, in the first message of the user.
        media = attached(answered, by_name=False)
        done = {id(result) for result in answered}  # these very ones: an equal one may stand there twice
        for other in following:
            answers.extend(self._other(other, done, media))
            if other.role == "user":
                media = []
        return answers

    def _other(self, turn: Turn, answered: Collection[int], media: Sequence[Part]) -> list[Message]:
        """A user or system turn without the results that are answered already (by `id`)."""
        parts: list[Part] = [*media] if turn.role == "user" else []
        for part in turn.parts:
            if not isinstance(part, ToolResult):
                parts.append(part)
            elif id(part) not in answered:  # an orphan: its call is not in the conversation
                parts.append(Text(f"Tool result: {result_text(part)}"))
                parts.extend(attached((part,), by_name=False))
        if not parts:
            return []
        if turn.role == "user":
            return [{"role": "user", "content": self._content(parts)}]
        if self._backend.quirks.system_anywhere:
            return [{"role": self._backend.quirks.system_role, "content": self._content(parts)}]
        text = "\n\n".join(part.text for part in parts if isinstance(part, Text))
        return [{"role": "user", "content": f"<system-reminder>\n{text}\n</system-reminder>"}]

    def _content(self, parts: Sequence[Part]) -> str | list[Message]:
        """One string where it is all text (many servers know no lists), else the parts in order."""
        written: list[Message] = []
        for part in parts:
            made = self._part(part)
            if made is None:
                continue
            if made["type"] == "file" and isinstance(part, Document) and part.context:  # a file has no place for it
                written.append({"type": "text", "text": part.context})
            self._hint(made, part)
            written.append(made)
        if all(len(part) == 2 and part["type"] == "text" for part in written):
            return "\n\n".join(part["text"] for part in written)
        return written

    def _part(self, part: Part) -> Message | None:
        match part:
            case Text():
                return {"type": "text", "text": part.text} if part.text else None
            case Image():
                return {"type": "image_url", "image_url": self._picture(part)}
            case Document():
                return self._document(part)
        raise self._unsupported(part, f"a chat message cannot hold a {type(part).__name__}")

    def _picture(self, image: Image) -> Message:
        if not self._backend.vision:
            raise self._unsupported(image, "this backend takes no images")
        if image.url and not self._backend.quirks.image_urls:
            raise self._unsupported(image, "this backend takes images as data only, not by address")
        picture: Message = {"url": image.url or f"data:{image.media_type or 'image/png'};base64,{image.data}"}
        if image.detail:
            picture["detail"] = image.detail
        return picture

    def _document(self, document: Document) -> Message:
        head = heading(document)
        if document.text or not (document.data or document.url):
            return {"type": "text", "text": f"{head}\n\n{document.text}" if head else document.text}
        if not self._backend.documents:
            raise self._unsupported(document, "this backend takes no documents")
        if document.url:
            raise self._unsupported(document, "this backend takes documents as data only, not by address")
        data = f"data:{document.media_type or 'application/pdf'};base64,{document.data}"
        return {"type": "file", "file": {"filename": document.title or "document.pdf", "file_data": data}}

    def _hint(self, written: Message, part: Part) -> None:
        """The client's cache hint, in the words of a backend that takes one; at most four breakpoints."""
        cache = getattr(part, "cache", None)
        if not isinstance(cache, Raw) or self._breakpoints == _BREAKPOINTS or not self._backend.quirks.cache_hints:
            return
        self._breakpoints += 1
        if self._backend.quirks.cache_hints == "passthrough":
            written["cache_control"] = cache
        else:
            written["prompt_cache_breakpoint"] = {"mode": "explicit"}

    def _unsupported(self, part: Part, why: str) -> LlmuxError:
        place = _place(part, self._turns)
        return LlmuxError(Kind.unsupported, f"{place}: {why}", param=place)

    def _lost(self, field: str, why: str) -> None:
        loss = Loss(field, why)
        if loss not in self.losses:
            self.losses.append(loss)


def _place(part: Part, turns: Sequence[Turn]) -> str:
    """Where a part stands in the dialog, be it in a tool's result."""
    for number, turn in enumerate(turns):
        for index, own in enumerate(turn.parts):
            place = f"messages[{number}].content[{index}]"
            if own is part:
                return place
            for inner, held in enumerate(own.parts if isinstance(own, ToolResult) else ()):
                if held is part:
                    return f"{place}.content[{inner}]"
    return "messages"


def _details(part: Thinking) -> list[Any]:
    """The `reasoning_details` that a seal holds, to be given back unchanged."""
    if part.seal is None or not part.seal.data.startswith("["):
        return []
    try:
        details = msgspec.json.decode(part.seal.data)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return []
    return details if isinstance(details, list) else []


def _own(extra: Raw | UnsetType, provider: str) -> Any:
    """A call's extra data when it is sealed by this provider, else None."""
    if not isinstance(extra, Raw):
        return None
    try:
        seal = seals.open_(msgspec.json.decode(extra, type=str))
        return msgspec.json.decode(seal.data) if seal.origin == provider else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
