"""Counting tokens without holding anybody up: the ladder of `routing.tokens` over the encoding o200k_base.

The encoding comes from ranks inside the package; tiktoken's own loader would fetch them from the network. It takes a
quarter of a second to build, of which 80 ms are one call that lets nothing else run, so `load` belongs before the
first request. A sample is taken on the spot, in well under a millisecond; what takes longer happens in a thread, in
slices between which it can stop.
"""

from __future__ import annotations

import asyncio
import hashlib
import lzma
import threading
import time
from binascii import a2b_base64
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import tiktoken
from msgspec.structs import replace

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Body, Protocol
from llmux.routing import tokens
from llmux.routing.backend import Backend
from llmux.routing.cooldown import HEALTHY, Health
from llmux.routing.needs import Estimate, Needs, Texts

DEADLINE = 0.05
"""Seconds that a request waits for an exact count before the upper end of its sample is taken instead."""

REMEMBERED = 16_384
"""Slices whose counts are kept: agents send the same long beginning again and again."""

APART = 1 << 18
"""Bytes of a body whose texts are opened in a thread of their own: below that the way there costs more."""

_LARGE = 1000
_RANKS = "o200k_base.tiktoken.xz"
_RANKS_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_SPECIAL = {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}
# How o200k_base cuts text before it merges bytes (tiktoken, tiktoken_ext/openai_public.py): words with a leading
# character and an English contraction, numbers by three, punctuation, line ends, blanks.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_LEAD, _CONTRACTION = r"[^\r\n\p{L}\p{N}]?", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PATTERN = "|".join(
    (
        f"{_LEAD}{_UPPER}*{_LOWER}+{_CONTRACTION}",
        f"{_LEAD}{_UPPER}+{_LOWER}*{_CONTRACTION}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)

_loading = threading.Lock()
_loaded: tiktoken.Encoding | None = None


def encoding() -> tiktoken.Encoding:
    """The encoding o200k_base, built once per process. Slow the first time: call it from a thread.

    Raises LlmuxError(internal) when the package's data is damaged.
    """
    global _loaded
    with _loading:
        if _loaded is None:
            _loaded = tiktoken.Encoding(
                "o200k_base", pat_str=_PATTERN, mergeable_ranks=_ranks(), special_tokens=_SPECIAL
            )
            _loaded._mergeable_ranks = {}  # a second copy of 28 MB, which nothing but pickling asks for
        return _loaded


def _ranks() -> dict[bytes, int]:
    try:
        data = lzma.decompress(files("llmux.data").joinpath(_RANKS).read_bytes())
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise LlmuxError(Kind.internal, f"{_RANKS} cannot be read ({error}); install llmux again") from None
    if hashlib.sha256(data).hexdigest() != _RANKS_SHA256:
        raise LlmuxError(Kind.internal, f"{_RANKS} is damaged; install llmux again")
    words = data.split()
    return dict(zip(map(a2b_base64, words[::2]), map(int, words[1::2]), strict=True))


def count(text: str) -> int:
    """The tokens of a text of any kind and length. Never less than there are, and never an exception.

    Words that look like special tokens count as the text they are; a lone surrogate as the replacement it becomes.
    """
    return sum(_count(text[start : start + tokens.SLICE]) for start in range(0, len(text), tokens.SLICE))


def _count(text: str) -> int:
    """The tokens of one slice."""
    try:
        return len(encoding().encode_ordinary(text))
    except BaseException as error:
        # The tokenizer's panic derives from BaseException, and its class cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        return len(text.encode("utf-8", "surrogatepass"))


class Tokenizer:
    """Counts in one or two threads, and remembers what it has counted."""

    def __init__(self, *, deadline: float = DEADLINE, threads: int = 2) -> None:
        self._deadline = deadline
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="llmux-tokens")
        self._opening = ThreadPoolExecutor(1, thread_name_prefix="llmux-texts")
        self._remembered: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._lock = threading.Lock()
        self._ready = False

    async def load(self) -> None:
        """Builds the encoding, if nobody has. Best before the first request: it holds the loop up for a moment."""
        if not self._ready:
            await asyncio.get_running_loop().run_in_executor(self._threads, encoding)
            self._ready = True

    async def texts(self, protocol: Protocol, body: Body) -> Texts:
        """The texts of a body, opened beside the loop where they are long: a decoder takes 12 ms for 4 MB of escapes.

        Raises LlmuxError(bad_request) for a body of the wrong shape.
        """
        if sum(map(len, body.values())) <= APART:
            return protocol.texts(body)
        await asyncio.sleep(0)  # what waited while the body was probed comes first
        return await asyncio.get_running_loop().run_in_executor(self._opening, protocol.texts, body)

    async def refine(
        self,
        needs: Needs,
        texts: Texts,
        backends: Iterable[Backend],
        health: Mapping[str, Health],
        *,
        doubtful: Callable[[Needs], bool] | None = None,
    ) -> Estimate:
        """A finer estimate, as fine as the choice among these backends needs it and 50 ms allow.

        `doubtful` says whether the choice still hangs on it; by default it does while it is undecided for any backend
        that is enabled. Out of time: the upper end of the sample counts, in `low`, `high` and `point`.
        """
        if needs.tokens.rung == "exact":
            return needs.tokens
        await self.load()
        backends = [backend for backend in backends if backend.enabled and backend.context is not None]
        factors = {backend.name: health.get(backend.name, HEALTHY).factor for backend in backends}

        def hangs(estimate: Estimate) -> bool:
            finer = replace(needs, tokens=estimate)
            if doubtful is not None:
                return doubtful(finer)
            return any(tokens.undecided(finer, backend, factors[backend.name]) for backend in backends)

        sampled = _within(tokens.sample(texts, _count), needs.tokens)
        if not hangs(sampled):
            return sampled
        most = max(((backend.context or 0) / factors[backend.name] for backend in backends), default=None)
        enough = None if most is None else int(most / needs.share)
        counted = await self._exactly(texts, self._deadline, enough)
        if counted is None:
            return Estimate(sampled.high, sampled.high, sampled.high, "sample")
        number, whole = counted
        if whole:
            return Estimate(number, number, number, "exact")
        return Estimate(number, max(number, sampled.high), max(number, sampled.point), "sample")

    async def count(self, texts: Texts) -> int:
        """All tokens of a request, however long it takes: what `count_tokens` answers."""
        await self.load()
        counted = await self._exactly(texts, None, None)
        assert counted is not None, "without a deadline it is counted to the end"
        return counted[0]

    def close(self) -> None:
        """Lets the threads go."""
        for threads in (self._threads, self._opening):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _exactly(self, texts: Texts, deadline: float | None, enough: int | None) -> tuple[int, bool] | None:
        """(tokens counted, whether that is all of them); None = out of time. Stops once it has more than `enough`."""
        stop = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._run, texts, deadline, enough, stop)
        try:
            done, _ = await asyncio.wait((work,), timeout=deadline)
        finally:
            # Also when the client has gone: nobody waits for a thread, it is told to stop, or never to begin.
            stop.set()
            work.cancel()
        return work.result() if done else None

    def _run(
        self, texts: Texts, deadline: float | None, enough: int | None, stop: threading.Event
    ) -> tuple[int, bool] | None:
        until = None if deadline is None else time.monotonic() + deadline
        number = texts.overhead
        for number in tokens.exact(texts, self._recall):
            if enough is not None and number > enough:
                return number, False
            if stop.is_set() or (until is not None and time.monotonic() > until):
                return None
        return number, True

    def _recall(self, text: str) -> int:
        """The tokens of a slice, from memory where it is long enough to be worth it. The text itself is not kept."""
        if len(text) < _LARGE:
            return _count(text)
        key = (len(text), hash(text))
        with self._lock:
            if key in self._remembered:
                self._remembered.move_to_end(key)
                return self._remembered[key]
        number = _count(text)
        with self._lock:
            self._remembered[key] = number
            if len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return number


def _within(sampled: Estimate, bound: Estimate) -> Estimate:
    """The sample, no further out than what was certain before."""
    low = max(sampled.low, bound.low)
    high = min(sampled.high, bound.high)
    if low > high:  # a sample can be misled, a bound cannot
        return bound
    return replace(sampled, low=low, high=high, point=min(max(sampled.point, low), high))
