"""Turns of a dialog -> messages, in the order that Anthropic demands.

every tool_use is answered in the very next message, all of them at once, before anything else
a result without its call becomes words, a call without its result gets one that says so
ids are valid and never used twice
the first message is a user's, and no text is blank
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmux.errors import Kind, LlmuxError
from llmux.protocols.anthropic.answer import ToolIds
from llmux.protocols.anthropic.blocks_write import (
    Written,
    result_words,
    write_call,
    write_document,
    write_image,
    write_result,
    write_text,
    write_thinking,
)
from llmux.protocols.anthropic.tools_write import ToolNames
from llmux.protocols.dialog import Dialog, Document, Image, Loss, Part, Text, Thinking, ToolCall, ToolResult, Turn
from llmux.routing.backend import Backend

OPENING = "Please continue."
"""What a user says where a conversation has no first word of theirs."""

NO_RESULT = "no result"
"""What stands for the result of a call that never got one."""


def write_messages(dialog: Dialog, names: ToolNames, backend: Backend) -> tuple[list[dict[str, Any]], tuple[Loss, ...]]:
    """`messages` for this backend. Raises LlmuxError(unsupported) for content that it cannot be given."""
    writer = _Writer(names, backend)
    for turn in dialog.turns:
        writer.add(turn)
    return writer.finish(), writer.losses


def bare_call(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether the last assistant message calls a tool without thinking before it."""
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    types = {block["type"] for block in last["content"]} if last else set()
    return "tool_use" in types and not types & {"thinking", "redacted_thinking"}


class _Writer:
    """Messages so far, and the calls of the last assistant message that wait for their results."""

    def __init__(self, names: ToolNames, backend: Backend) -> None:
        self.losses: tuple[Loss, ...] = ()
        self._names = names
        self._backend = backend
        self._ids = ToolIds("call")
        self._messages: list[dict[str, Any]] = []
        self._waiting: list[tuple[str, str]] = []
        """(the client's id, ours) of the calls to be answered"""
        self._results: list[Written] = []
        self._later: list[tuple[str, list[Written]]] = []
        """(role, blocks) that came between a call and its results, or after them"""

    def add(self, turn: Turn) -> None:
        """Takes the next turn."""
        match turn.role:
            case "assistant":
                self._assistant(turn)
            case "system":
                self._system(turn)
            case "user":
                self._user(turn)

    def finish(self) -> list[dict[str, Any]]:
        """All messages."""
        self._answer()
        if not self._messages or self._messages[0]["role"] != "user":
            self._messages.insert(0, {"role": "user", "content": [{"type": "text", "text": OPENING}]})
        last = self._messages[-1]
        if last["role"] == "assistant":
            _strip(last["content"])
            if not last["content"]:
                self._messages.pop()
        return self._messages

    def _assistant(self, turn: Turn) -> None:
        if self._results or self._later or not self._continues():
            self._answer()
        blocks: list[Written] = []
        for part in turn.parts:
            match part:
                case Text():
                    block = write_text(part)
                case Thinking():
                    block = write_thinking(part, self._backend)
                    if block is None:
                        self._lose_thinking()
                case ToolCall():
                    identity = self._ids.mint(part.id)
                    self._waiting.append((part.id, identity))
                    block = write_call(part, identity, self._names.write(part.name, part.namespace))
                case _:
                    raise _misplaced(part, "assistant")
            if block is not None:
                blocks.append(block)
        self._append("assistant", blocks)

    def _continues(self) -> bool:
        """Whether the message before is the assistant's: its calls may go on in this turn."""
        return bool(self._messages) and self._messages[-1]["role"] == "assistant"

    def _system(self, turn: Turn) -> None:
        blocks = [block for part in turn.parts if isinstance(part, Text) and (block := write_text(part))]
        if not blocks:
            return
        if self._backend.quirks.system_anywhere:
            self._put("system", blocks)
            return
        for block in blocks:
            block["text"] = f"<system-reminder>\n{block['text']}\n</system-reminder>"
        self._put("user", blocks)

    def _user(self, turn: Turn) -> None:
        blocks: list[Written] = []
        for part in turn.parts:
            match part:
                case Text():
                    block = write_text(part)
                case Image():
                    block = write_image(part, self._backend)
                case Document():
                    block = write_document(part, self._backend)
                case ToolResult():
                    blocks += self._result(part)
                    continue
                case _:
                    raise _misplaced(part, "user")
            if block is not None:
                blocks.append(block)
        self._put("user", blocks)

    def _result(self, part: ToolResult) -> list[Written]:
        """Keeps a result for its call; the blocks of one that belongs to no call."""
        for place, (original, identity) in enumerate(self._waiting):
            if original == part.call_id:
                del self._waiting[place]
                self._results.append(write_result(part, identity, self._backend))
                return []
        blocks: list[Written | None] = [{"type": "text", "text": result_words(part)}]
        for inner in part.parts:
            if isinstance(inner, Image):
                blocks.append(write_image(inner, self._backend))
            elif isinstance(inner, Document):
                blocks.append(write_document(inner, self._backend))
        return [block for block in blocks if block is not None]

    def _put(self, role: str, blocks: list[Written]) -> None:
        """Adds blocks that may not come between a call and its results."""
        if not blocks:
            return
        if self._waiting or self._results:
            self._later.append((role, blocks))
        else:
            self._append(role, blocks)

    def _answer(self) -> None:
        """Writes the results of the last calls, and then what waited for them."""
        results, later = self._results, self._later
        for _, identity in self._waiting:
            results.append({"type": "tool_result", "tool_use_id": identity, "content": NO_RESULT, "is_error": True})
        self._waiting, self._results, self._later = [], [], []
        self._append("user", results)
        for role, blocks in later:
            self._append(role, blocks)

    def _append(self, role: str, blocks: list[Written]) -> None:
        if not blocks:
            return
        if self._messages and self._messages[-1]["role"] == role:
            self._messages[-1]["content"] += blocks
        else:
            self._messages.append({"role": role, "content": blocks})

    def _lose_thinking(self) -> None:
        self.losses = (Loss("thinking", "earlier reasoning that this provider has not signed"),)


def _strip(blocks: list[Written]) -> None:
    """Takes white space off the end of an answer that is to be continued; Anthropic refuses it there."""
    if blocks and blocks[-1]["type"] == "text":
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()


def _misplaced(part: Part, role: str) -> LlmuxError:
    return LlmuxError(Kind.unsupported, f"{type(part).__name__} cannot stand in {role} messages at Anthropic")
