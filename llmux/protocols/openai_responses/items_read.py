"""Input items as turns.

Reasoning, words and calls that belong to one answer make one assistant turn; the outputs of its calls, in whatever
order they come, make the one user turn that follows it.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Sequence

from msgspec import Raw

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols import fields, seals
from llmux.protocols.dialog import Document, Image, Loss, Part, Text, Thinking, ToolCall, ToolResult, Turn
from llmux.protocols.openai_parts import cache_hint, data_url, picture
from llmux.protocols.openai_responses import wire
from llmux.protocols.openai_responses.state import REFERENCE, REFERENCE_WHY, kept
from llmux.protocols.openai_responses.tools_read import SEARCH, ToolsReader

_Media = Text | Image | Document


class ItemsReader:
    """Reads the input of one request in order; `system`, `turns` and `losses` are what it tells.

    tools: gathers the tools that items bring (`additional_tools`, what a tool search has found).
    """

    def __init__(self, tools: ToolsReader) -> None:
        self.system: list[Text] = []
        self.turns: list[Turn] = []
        self.losses: list[Loss] = []
        self._tools = tools
        self._parts: list[Part] = []  # of the assistant turn under way
        self._results: list[Part] = []
        self._calls: list[tuple[str, str, str]] = []  # (id on the wire, our id, name) of calls without a result yet
        self._answered: set[str] = set()
        self._used: set[str] = set()
        self._coming: Counter[str] = Counter()

    def read(self, value: Raw) -> None:
        """Reads `input`. Raises LlmuxError that names the place of what is wrong or cannot be carried."""
        if fields.head(value) == b'"':
            self.turns.append(Turn("user", (Text(fields.decode(fields.TEXT, value, "input")),)))
            return
        items = fields.decode(wire.ITEMS, value, "input")
        self._coming = Counter(item.call_id for item in items if item.call_id and _is_output(item))
        for index, item in enumerate(items):
            self._item(item, f"input[{index}]")
        self._finish()

    def _item(self, item: wire.Item, place: str) -> None:
        kind = item.type or "message"
        if kind == "message":
            self._message(item, place)
        elif kind == "reasoning":
            self._speak(_thinking(item, place))
        elif kind in _CALLS:
            self._call(item, kind, place)
        elif kind == "tool_search_output":
            self._found(item, place)
        elif kind in _OUTPUTS:
            self._output(item, place, _output(item.output, f"{place}.output"))
        elif kind == "additional_tools":
            if item.tools != fields.NULL:
                self._tools.read(item.tools, f"{place}.tools")
        elif kind in _STATE:
            raise kept(place, _STATE[kind])
        elif kind in _HOSTED or kind.startswith("mcp_"):
            self.losses.append(Loss(place, "work of the provider's own tools; the answer that followed tells it"))
        else:
            raise LlmuxError(
                Kind.unsupported,
                f"{place}: an item of type {kind!r} cannot be translated for this backend",
                param=place,
            )

    def _message(self, item: wire.Item, place: str) -> None:
        parts = content(item.content, f"{place}.content")
        match item.role:
            case "assistant":
                self._speak([part for part in parts if not (isinstance(part, Text) and not part.text)])
            case "user":
                self._finish()
                self.turns.append(Turn("user", tuple(parts)))
            case "system" | "developer":
                self._finish()
                texts = [_instruction(part, f"{place}.content[{number}]") for number, part in enumerate(parts)]
                if self.turns:
                    self.turns.append(Turn("system", tuple(texts)))
                else:
                    self.system.extend(texts)
            case role:
                raise bad_request(f"{place}.role: unknown role {role!r}", f"{place}.role")

    def _speak(self, parts: Sequence[Part]) -> None:
        """More of the assistant's: of the turn under way while a call of it still waits for an output that comes,
        else of a new one."""
        if self._results and not any(self._coming[wire_id] for wire_id, _, _ in self._calls):
            self._finish()
        self._parts.extend(parts)

    def _call(self, item: wire.Item, kind: str, place: str) -> None:
        if kind == "tool_search_call" and item.execution == "server":
            self.losses.append(Loss(place, "a search of the provider's own"))
            return
        name = item.name or _CALLS[kind]
        if not name:
            raise bad_request(f"{place}.name: required", f"{place}.name")
        self._speak(())
        wire_id = item.call_id or item.id or ""
        identity = self._unique(wire_id or f"call_{len(self.turns)}_{len(self._calls)}")
        self._calls.append((wire_id, identity, name))
        custom = kind == "custom_tool_call"
        arguments = item.input or "" if custom else _arguments(item, place)
        self._parts.append(ToolCall(identity, name, arguments, custom=custom, namespace=item.namespace or ""))

    def _unique(self, identity: str) -> str:
        name, number = identity, 2
        while name in self._used:
            name, number = f"{identity}_{number}", number + 1
        self._used.add(name)
        return name

    def _found(self, item: wire.Item, place: str) -> None:
        """What a tool search found: its result in words, and tools that can be called from now on."""
        found = [] if item.tools == fields.NULL else self._tools.read(item.tools, f"{place}.tools")
        if item.execution == "server":
            return
        names = [f"{tool.namespace}__{tool.name}" if tool.namespace else tool.name for tool in found]
        words = f"Tools found, which can be called now: {', '.join(names)}" if names else "No tools were found."
        self._output(item, place, [Text(words)], SEARCH)

    def _output(self, item: wire.Item, place: str, parts: Sequence[_Media], name: str = "") -> None:
        wire_id = item.call_id or ""
        if wire_id:
            self._coming[wire_id] -= 1
        identity = self._asked(wire_id, name or item.name or "")
        if identity in self._answered:
            self.losses.append(Loss(place, "the call has its output already"))
            return
        self._answered.add(identity)
        self._results.append(ToolResult(identity, tuple(parts), name=name or item.name or ""))

    def _asked(self, wire_id: str, name: str) -> str:
        """Our id of the call that an output answers: by its id, without one by name, else the next in order.

        An id that nobody called stays what it is: the writer decides what an orphan becomes.
        """
        for number, (identity, ours, called) in enumerate(self._calls):
            if identity == wire_id if wire_id else called == name:
                del self._calls[number]
                return ours
        if wire_id:
            return wire_id
        return self._calls.pop(0)[1] if self._calls else ""

    def _finish(self) -> None:
        """Ends the assistant turn under way, with the outputs of its calls behind it."""
        if self._parts:
            self.turns.append(Turn("assistant", tuple(self._parts)))
        if self._results:
            self.turns.append(Turn("user", tuple(self._results)))
        if self._parts or self._results:
            # a call whose output comes later still waits for it; ids may come again in another turn
            self._calls = [call for call in self._calls if self._coming[call[0]] > 0]
            self._parts, self._results = [], []


def content(value: Raw, place: str) -> list[_Media]:
    """The parts of a message's or an output's content: none for null, one for a string."""
    if value == fields.NULL:
        return []
    if fields.head(value) == b'"':
        return [Text(fields.decode(fields.TEXT, value, place))]
    views = fields.decode(wire.PARTS, value, place)
    return [_part(view, f"{place}[{number}]") for number, view in enumerate(views)]


def _output(value: Raw, place: str) -> list[_Media]:
    """What a tool gave back: words, content parts, or any JSON (a shell's streams) as its text."""
    if fields.head(value) in (b'"', b"n"):
        return content(value, place)
    if fields.head(value) == b"[" and any(part.type for part in fields.decode(wire.LIGHT_PARTS, value, place)):
        return content(value, place)
    return [Text(fields.text_of(value, place))]


def _part(part: wire.Part, place: str) -> _Media:
    hint = cache_hint(fields.NULL, part.prompt_cache_breakpoint)
    if part.type in _WORDS or (not part.type and part.text is not None):
        return Text(part.text or "", hint)
    if part.type == "refusal":
        return Text(part.refusal or "")
    if part.type in ("input_image", "image_url", "computer_screenshot") and part.image_url is not None:
        image = part.image_url if isinstance(part.image_url, wire.Url) else wire.Url(part.image_url, part.detail)
        return picture(image.url, image.detail or "", hint, f"{place}.image_url")
    if part.type == "input_file" and (part.file_data or part.file_url):
        return _file(part, place)
    if part.file_id:
        why = "a file by id stays with the provider it was uploaded to; send its data instead"
        raise kept(f"{place}.file_id", why)
    raise LlmuxError(
        Kind.unsupported, f"{place}: content of type {part.type!r} cannot be translated for this backend", param=place
    )


def _file(part: wire.Part, place: str) -> Document:
    hint = cache_hint(fields.NULL, part.prompt_cache_breakpoint)
    title = part.filename or ""
    if not part.file_data:
        return Document(media_type="application/pdf", url=part.file_url or "", title=title, cache=hint)
    if part.file_data.startswith("data:"):
        media_type, data = data_url(part.file_data, f"{place}.file_data")
    else:
        media_type, data = "application/pdf", part.file_data
    if media_type.startswith("text/"):
        try:
            return Document(text=base64.b64decode(data, validate=True).decode(), title=title, cache=hint)
        except (binascii.Error, ValueError):
            raise bad_request(f"{place}.file_data: not base64 of UTF-8 text", f"{place}.file_data") from None
    return Document(media_type=media_type, data=data, title=title, cache=hint)


def _instruction(part: _Media, place: str) -> Text:
    if not isinstance(part, Text):
        raise LlmuxError(Kind.unsupported, f"{place}: instructions can only be text", param=place)
    return part


def _thinking(item: wire.Item, place: str) -> list[Part]:
    """Earlier reasoning: its summary, else its own words; what is encrypted counts only under our seal, because no
    other backend can read what OpenAI encrypted for itself."""
    words = "\n\n".join(part.text for part in item.summary or [] if part.text)
    if not words and fields.head(item.content) == b"[":
        parts = fields.decode(wire.WORDS, item.content, f"{place}.content")
        words = "".join(part.text for part in parts if part.text)
    sealed = item.encrypted_content or ""
    seal = seals.open_(sealed) if sealed.startswith(seals.MARK) else None
    if not words and (seal is None or not seal.data):
        return []
    return [Thinking(words, seal, hidden=not words)]


def _arguments(item: wire.Item, place: str) -> str:
    """The JSON text of a call's arguments, or of what a shell or patch call holds in their place."""
    value = next((raw for raw in (item.arguments, item.action, item.operation) if raw != fields.NULL), None)
    if value is None:
        return "{}"
    where = f"{place}.arguments"
    if fields.head(value) == b'"':
        return fields.decode(fields.TEXT, value, where).strip() or "{}"
    return fields.text_of(value, where)


def _is_output(item: wire.Item) -> bool:
    return item.type in _OUTPUTS or item.type == "tool_search_output"


_WORDS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})

_CALLS = {
    "function_call": "",
    "custom_tool_call": "",
    "tool_search_call": SEARCH,
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
}
"""Items that call a tool of the client -> the tool's name where the item has none."""

_OUTPUTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "local_shell_call_output",
        "shell_call_output",
        "apply_patch_call_output",
    }
)

_HOSTED = frozenset(
    {
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "configuration_update",
        "program",
        "program_output",
    }
)

_STATE = {
    REFERENCE: REFERENCE_WHY,
    "compaction": "a compacted conversation can only be read by its provider; send the conversation itself",
    "compaction_summary": "a compacted conversation can only be read by its provider; send the conversation itself",
    "compaction_trigger": "conversations are not compacted here; ask for a summary in words",
}
