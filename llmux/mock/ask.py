"""What a request asks for, told alike for every protocol."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

IMAGE_TOKENS = 256
"""What the simulated provider charges for one image or document; its base64 is not text."""


class Tool(Struct, frozen=True):
    """A tool on offer; `schema` is the JSON Schema of its arguments, None when it takes free text."""

    name: str
    schema: Any = None


class Ask(Struct, frozen=True, kw_only=True):
    """One request.

    said          the text of the last user turn; what the markers are looked for in
    results       the tool results that came after it
    choice        auto | none | any, or the name of the one tool that must be called
    schema        JSON Schema of the structured output; None = free text
    max_tokens    None = the client named none
    text_bytes    UTF-8 bytes of everything that a model would read
    usage_wanted  the client wants usage in the stream (OpenAI's `include_usage`)
    """

    model: str
    stream: bool = False
    messages: int = 0
    images: int = 0
    said: str = ""
    results: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    parallel: bool = True
    thinking: bool = False
    schema: Any = None
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    text_bytes: int = 0
    usage_wanted: bool = True

    @property
    def input_tokens(self) -> int:
        """Tokens of the input: a fourth of its text bytes, rounded up, and a fixed price for each image."""
        return tokens_of(self.text_bytes) + self.images * IMAGE_TOKENS


class Refused(Exception):
    """The provider refuses a request: HTTP status, a sentence, and what it is about (`model`, `key`, `context`, …)."""

    def __init__(self, status: int, message: str, about: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.about = about


def tokens_of(size: int) -> int:
    """How many tokens so many bytes are: a fourth, rounded up."""
    return -(-size // 4)


def size_of(text: str) -> int:
    """UTF-8 bytes of a text; a lone surrogate counts like the character that replaces it."""
    return len(text.encode("utf-8", "replace"))
