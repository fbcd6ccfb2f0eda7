"""Chat messages as turns: leading instructions apart, tool messages gathered behind the calls they answer."""

from __future__ import annotations

from msgspec import UNSET, Raw, UnsetType

from llmux.errors import Kind, LlmuxError, bad_request
from llmux.protocols import seals
from llmux.protocols.base import Body
from llmux.protocols.dialog import Document, Image, Loss, Part, Text, Thinking, ToolCall, ToolResult, Turn
from llmux.protocols.openai_chat import wire
from llmux.protocols.openai_parts import cache_hint, data_url, picture

_Media = Text | Image | Document


class MessagesReader:
    """Reads the messages of one request in order; `system`, `turns` and `losses` are what they tell."""

    def __init__(self) -> None:
        self.system: list[Text] = []
        self.turns: list[Turn] = []
        self.losses: list[Loss] = []
        self._calls: list[tuple[str, str, str]] = []  # (id on the wire, our id, name) of calls without a result yet
        self._results: list[Part] = []
        self._used: set[str] = set()

    def read(self, messages: list[Body]) -> None:
        """Reads all messages. Raises LlmuxError that names the place of what is wrong or cannot be carried."""
        for index, message in enumerate(messages):
            place = f"messages[{index}]"
            role = self._string(message, "role", place)
            if role not in _ROLES:
                raise bad_request(f"{place}.role: unknown role {role!r}", f"{place}.role")
            if role not in ("tool", "function"):
                self._gather()
            for key in message:
                if key not in _KNOWN[role] and wire.present(message, key) is not None:
                    self._lost(f"{place}.{key}")
            match role:
                case "system" | "developer":
                    self._instruct(message, place)
                case "user":
                    self.turns.append(Turn("user", self._content(message, place)))
                case "assistant":
                    self._assistant(message, place)
                case _:
                    self._result(message, place)
        self._gather()

    def _instruct(self, message: Body, place: str) -> None:
        texts: list[Text] = []
        for number, part in enumerate(self._content(message, place)):
            if not isinstance(part, Text):
                where = f"{place}.content[{number}]"
                raise LlmuxError(Kind.unsupported, f"{where}: instructions can only be text", param=where)
            texts.append(part)
        if self.turns:
            self.turns.append(Turn("system", tuple(texts)))
        else:
            self.system.extend(texts)

    def _assistant(self, message: Body, place: str) -> None:
        parts: list[Part] = list(_thinking(message, place))
        parts.extend(part for part in self._content(message, place) if not (isinstance(part, Text) and not part.text))
        refusal = wire.present(message, "refusal")
        if refusal is not None and (words := wire.decode(wire.TEXT, refusal, f"{place}.refusal")):
            parts.append(Text(words))
        self._calls = []
        self._used = set()
        calls = wire.present(message, "tool_calls")
        if calls is not None:
            where = f"{place}.tool_calls"
            for number, call in enumerate(wire.decode(wire.CALLS, calls, where)):
                parts.append(self._call(call, f"{where}[{number}]"))
        legacy = wire.present(message, "function_call")
        if legacy is not None:
            where = f"{place}.function_call"
            function = wire.decode(wire.FUNCTION, legacy, where)
            parts.append(self._call(wire.Call(function=function), where))
        self.turns.append(Turn("assistant", tuple(parts)))

    def _call(self, call: wire.Call, place: str) -> ToolCall:
        name = call.custom.name if call.custom else call.function.name if call.function else ""
        if not name:
            raise bad_request(f"{place}: a tool call needs a function with a name", place)
        identity = self._unique(call.id or f"call_{len(self.turns)}_{len(self._calls)}")
        self._calls.append((call.id or "", identity, name))
        extra: Raw | UnsetType = UNSET if call.extra_content == wire.NULL else call.extra_content
        if call.custom:
            return ToolCall(identity, name, call.custom.input, custom=True, extra=extra)
        assert call.function is not None
        return ToolCall(identity, name, _arguments(call.function.arguments, place), extra=extra)

    def _unique(self, identity: str) -> str:
        """An id that no other call of this turn has; some servers give every call the same one."""
        name, number = identity, 2
        while name in self._used:
            name, number = f"{identity}_{number}", number + 1
        self._used.add(name)
        return name

    def _result(self, message: Body, place: str) -> None:
        wanted = self._string(message, "tool_call_id", place, needed=False)
        name = self._string(message, "name", place, needed=False)
        parts = self._content(message, place)
        cache = _cache_of(message)
        self._results.append(ToolResult(self._answered(wanted, name), parts, name=name, cache=cache))

    def _answered(self, wanted: str, name: str) -> str:
        """Our id of the call that a tool message answers: by its id, without one by name, else the next in order.

        An id that nobody called stays what it is: the writer decides what an orphan becomes.
        """
        for number, (identity, ours, called) in enumerate(self._calls):
            if identity == wanted if wanted else called == name:
                del self._calls[number]
                return ours
        if wanted:
            return wanted
        return self._calls.pop(0)[1] if self._calls else ""

    def _gather(self) -> None:
        """The results so far as the one user turn that follows the calls."""
        if self._results:
            self.turns.append(Turn("user", tuple(self._results)))
            self._results = []

    def _content(self, message: Body, place: str) -> tuple[_Media, ...]:
        """The parts of `content`: none for null, one for a string. Raises LlmuxError for parts we cannot carry."""
        value = wire.present(message, "content")
        if value is None:
            return ()
        where = f"{place}.content"
        if wire.head(value) == b'"':
            return (Text(wire.decode(wire.TEXT, value, where), _cache_of(message)),)
        return tuple(
            _part(part, f"{where}[{number}]") for number, part in enumerate(wire.decode(wire.PARTS, value, where))
        )

    def _string(self, message: Body, key: str, place: str, *, needed: bool = True) -> str:
        value = wire.present(message, key)
        if value is None:
            if needed:
                raise bad_request(f"{place}.{key}: required", f"{place}.{key}")
            return ""
        return wire.decode(wire.TEXT, value, f"{place}.{key}")

    def _lost(self, field: str) -> None:
        self.losses.append(Loss(field, "no other protocol has it"))


def _part(part: wire.Part, place: str) -> _Media:
    cache = cache_hint(part.cache_control, part.prompt_cache_breakpoint)
    if part.type in ("text", "input_text", "output_text") or (not part.type and part.text is not None):
        return Text(part.text or "", cache)
    if part.type == "refusal":
        return Text(part.refusal or "")
    if part.type == "image_url" and part.image_url is not None:
        url, detail = (
            (part.image_url, "")
            if isinstance(part.image_url, str)
            else (part.image_url.url, part.image_url.detail or "")
        )
        return picture(url, detail, cache, f"{place}.image_url.url")
    if part.type == "file" and part.file is not None:
        return _file(part.file, cache, place)
    raise LlmuxError(
        Kind.unsupported, f"{place}: content of type {part.type!r} cannot be translated for this backend", param=place
    )


def _file(file: wire.File, cache: Raw | UnsetType, place: str) -> Document:
    if not file.file_data:
        raise LlmuxError(
            Kind.unsupported,
            f"{place}: a file by id stays with the provider it was uploaded to; send its data instead",
            param=place,
        )
    if file.file_data.startswith("data:"):
        media_type, data = data_url(file.file_data, place)
    else:
        media_type, data = "application/pdf", file.file_data
    return Document(media_type=media_type, data=data, title=file.filename or "", cache=cache)


def _thinking(message: Body, place: str) -> list[Thinking]:
    """Earlier reasoning, from the field that says most about it; the others hold the same words again."""
    for key in ("thinking_blocks", "reasoning_details"):
        value = wire.present(message, key)
        if value is not None and wire.head(value) == b"[":
            blocks = wire.decode(wire.BLOCKS, value, f"{place}.{key}")
            if found := [thought for block in blocks if (thought := _thought(block)) is not None]:
                return found
    for key in ("reasoning_content", "reasoning"):
        value = wire.present(message, key)
        if value is not None and wire.head(value) == b'"':
            words = wire.decode(wire.TEXT, value, f"{place}.{key}")
            if words.strip():
                return [Thinking(words)]
    return []


def _thought(block: wire.Block) -> Thinking | None:
    if block.data:
        return Thinking("", seals.open_(block.data), hidden=True)
    words = block.thinking or block.text or block.summary or ""
    if not words and not block.signature:
        return None
    return Thinking(words, seals.open_(block.signature) if block.signature else None)


def _arguments(value: Raw, place: str) -> str:
    """The JSON text of a call's arguments; an object instead of a string is taken as it is, nothing means `{}`."""
    if value == wire.NULL:
        return "{}"
    where = f"{place}.function.arguments"
    if wire.head(value) == b'"':
        return wire.decode(wire.TEXT, value, where).strip() or "{}"
    return wire.text_of(value, where)


def _cache_of(message: Body) -> Raw | UnsetType:
    return cache_hint(message.get("cache_control", wire.NULL), wire.NULL)


_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_COMMON = frozenset({"role", "content", "cache_control"})
_ASSISTANT = frozenset(
    {
        "refusal",
        "tool_calls",
        "function_call",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "thinking_blocks",
        "annotations",  # citations of the answer's own text
        "id",
        "index",
        "parsed",
    }
)
_KNOWN = {
    "system": _COMMON,
    "developer": _COMMON,
    "user": _COMMON,
    "assistant": _COMMON | _ASSISTANT,
    "tool": _COMMON | {"tool_call_id", "name"},
    "function": _COMMON | {"tool_call_id", "name"},
}
