"""A backend: one model at one provider, with what it can do and what it is allowed.

Frozen and free of secrets: credentials stay with the provider (config) and are added at the last moment (gateway).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

ProtocolName = str
"""`anthropic`, `openai`, `responses`, `ollama`, or the name that a plugin registered."""


class Limit(Struct, frozen=True, kw_only=True):
    """At most this much in every interval of `window` seconds; exactly one of `requests` and `tokens` is set."""

    window: float
    requests: int | None = None
    tokens: int | None = None


class Left(Struct, frozen=True):
    """How much of one limit is left: for rate-limit headers. window: seconds; reset: seconds since
    the epoch when everything in the window has expired."""

    kind: Literal["requests", "tokens"]
    window: float
    limit: int
    used: int
    reset: float


class Timeouts(Struct, frozen=True, kw_only=True):
    """Deadlines in seconds. `first_token` is raised to `thinking` when the request asks for thinking."""

    connect: float = 5.0
    first_token: float = 90.0
    thinking: float = 300.0
    idle: float = 120.0
    total: float = 900.0
    drain: float = 30.0


class Rewrites(Struct, frozen=True, kw_only=True):
    """What is changed in the upstream body, in the order delete, add, rename; dotted paths go deeper."""

    delete: tuple[str, ...] = ()
    add: dict[str, Any] = field(default_factory=dict)
    rename: dict[str, str] = field(default_factory=dict)


class Quirks(Struct, frozen=True, kw_only=True):
    """How this model at this provider differs from its protocol's documentation: data for the request writers.

    OpenAI-speaking upstreams (defaults = a plain compatible server):
      max_tokens_field   which of the two names it takes
      system_role        role of the leading instructions: `system` or `developer`
      sampling           takes temperature, top_p and penalties
      top_k              takes the non-standard `top_k`
      stop_max           how many stop sequences it takes (0: none)
      efforts            `reasoning_effort` values it takes, weakest first; empty: the field is never sent
      thinking_switch    how thinking is turned on and off: none | effort | thinking_type (`thinking: {type}`)
                         | enable_thinking | chat_template (`chat_template_kwargs.enable_thinking`)
      thinking_kinds     without `disabled`: thinking cannot be turned off (the switch must not say so)
      reasoning_field    field of an assistant message that takes earlier reasoning back:
                         `` (none) | reasoning_content | reasoning | reasoning_details
      reasoning_required an assistant message with tool calls must carry that field (a blank stands in for nothing)
      stream_usage       takes `stream_options: {include_usage: true}`
      tool_choice        the values it takes: any of auto, none, required, named
      parallel_tools     takes `parallel_tool_calls`
      strict_tools       takes `strict` in a function
      image_urls         takes http(s) image addresses (else only data: URLs)
      system_anywhere    takes system messages in the middle of a conversation
      done_alone         `[DONE]` without a finish_reason is its proper end of a stream
      no_done            never sends `[DONE]` (finish_reason alone ends the stream)
      reasoning_exclusive  `completion_tokens` leaves the reasoning tokens out (they are added)
      cache_hints        takes `cache_control` (`passthrough`) | `breakpoint` (OpenAI's) | `` (dropped)
    Anthropic-speaking upstreams:
      thinking_kinds     accepted `thinking.type` values
      efforts            `output_config.effort` values; empty: the field is never sent
      sampling           takes temperature, top_p, top_k
      json_schema_native takes `output_config.format` (else a forced tool stands in)
      system_anywhere    takes `role: system` messages
      strict_tools, image_urls, stop_max as above
    """

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_role: Literal["system", "developer"] = "system"
    sampling: bool = True
    top_k: bool = False
    stop_max: int = 16
    efforts: tuple[str, ...] = ()
    thinking_switch: Literal["none", "effort", "thinking_type", "enable_thinking", "chat_template"] = "none"
    reasoning_field: Literal["", "reasoning_content", "reasoning", "reasoning_details"] = ""
    reasoning_required: bool = False
    stream_usage: bool = True
    tool_choice: tuple[str, ...] = ("auto", "none", "required", "named")
    parallel_tools: bool = True
    strict_tools: bool = True
    image_urls: bool = True
    system_anywhere: bool = True
    done_alone: bool = False
    no_done: bool = False
    reasoning_exclusive: bool = False
    cache_hints: Literal["", "passthrough", "breakpoint"] = ""
    thinking_kinds: tuple[str, ...] = ("enabled", "adaptive", "disabled")
    json_schema_native: bool = True


class Backend(Struct, frozen=True, kw_only=True):
    """One `[[backend]]` of the configuration, complete: presets, catalog and explicit values already merged.

    context, max_output   tokens; None = unknown, taken as unlimited
    chat                  answers conversations; False for a model that only embeds
    model_match           globs over the requested model name; empty = any model
    limits                every window that applies, `max_per_*` included
    cooldown_key          changes when the key, base_url or model does: a cooldown of another key is not this one's
    """

    name: str
    provider: str
    model: str
    protocol: ProtocolName = "openai"
    context: int | None = None
    max_output: int | None = None
    vision: bool = False
    thinking: bool = False
    tools: bool = True
    documents: bool = False
    json_schema: bool = True
    embeddings: bool | None = None
    chat: bool = True
    model_match: tuple[str, ...] = ()
    rewrites: Rewrites = Rewrites()
    limits: tuple[Limit, ...] = ()
    max_concurrent: int | None = None
    timeouts: Timeouts = Timeouts()
    quirks: Quirks = Quirks()
    group: str = ""
    balance: Literal["health", "round_robin", "latency"] = "health"
    enabled: bool = True
    cooldown_key: str = ""
