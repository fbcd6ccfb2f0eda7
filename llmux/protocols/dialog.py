"""The neutral dialog: what a conversation request says, in no vendor's shape.

    Dialog    system texts, turns, tools, settings
    Turn      role and parts, in order
    Part      Text | Image | Document | Thinking | ToolCall | ToolResult
    Reply     the answer: parts, stop, usage
    Loss      a field that could not be carried, and why

Tool results are parts of a `user` turn (as Anthropic has them); a reader of a protocol with tool messages gathers the
results of one assistant turn into the one user turn that follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Literal

from msgspec import UNSET, Raw, Struct, UnsetType, field

from llmux.protocols.seals import Seal


class Text(Struct, frozen=True, tag=True):
    """Words. `cache`: the client's cache hint, as raw JSON, for upstreams that take one."""

    text: str
    cache: Raw | UnsetType = UNSET


class Image(Struct, frozen=True, tag=True):
    """A picture: either base64 `data` with its `media_type`, or an http(s) `url`."""

    media_type: str = ""
    data: str = ""
    url: str = ""
    detail: str = ""
    cache: Raw | UnsetType = UNSET


class Document(Struct, frozen=True, tag=True):
    """A document: base64 `data` (PDF), an http(s) `url`, or plain `text`."""

    media_type: str = ""
    data: str = ""
    url: str = ""
    text: str = ""
    title: str = ""
    context: str = ""
    cache: Raw | UnsetType = UNSET


class Thinking(Struct, frozen=True, tag=True):
    """Reasoning. `seal` names where its signature or encrypted form came from; None = nobody vouches for it.

    hidden: the provider gave no readable text (redacted or encrypted reasoning); it lives in the seal alone.
    """

    text: str = ""
    seal: Seal | None = None
    hidden: bool = False


class ToolCall(Struct, frozen=True, tag=True):
    """A call the model made. `arguments`: JSON text of an object, or the raw input of a custom tool (`custom`)."""

    id: str
    name: str
    arguments: str = "{}"
    custom: bool = False
    namespace: str = ""
    extra: Raw | UnsetType = UNSET
    """opaque provider data that must come back with this call (Gemini's thought signature), sealed by origin"""


class ToolResult(Struct, frozen=True, tag=True):
    """What the client's tool gave back: Text, Image and Document parts."""

    call_id: str
    parts: tuple[Text | Image | Document, ...] = ()
    is_error: bool = False
    name: str = ""
    cache: Raw | UnsetType = UNSET


Part = Text | Image | Document | Thinking | ToolCall | ToolResult


class Turn(Struct, frozen=True):
    """One message. `system` turns stand in the middle of a conversation; leading ones are `Dialog.system`."""

    role: Literal["user", "assistant", "system"]
    parts: tuple[Part, ...]


class Tool(Struct, frozen=True):
    """A tool the model may call. `schema`: raw JSON Schema; `custom`: takes free text instead of JSON."""

    name: str
    description: str = ""
    schema: Raw = Raw(b'{"type":"object","properties":{}}')
    strict: bool | None = None
    custom: bool = False
    namespace: str = ""
    cache: Raw | UnsetType = UNSET


class Offer(tuple[Tool, ...]):
    """Tools that come again with the next request (recent.py). written: what they are in the words of a protocol, by
    what decides about these; whoever asks first puts it there."""

    written: dict[tuple[object, ...], Raw]

    def __new__(cls, tools: Iterable[Tool]) -> Offer:
        made = super().__new__(cls, tools)
        made.written = {}
        return made


class ToolChoice(Struct, frozen=True):
    """auto, any (some tool must be called), none, or named with `name`, in its `namespace` if it has one."""

    mode: Literal["auto", "any", "none", "named"] = "auto"
    name: str = ""
    namespace: str = ""


class Effort(Struct, frozen=True):
    """What the client asked about thinking.

    mode: unset (said nothing), off, on (with a budget, or just on), adaptive (the model decides)
    level: none|minimal|low|medium|high|xhigh|max or empty; budget: tokens or None; visible: summaries wanted
    """

    mode: Literal["unset", "off", "on", "adaptive"] = "unset"
    level: str = ""
    budget: int | None = None
    visible: bool = True


class Schema(Struct, frozen=True):
    """Structured output asked for: a JSON Schema with a name, or (`schema` unset) any JSON object."""

    name: str = "response"
    schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    description: str = ""


class Settings(Struct, frozen=True, kw_only=True):
    """How the model shall answer. None = the client said nothing."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    effort: Effort = Effort()
    output: Schema | None = None
    parallel_tools: bool | None = None
    tool_choice: ToolChoice | None = None
    user: str = ""
    tier: str = ""
    verbosity: str = ""
    cache_key: str = ""


class Dialog(Struct, frozen=True, kw_only=True):
    """A conversation request. `losses`: what the reader already had to leave out (unknown fields, hosted tools)."""

    model: str
    system: tuple[Text, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    settings: Settings = Settings()
    stream: bool = False
    losses: tuple[Loss, ...] = ()


class Loss(Struct, frozen=True):
    """A field of the request that was not carried: its path (`metadata`, `messages[3].name`) and why."""

    field: str
    why: str


class Stop(StrEnum):
    """Why the model stopped; translation.md §1.7 maps it to each protocol."""

    end = "end"
    sequence = "sequence"
    length = "length"
    context = "context"
    tool = "tool"
    pause = "pause"
    refusal = "refusal"


class Usage(Struct, frozen=True):
    """Tokens as the provider reported them, inclusive: `input` holds cached and cache_write, `output` reasoning."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0


class Reply(Struct, frozen=True, kw_only=True):
    """A whole answer. Parts are Text, Thinking and ToolCall; `usage` None: the provider reported none.

    sequence: the stop sequence that was hit; refusal: what the model said when it refused (also in a Text part? no:
    only here); id and model are the upstream's own.
    """

    id: str = ""
    model: str = ""
    parts: tuple[Part, ...] = ()
    stop: Stop = Stop.end
    sequence: str = ""
    refusal: str = ""
    usage: Usage | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Asked(Struct, frozen=True, kw_only=True):
    """What a reply's writer must know of the request it answers.

    model: the name the client asked for; id: a unique id without prefix; created: seconds since the epoch;
    usage: the client wants usage in the stream (OpenAI's include_usage); estimate: input tokens as estimated, for
    protocols that must name a number before the provider does; origin: the provider's name, for new seals;
    opted: optional extras the client showed that it understands (`thinking_blocks`, `reasoning_details`);
    echo: values of the request that the protocol's answers repeat (Responses: `tools`, `instructions`, …);
    elapsed: gives the seconds since the request came, for protocols that tell how long things took; None = no clock.
    """

    model: str
    id: str
    created: int
    stream: bool = False
    usage: bool = False
    estimate: int = 0
    origin: str = ""
    opted: frozenset[str] = frozenset()
    elapsed: Callable[[], float] | None = None
    echo: dict[str, Raw] = {}
