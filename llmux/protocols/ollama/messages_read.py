"""Ollama's messages as turns: leading instructions apart, tool messages gathered behind the calls they answer."""

from __future__ import annotations

from msgspec import Raw

from llmux.errors import bad_request
from llmux.protocols.base import Body
from llmux.protocols.dialog import Image, Loss, Part, Text, Thinking, ToolCall, ToolResult, Turn
from llmux.protocols.ollama import wire
from llmux.protocols.ollama.pictures import read_picture


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
            place = f"messages[{index}]."
            role = (wire.read(message, "role", wire.TEXT, place) or "").lower()
            if role not in _KNOWN:
                raise bad_request(f"{place}role: unknown role {role[:40]!r}", f"{place}role")
            for key in message:
                if key not in _KNOWN[role] and wire.present(message, key) not in (None, _EMPTY):
                    self.losses.append(Loss(f"{place}{key}", "no other protocol has it"))
            if role != "tool":
                self._gather()
            match role:
                case "system":
                    self._instruct(message, place)
                case "user":
                    self.turns.append(Turn("user", _spoken(message, place)))
                case "assistant":
                    self._assistant(message, place)
                case _:
                    self._result(message, place)
        self._gather()

    def _instruct(self, message: Body, place: str) -> None:
        text = Text(wire.read(message, "content", wire.TEXT, place) or "")
        if self.turns:
            self.turns.append(Turn("system", (text,)))
        else:
            self.system.append(text)

    def _assistant(self, message: Body, place: str) -> None:
        parts: list[Part] = []
        if (thinking := wire.read(message, "thinking", wire.TEXT, place)) and thinking.strip():
            parts.append(Thinking(thinking))
        if content := wire.read(message, "content", wire.TEXT, place):
            parts.append(Text(content))
        if not self.turns or self.turns[-1].role != "assistant":  # two messages in a row are answered together
            self._calls = []
        for number, call in enumerate(wire.read(message, "tool_calls", wire.CALLS, place) or []):
            parts.append(self._call(call, f"{place}tool_calls[{number}]"))
        self.turns.append(Turn("assistant", tuple(parts)))

    def _call(self, call: wire.Call, place: str) -> ToolCall:
        """A call. Without an id it gets one from its place, the same in every later request of the conversation."""
        if call.function is None or not call.function.name:
            raise bad_request(f"{place}.function.name: required", f"{place}.function.name")
        identity = self._unique(call.id or f"call_{len(self.turns)}_{len(self._calls)}")
        self._calls.append((call.id or "", identity, call.function.name))
        arguments = _arguments(call.function.arguments, f"{place}.function.arguments")
        return ToolCall(identity, call.function.name, arguments)

    def _unique(self, identity: str) -> str:
        """An id that no other call of this conversation has."""
        name, number = identity, 2
        while name in self._used:
            name, number = f"{identity}_{number}", number + 1
        self._used.add(name)
        return name

    def _result(self, message: Body, place: str) -> None:
        wanted = wire.read(message, "tool_call_id", wire.TEXT, place) or ""
        name = wire.read(message, "tool_name", wire.TEXT, place) or wire.read(message, "name", wire.TEXT, place) or ""
        identity, called = self._answered(wanted, name)
        self._results.append(ToolResult(identity, _spoken(message, place), name=name or called))

    def _answered(self, wanted: str, name: str) -> tuple[str, str]:
        """Our id and the name of the call that a tool message answers: by its id; else the first open call of its
        name; else the next open call. Clients give ids back to calls that lost theirs, and names that are none.

        A message after the last open call is an orphan under the id it came with.
        """
        for number, (identity, ours, called) in enumerate(self._calls):
            if wanted and identity == wanted:
                del self._calls[number]
                return ours, called
        open_ = [call for call in self._calls if not wanted or not call[0]]
        if not open_:
            return wanted, ""
        found = next((call for call in open_ if call[2] == name), open_[0])
        self._calls.remove(found)
        return found[1], found[2]

    def _gather(self) -> None:
        """The results so far as the one user turn that follows the calls."""
        if self._results:
            self.turns.append(Turn("user", tuple(self._results)))
            self._results = []


def _spoken(message: Body, place: str) -> tuple[Text | Image, ...]:
    """The words and the pictures of a message; the pictures come first, as Ollama shows them to the model."""
    found: list[Text | Image] = []
    for number, data in enumerate(wire.read(message, "images", wire.TEXTS, place) or []):
        found.append(read_picture(data, f"{place}images[{number}]"))
    content = wire.read(message, "content", wire.TEXT, place)
    if content or not found:
        found.append(Text(content or ""))
    return tuple(found)


def _arguments(value: Raw, place: str) -> str:
    """The JSON text of a call's arguments: an object, or a string that holds one; nothing means `{}`."""
    match wire.head(value):
        case b"{":
            return wire.text_of(value, place)
        case b'"':
            return wire.decode(wire.TEXT, value, place).strip() or "{}"
        case b"n":
            return "{}"
    raise bad_request(f"{place}: expected an object", place)


_EMPTY = Raw(b"[]")
_COMMON = frozenset({"role", "content"})
_KNOWN = {
    "system": _COMMON,
    "user": _COMMON | {"images"},
    "assistant": _COMMON | {"thinking", "tool_calls"},
    "tool": _COMMON | {"images", "tool_name", "tool_call_id", "name"},
}
