"""What a request requires of a backend."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Want(StrEnum):
    """How much a request insists on thinking.

    optional: file order decides; preferred: the first fitting backend that has it, else the first fitting one.
    """

    no = "no"
    optional = "optional"
    preferred = "preferred"
    required = "required"


class Estimate(Struct, frozen=True):
    """How many input tokens a request has, as far as it had to be found out.

    low <= tokens <= high; `point` is the best single number; `rung` says how it was found:
    bound (UTF-8 bytes, free), sample (eight windows), exact (tokenizer), reported (a provider said so).
    """

    low: int
    high: int
    point: int
    rung: str = "bound"


class Needs(Struct, frozen=True, kw_only=True):
    """What a request requires. `reserve`: output tokens asked for, unclamped (None = the client named none).

    share: what the longest of several inputs that the model reads apart from each other (texts to embed, prompts) is
    of `tokens`, 0 to 1; the windows count them all, a context must hold one.
    """

    model: str
    tokens: Estimate
    reserve: int | None = None
    stream: bool = False
    vision: bool = False
    thinking: Want = Want.no
    tools: bool = False
    documents: bool = False
    json_schema: bool = False
    embeddings: bool = False
    share: float = 1.0


class Texts(Struct, frozen=True):
    """Everything of a request that reaches the model, for counting: the texts in order, and a fixed cost.

    overhead: tokens for message frames, tool frames and images, which no text shows. Base64 is never in `parts`.
    """

    parts: tuple[str, ...]
    overhead: int
