"""Turns as input items: every call is followed by its output before anything else comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llmux.errors import Kind, LlmuxError
from llmux.protocols import seals
from llmux.protocols.dialog import Dialog, Document, Image, Loss, Part, Text, Thinking, ToolCall, ToolResult, Turn
from llmux.protocols.openai_responses.sealed import unsealed
from llmux.protocols.tool_names import Names
from llmux.routing.backend import Backend

Item = dict[str, Any]

NO_OUTPUT = "(no output: the call was not answered)"
"""Stands in for the output of a call that has none: servers refuse a call without it."""


class ItemsWriter:
    """Writes the input of one request; `losses` is what it could not carry."""

    def __init__(self, backend: Backend, names: Names) -> None:
        self.losses: list[Loss] = []
        self._backend = backend
        self._names = names
        self._items: list[Item] = []
        self._waiting: dict[str, tuple[str, bool]] = {}  # the client's id -> (ours, custom) of calls to be answered
        self._calls: list[Item] = []  # of the answer under way: they come last in it
        self._outputs: list[Item] = []
        self._later: list[Item] = []
        self._used: set[str] = set()

    def write(self, dialog: Dialog) -> list[Item]:
        """All items. Raises LlmuxError(unsupported) that names content the backend cannot take."""
        for number, turn in enumerate(dialog.turns):
            place = f"input[{number}]"
            if turn.role == "assistant":
                self._assistant(turn, place)
            else:
                self._other(turn, place)
        self._answer()
        return self._items

    def _assistant(self, turn: Turn, place: str) -> None:
        if self._outputs or self._later:
            self._answer()
        for number, part in enumerate(turn.parts):
            match part:
                case Text() if part.text:
                    self._items.append(_message("assistant", [{"type": "output_text", "text": part.text}]))
                case Thinking():
                    self._items.extend(self._reasoning(part))
                case ToolCall():
                    self._calls.append(self._call(part))
                case Image() | Document() | ToolResult():
                    where = f"{place}.content[{number}]"
                    raise LlmuxError(Kind.unsupported, f"{where}: an assistant message can only hold text", param=where)

    def _call(self, call: ToolCall) -> Item:
        identity, number = call.id, 2
        while identity in self._used:
            identity, number = f"{call.id}_{number}", number + 1
        self._used.add(identity)
        self._waiting[call.id] = (identity, call.custom)
        name = self._names.write(call.name, call.namespace)
        if call.custom:
            return {"type": "custom_tool_call", "call_id": identity, "name": name, "input": call.arguments}
        return {"type": "function_call", "call_id": identity, "name": name, "arguments": call.arguments or "{}"}

    def _reasoning(self, part: Thinking) -> list[Item]:
        """Earlier reasoning for the provider that encrypted it. Readable words alone are no input anywhere."""
        if self._backend.thinking and part.seal is not None and part.seal.origin:
            identity, encrypted = unsealed(part.seal)
            if encrypted and seals.fits(part.seal, self._backend.provider):
                summary = [{"type": "summary_text", "text": part.text}] if part.text else []
                item: Item = {"type": "reasoning", "summary": summary, "encrypted_content": encrypted}
                return [{"id": identity, **item} if identity else item]
        if part.text.strip() or part.seal:
            self._lost("thinking", "earlier reasoning goes back only to the provider that encrypted it")
        return []

    def _other(self, turn: Turn, place: str) -> None:
        """A user's or a system's turn: outputs go to their calls, everything else behind them."""
        parts: list[Part] = []
        for number, part in enumerate(turn.parts):
            if not isinstance(part, ToolResult):
                parts.append(part)
            elif part.call_id in self._waiting:
                self._outputs.append(self._output(part, f"{place}.content[{number}]"))
            else:  # an orphan: its call is not in the conversation
                parts += [Text("Tool result:"), *part.parts]
        if not parts:
            return
        message = self._message(turn, parts, place)
        if message is None:
            return
        if self._waiting or self._outputs:
            self._later.append(message)
        else:
            self._items.append(message)

    def _message(self, turn: Turn, parts: Sequence[Part], place: str) -> Item | None:
        if turn.role == "user":
            content = self._content(parts, place)
            return _message("user", content) if content else None
        words = "\n\n".join(part.text for part in parts if isinstance(part, Text) and part.text)
        if not words:
            return None
        if self._backend.quirks.system_anywhere:
            return _message(self._backend.quirks.system_role, [{"type": "input_text", "text": words}])
        words = f"<system-reminder>\n{words}\n</system-reminder>"
        return _message("user", [{"type": "input_text", "text": words}])

    def _output(self, result: ToolResult, place: str) -> Item:
        identity, custom = self._waiting.pop(result.call_id)
        content = self._content(result.parts, place)
        if all(part["type"] == "input_text" for part in content):
            words = "\n".join(part["text"] for part in content)
            output: Any = f"Error: {words}" if result.is_error else words
        else:
            output = [{"type": "input_text", "text": "Error:"}, *content] if result.is_error else content
        kind = "custom_tool_call_output" if custom else "function_call_output"
        return {"type": kind, "call_id": identity, "output": output}

    def _answer(self) -> None:
        """The last calls with their outputs, and then what waited for them."""
        for identity, custom in self._waiting.values():
            kind = "custom_tool_call_output" if custom else "function_call_output"
            self._outputs.append({"type": kind, "call_id": identity, "output": NO_OUTPUT})
        self._items += [*self._calls, *self._outputs, *self._later]
        self._waiting, self._calls, self._outputs, self._later = {}, [], [], []

    def _content(self, parts: Iterable[Part], place: str) -> list[Item]:
        written: list[Item] = []
        for number, part in enumerate(parts):
            where = f"{place}.content[{number}]"
            match part:
                case Text():
                    made = {"type": "input_text", "text": part.text} if part.text else None
                case Image():
                    made = self._picture(part, where)
                case Document():
                    made = self._document(part, where)
                case _:
                    why = f"{where}: a message cannot hold a {type(part).__name__}"
                    raise LlmuxError(Kind.unsupported, why, param=where)
            if made is not None:
                written.append(made)
        return written

    def _picture(self, image: Image, place: str) -> Item:
        if not self._backend.vision:
            raise LlmuxError(Kind.unsupported, f"{place}: this backend takes no images", param=place)
        if image.url and not self._backend.quirks.image_urls:
            why = f"{place}: this backend takes images as data only, not by address"
            raise LlmuxError(Kind.unsupported, why, param=place)
        url = image.url or f"data:{image.media_type or 'image/png'};base64,{image.data}"
        return {"type": "input_image", "image_url": url, "detail": image.detail or "auto"}

    def _document(self, document: Document, place: str) -> Item:
        head = "\n".join(words for words in (document.title, document.context) if words)
        if document.text or not (document.data or document.url):
            return {"type": "input_text", "text": f"{head}\n\n{document.text}" if head else document.text}
        if not self._backend.documents:
            raise LlmuxError(Kind.unsupported, f"{place}: this backend takes no documents", param=place)
        if document.context:
            self._lost("context", "a file has a name and no context")
        if document.url:
            return {"type": "input_file", "file_url": document.url}
        data = f"data:{document.media_type or 'application/pdf'};base64,{document.data}"
        return {"type": "input_file", "filename": document.title or "document.pdf", "file_data": data}

    def _lost(self, field: str, why: str) -> None:
        loss = Loss(field, why)
        if loss not in self.losses:
            self.losses.append(loss)


def _message(role: str, content: list[Item]) -> Item:
    return {"type": "message", "role": role, "content": content}
