"""What `llmux demo` shows: seven backends, each with its reason to be chosen, and the requests that reach them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from llmux.mock.faults import Fault

CONFIG = """\
# The configuration of `llmux demo`: one simulated provider, seven backends.

[provider.one]                        # speaks OpenAI Chat Completions
base_url = "{url}/one/v1"
protocol = "openai"
api_key = "not-a-secret-of-anyone"

[provider.two]                        # speaks Anthropic Messages
base_url = "{url}/two"
protocol = "anthropic"
api_key = "not-a-secret-of-anyone"

[[backend]]                           # only for names with opus in them
name = "specialist"
model = "two:mock-opus"
context = 200000
max_output = 32000
vision = true
thinking = true
model_match = ["*opus*"]

[[backend]]                           # one request an hour
name = "trial"
model = "one:mock-trial"
context = 32000
max_output = 8000
model_match = ["trial*"]
max_per_hour = 1

[[backend]]                           # its provider fails once
name = "shaky"
model = "one:mock-shaky"
context = 32000
max_output = 8000
model_match = ["shaky*"]

[[backend]]                           # the first that takes any name
name = "small"
model = "one:mock-small"
context = 16000
max_output = 4000

[[backend]]
name = "eyes"
model = "one:mock-eyes"
context = 32000
max_output = 4000
vision = true

[[backend]]
name = "thinker"
model = "two:mock-thinker"
context = 64000
max_output = 16000
thinking = true

[[backend]]
name = "library"
model = "one:mock-library"
context = 400000
max_output = 16000
"""

FAULTS = (Fault(model="mock-shaky", status=529, message="overloaded", times=1),)

_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_LONG = "The quick brown fox jumps over the lazy dog, again and again and again. " * 5500
"""About 88,000 tokens."""


class Show(Struct, frozen=True, kw_only=True):
    """One request of the demo and what must come of it.

    protocol  the client's: anthropic or openai
    backend   who must answer; by default the first that takes any name
    model     the name of its model
    skips     backends that must have been passed over before the winner -> the reason
    tried     backend that must have been asked in vain before
    """

    title: str
    protocol: str
    asks: str
    stream: bool = False
    picture: bool = False
    thinking: bool = False
    long: bool = False
    backend: str = "small"
    model: str = "mock-small"
    skips: dict[str, str]
    tried: str = ""

    @property
    def path(self) -> str:
        """Where the request goes."""
        return "/v1/messages" if self.protocol == "anthropic" else "/v1/chat/completions"

    @property
    def body(self) -> dict[str, Any]:
        """The request itself."""
        body: dict[str, Any] = {"model": self.asks, "max_tokens": 2000, "stream": self.stream}
        if self.thinking:
            body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        content: Any = _LONG if self.long else f"{self.title}, please."
        if self.picture:
            content = [{"type": "text", "text": content}, _picture(self.protocol)]
        return {**body, "messages": [{"role": "user", "content": content}]}


def _picture(protocol: str) -> dict[str, Any]:
    if protocol == "anthropic":
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PICTURE}}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PICTURE}"}}


_NAMED = {"specialist": "model", "trial": "model", "shaky": "model"}

SHOWS = (
    Show(
        title="a few words",
        protocol="anthropic",
        asks="claude-sonnet",
        skips=_NAMED,
    ),
    Show(
        title="a few words",
        protocol="openai",
        asks="gpt-5",
        stream=True,
        skips=_NAMED,
    ),
    Show(
        title="an image",
        protocol="openai",
        asks="gpt-5",
        picture=True,
        backend="eyes",
        model="mock-eyes",
        skips={"specialist": "model", "small": "vision"},
    ),
    Show(
        title="a long prompt",
        protocol="openai",
        asks="gpt-5",
        stream=True,
        long=True,
        backend="library",
        model="mock-library",
        skips={"specialist": "model", "small": "context", "eyes": "context", "thinker": "context"},
    ),
    Show(
        title="thinking",
        protocol="anthropic",
        asks="claude-sonnet",
        stream=True,
        thinking=True,
        backend="thinker",
        model="mock-thinker",
        skips={"specialist": "model", "small": "thinking", "eyes": "thinking"},
    ),
    Show(
        title="opus by name",
        protocol="openai",
        asks="claude-opus",
        stream=True,
        backend="specialist",
        model="mock-opus",
        skips={},
    ),
    Show(
        title="a backend by name",
        protocol="openai",
        asks="library",
        backend="library",
        model="mock-library",
        skips={"small": "pinned_elsewhere", "thinker": "pinned_elsewhere"},
    ),
    Show(
        title="the only place",
        protocol="openai",
        asks="trial-model",
        stream=True,
        backend="trial",
        model="mock-trial",
        skips={"specialist": "model"},
    ),
    Show(
        title="the limit reached",
        protocol="anthropic",
        asks="trial-model",
        skips={"trial": "limit"},
    ),
    Show(
        title="a provider that fails",
        protocol="openai",
        asks="shaky-model",
        skips={},
        tried="shaky",
    ),
    Show(
        title="the same, cooling",
        protocol="anthropic",
        asks="shaky-model",
        stream=True,
        skips={"shaky": "cooldown"},
    ),
)
"""In the order in which they are sent: the later ones meet what the earlier ones left behind."""
