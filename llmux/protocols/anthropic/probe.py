"""What a request needs and what of it reaches the model, read off without decoding more than that takes."""

from __future__ import annotations

from msgspec import Raw

from llmux.protocols.anthropic import wire
from llmux.protocols.anthropic.wire import Block, LightBlock
from llmux.protocols.base import Body, Headers
from llmux.protocols.dialog import Asked
from llmux.protocols.recent import Recent
from llmux.routing.needs import Estimate, Needs, Texts, Want
from llmux.routing.tokens import IMAGE_TOKENS, MESSAGE_TOKENS, TOOL_TOKENS, document_tokens

REMOTE_DOCUMENT_BYTES = 500_000
"""How large a document is taken to be that is only named by its address or its id."""

_BYTES_PER_TOKEN = 4


def probe(body: Body, headers: Headers) -> Needs:
    """What a request needs. Takes bodies of count_tokens too, which have no max_tokens.

    The estimate is a bound: every token is at least one byte of the JSON as it was sent; base64 is taken out of it and
    counted per picture and per page instead. Raises LlmuxError(bad_request) that names the place of a wrong shape.
    """
    model = wire.model(body)
    messages = wire.messages(body, wire.LIGHT_MESSAGES)
    _check_system(body)
    wire.field(body, "metadata", wire.METADATA)
    tools = _TOOLS.of(body["tools"]) if "tools" in body else 0
    output = wire.field(body, "output_config", wire.OUTPUT)
    tally = _Tally()
    effort = bool(output and output.effort)
    for index, message in enumerate(messages):
        if isinstance(message.content, list):
            tally.add(message.content, f"messages[{index}].content")
        if wire.given(message.output_config):
            own = wire.view(wire.OUTPUT, message.output_config, f"messages[{index}].output_config")
            effort = effort or bool(own and own.effort)
    return Needs(
        model=model,
        tokens=_estimate(body, len(messages), tools, tally),
        reserve=wire.field(body, "max_tokens", wire.INTEGER),
        stream=wire.field(body, "stream", wire.FLAG) or False,
        vision=tally.images > 0,
        thinking=_want(body, effort),
        tools=tools > 0,
        documents=tally.documents > 0,
        json_schema=wire.given(output.format if output else wire.ABSENT)
        or wire.given(body.get("output_format", wire.ABSENT)),
    )


def _tools(raw: Raw) -> int:
    """How many tools are offered. Raises LlmuxError(bad_request)."""
    return len(wire.view(wire.LIGHT_TOOLS, raw, "tools") or ())


_TOOLS = Recent(_tools)


def texts(body: Body) -> Texts:
    """Everything of a request that reaches the model. Raises LlmuxError(bad_request) on a wrong shape."""
    parts = system_texts(body)
    messages = wire.messages(body, wire.MESSAGES)
    overhead = (len(messages) + bool(parts)) * MESSAGE_TOKENS
    for index, message in enumerate(messages):
        overhead += _collect(message.content, parts, f"messages[{index}].content")
    for tool in wire.field(body, "tools", wire.TOOLS) or []:
        overhead += TOOL_TOKENS
        parts += [text for text in (tool.name, tool.description) if text]
        if wire.given(tool.input_schema):
            parts.append(wire.json_text(tool.input_schema, "tools"))
    return Texts(tuple(parts), overhead)


def asked(body: Body, headers: Headers, *, identity: str, created: int) -> Asked:
    """What the writer of the reply must know of the request. Anthropic's streams always report usage."""
    return Asked(
        model=wire.model(body),
        id=identity,
        created=created,
        stream=wire.field(body, "stream", wire.FLAG) or False,
        usage=True,
    )


def system_texts(body: Body) -> list[str]:
    """The texts of `system`, a string or blocks. Raises LlmuxError(bad_request)."""
    system = wire.field(body, "system", wire.CONTENT)
    if isinstance(system, str):
        return [system] if system else []
    return [block.text for block in system or [] if block.text]


class _Tally:
    """Pictures and documents of a request. base64: bytes that are no text; tokens: what the documents cost."""

    __slots__ = ("base64", "documents", "images", "tokens")

    def __init__(self) -> None:
        self.images = self.documents = self.base64 = self.tokens = 0

    def add(self, blocks: list[LightBlock], place: str) -> None:
        """Counts what these blocks hold, inside tool results and documents too."""
        for index, block in enumerate(blocks):
            kind = block.type
            if kind == "tool_result":
                self._nested(block.content, f"{place}[{index}].content")
            elif kind == "image":
                self.images += 1
                self._image(block.source, f"{place}[{index}].source")
            elif kind == "document":
                self._document(block.source, f"{place}[{index}].source")

    def _image(self, raw: Raw, place: str) -> None:
        if wire.given(raw):
            source = wire.view(wire.LIGHT_SOURCE, raw, place)
            if source.type == "base64":
                self.base64 += wire.size(source.data)

    def _document(self, raw: Raw, place: str) -> None:
        source = wire.view(wire.LIGHT_SOURCE, raw, place) if wire.given(raw) else wire.LightSource()
        if source.type == "text":
            return
        if source.type == "content":
            self._nested(source.content, f"{place}.content")
            return
        self.documents += 1
        if source.type == "base64":
            length = wire.size(source.data)
            self.base64 += length
            self.tokens += document_tokens(length * 3 // 4)
        else:
            self.tokens += document_tokens(REMOTE_DOCUMENT_BYTES)

    def _nested(self, raw: Raw, place: str) -> None:
        if wire.given(raw) and not wire.starts(raw, b'"'):  # words alone hold nothing to count
            content = wire.view(wire.LIGHT_BLOCKS, raw, place)
            if isinstance(content, list):
                self.add(content, place)


def _estimate(body: Body, messages: int, tools: int, tally: _Tally) -> Estimate:
    words = sum(wire.size(body[name]) for name in ("system", "tools", "messages") if name in body) - tally.base64
    fixed = (messages + 1) * MESSAGE_TOKENS + tools * TOOL_TOKENS + tally.images * IMAGE_TOKENS + tally.tokens
    return Estimate(0, words + fixed, words // _BYTES_PER_TOKEN + fixed, "bound")


def _want(body: Body, effort: bool) -> Want:
    thinking = wire.field(body, "thinking", wire.THINKING)
    if thinking is None:
        return Want.optional if effort else Want.no
    if thinking.type == "enabled":
        return Want.required
    return Want.no if thinking.type == "disabled" else Want.optional


def _check_system(body: Body) -> None:
    raw = body.get("system", wire.ABSENT)
    if wire.given(raw) and not wire.starts(raw, b'"'):
        wire.view(wire.LIGHT_BLOCKS, raw, "system")


def _collect(content: str | list[Block] | None, parts: list[str], place: str) -> int:
    """Adds the words of a message's content to `parts`; the tokens of what has none."""
    if isinstance(content, str):
        parts.append(content)
        return 0
    overhead = 0
    for index, block in enumerate(content or []):
        here = f"{place}[{index}]"
        if block.type == "image":
            overhead += IMAGE_TOKENS
            continue
        parts += [text for text in (block.title, block.context, block.name, block.text, block.thinking) if text]
        if block.type == "document":
            overhead += _collect_source(block.source, parts, f"{here}.source")
            continue
        if wire.given(block.input):
            parts.append(wire.json_text(block.input, f"{here}.input"))
        if not wire.given(block.content):
            continue
        if block.type in ("tool_result", "search_result"):
            overhead += _collect(wire.view(wire.CONTENT, block.content, f"{here}.content"), parts, f"{here}.content")
        else:
            parts.append(wire.json_text(block.content, f"{here}.content"))
    return overhead


def _collect_source(raw: Raw, parts: list[str], place: str) -> int:
    if not wire.given(raw):
        return document_tokens(REMOTE_DOCUMENT_BYTES)
    source = wire.view(wire.SOURCE, raw, place)
    match source.type:
        case "text":
            parts.append(source.data or "")
            return 0
        case "content":
            content = wire.view(wire.CONTENT, source.content, f"{place}.content") if source.content else None
            return _collect(content, parts, f"{place}.content")
        case "base64":
            return document_tokens(len(source.data or "") * 3 // 4)
    return document_tokens(REMOTE_DOCUMENT_BYTES)
