"""How many tokens a request has, and how much room that leaves: arithmetic over a counter that is handed in.

A ladder, climbed only as far as the choice depends on it:

    bound     UTF-8 bytes: no byte-level tokenizer makes more tokens than bytes (made by the protocols' probes, free)
    sample    eight windows of text, scaled: under a millisecond
    exact     every text, in slices that a caller can stop between
    reported  what a provider said afterwards; it corrects the next estimates (`corrected`)
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate

from llmux.routing.backend import Backend
from llmux.routing.needs import Estimate, Needs, Texts

IMAGE_TOKENS = 1600
"""What one picture costs, whatever its size: the most that any provider charges for one at its default detail."""

MESSAGE_TOKENS = 4
"""What a message costs besides its text: role and separators."""

TOOL_TOKENS = 8
"""What a tool definition costs besides its texts."""

RESERVE_MAX = 4096
"""Output tokens that count as needed at most: clients ask for 128000 as a matter of course and use a fraction."""

WINDOWS = 8
WINDOW = 512
"""Characters in one window of a sample."""

MARGIN = 0.15
"""How far off a sample of ordinary text may be, as a share of its result."""

SLICE = 32_000
"""Characters counted at once: a millisecond, and far below the million blanks that overflow the tokenizer's stack."""

FACTOR_LOW, FACTOR_HIGH = 0.5, 2.0
"""How far a provider's tokenizer is believed to differ from ours; past that the report is about something else."""

_DOCUMENT_PART = 50_000
_DOCUMENT_PART_TOKENS = 1500
_SMOOTHING = 0.2
_TELLING = 2000


def document_tokens(size_bytes: int) -> int:
    """What a binary document (PDF) of so many bytes costs: 1500 tokens for every started 50 kB, a page or so."""
    return -(-size_bytes // _DOCUMENT_PART) * _DOCUMENT_PART_TOKENS


def sample(texts: Texts, count: Callable[[str], int]) -> Estimate:
    """The tokens of `texts`, judged by eight windows spread evenly over them; short texts are counted whole, exactly.

    `count` gives the tokens of a piece of text. low and high lie 15 % around the scaled result, and further where the
    windows differ among themselves: a text that is half prose, half Chinese is known less well by eight looks.
    """
    total = sum(map(len, texts.parts))
    if total <= WINDOWS * WINDOW:
        tokens = texts.overhead + sum(map(count, texts.parts))
        return Estimate(tokens, tokens, tokens, "exact")
    found = [count(window) for window in _windows(texts.parts, total)]
    mean = sum(found) / WINDOWS
    spread = math.sqrt(sum((tokens - mean) ** 2 for tokens in found) / (WINDOWS - 1))
    point = mean * total / WINDOW
    margin = point * max(MARGIN, 2 * spread / math.sqrt(WINDOWS) / mean if mean else 0.0)
    return Estimate(
        texts.overhead + max(0, math.floor(point - margin)),
        texts.overhead + math.ceil(point + margin),
        texts.overhead + round(point),
        "sample",
    )


def _windows(parts: tuple[str, ...], total: int) -> Iterator[str]:
    """The windows, cut from the parts as if these stood in a row, without putting them in one."""
    ends = list(accumulate(map(len, parts)))
    for number in range(WINDOWS):
        start = number * (total - WINDOW) // (WINDOWS - 1)
        place = bisect_right(ends, start)
        offset = start - (ends[place - 1] if place else 0)
        pieces: list[str] = []
        missing = WINDOW
        while missing:
            piece = parts[place][offset : offset + missing]
            pieces.append(piece)
            missing -= len(piece)
            place, offset = place + 1, 0
        yield "".join(pieces)


def exact(texts: Texts, count: Callable[[str], int]) -> Iterator[int]:
    """The tokens counted so far, after the overhead and after every slice; the last one is the whole.

    A caller stops when it knows enough or has no time left. A cut may cost a token: one per 32000 characters.
    """
    tokens = texts.overhead
    yield tokens
    for part in texts.parts:
        for start in range(0, len(part), SLICE):
            tokens += count(part[start : start + SLICE])
            yield tokens


def corrected(factor: float, reported: int, estimated: int) -> float:
    """The next correction factor of a backend, after it reported so many input tokens for so many estimated.

    Only a sample or an exact count is worth comparing, never a bound. Small requests say little, because a provider's
    hidden preamble outweighs their text, so they move the factor less. Always within 0.5 to 2.
    """
    if reported <= 0 or estimated <= 0:
        return factor
    weight = _SMOOTHING * min(1.0, estimated / _TELLING)
    ratio = _bounded(reported / estimated)
    return _bounded(factor + weight * (ratio - factor))


def _bounded(factor: float) -> float:
    return min(FACTOR_HIGH, max(FACTOR_LOW, factor))


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """The estimate in the backend's own tokens. A bound is a bound for every tokenizer: it is never scaled inwards."""
    if factor == 1.0:
        return estimate
    inner = estimate.rung == "bound"
    return Estimate(
        math.floor(estimate.low * (min(factor, 1.0) if inner else factor)),
        math.ceil(estimate.high * (max(factor, 1.0) if inner else factor)),
        round(estimate.point * factor),
        estimate.rung,
    )


def longest(needs: Needs, factor: float = 1.0) -> Estimate:
    """What must fit into one context, in the backend's own tokens: the input, or the longest of several."""
    whole = scaled(needs.tokens, factor)
    if needs.share == 1.0:
        return whole
    share = needs.share
    low, high, point = math.floor(whole.low * share), math.ceil(whole.high * share), round(whole.point * share)
    return Estimate(low, high, point, whole.rung)


def reserve_of(needs: Needs, backend: Backend) -> int:
    """Output tokens that must fit beside the input: what was asked, as far as the backend gives it, at most 4096."""
    if needs.reserve is None:
        return 0
    most = RESERVE_MAX if backend.max_output is None else min(RESERVE_MAX, backend.max_output)
    return min(needs.reserve, most)


def room(backend: Backend, needs: Needs, factor: float = 1.0) -> int | None:
    """Tokens left in the backend's context beside the input, surely; None = its context is unknown."""
    if backend.context is None:
        return None
    return max(0, backend.context - longest(needs, factor).high)


def clamped(asked: int, backend: Backend, room: int | None) -> int:
    """Output tokens to ask for: never more than the backend gives or the context has room for, at least one."""
    if backend.max_output is not None and backend.max_output < asked:
        asked = backend.max_output
    if room is not None and room < asked:
        asked = room
    return asked if asked > 1 else 1


def undecided(needs: Needs, backend: Backend, factor: float = 1.0) -> bool:
    """Whether a finer estimate could change what this backend gets: if the request fits, or how far `max_tokens` is
    cut to the room that is left.

    The cut is worth a sample only: after it the room is known to a few percent of the input.
    """
    if backend.context is None or needs.tokens.low == needs.tokens.high:
        return False
    tokens = longest(needs, factor)
    reserve = reserve_of(needs, backend)
    if tokens.high + reserve > backend.context:
        return tokens.low + reserve <= backend.context
    return needs.tokens.rung == "bound" and _asked(needs, backend) > backend.context - tokens.high


def _asked(needs: Needs, backend: Backend) -> int:
    """Output tokens that would be asked of the backend if there were room for any number."""
    if needs.reserve is not None:
        return needs.reserve if backend.max_output is None else min(needs.reserve, backend.max_output)
    # Anthropic upstreams must be given a number even where the client named none
    return backend.max_output or 0 if backend.protocol == "anthropic" else 0
