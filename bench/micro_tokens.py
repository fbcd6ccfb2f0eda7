"""What counting tokens costs: `python -m bench.micro_tokens`, for 1 MB of every kind, pathological ones too.

sample     µs, in which eight windows are counted; it is taken on the event loop
slice      ms, the longest slice of an exact count; between two of them it can be stopped
exact      ms, of the whole count, in a thread
off        by how many percent the middle of the sample misses the count
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator
from operator import sub

from bench.micro import least
from llmux.gateway import tokenizer
from llmux.routing import tokens
from llmux.routing.needs import Texts

SIZE = 1_000_000


def contents() -> dict[str, str]:
    """A megabyte or so of each kind, the same on every run."""
    chance = random.Random(7)
    words = ["the", "gateway", "reads", "a", "request", "once", "and", "passes", "every", "byte", "of", "it", "on"]
    return {
        "prose": " ".join(chance.choices(words, k=SIZE // 5))[:SIZE],
        "code": "    if value[index] is not None:\n        return {'a': (1, 2)}\n" * (SIZE // 62),
        "blanks": " " * SIZE,
        "tabs": "\t" * SIZE,
        "wide blanks": "\u3000" * (SIZE // 3),
        "line ends": "\n" * SIZE,
        "one letter": "a" * SIZE,
        "underscores": "_" * SIZE,
        "letters": "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=SIZE)),
        "base64": base64.b64encode(chance.randbytes(SIZE * 3 // 4)).decode(),
        "digits": "".join(chance.choices("0123456789", k=SIZE)),
        "Chinese": "".join(chr(chance.randrange(0x4E00, 0x9FA5)) for _ in range(SIZE // 3)),
        "emoji": "\U0001f3f3\ufe0f\u200d\U0001f308" * (SIZE // 14),
        "accents apart": "e\u0301" * (SIZE // 3),
        "half prose, half Chinese": "the gateway " * (SIZE // 24) + "\u7f51\u5173" * (SIZE // 12),
        "crumbs": "",
    }


def measure() -> Iterator[tuple[str, float, float, float, float]]:
    """(content, sample µs, longest slice ms, exact ms, the sample's error in percent)."""
    tokenizer.encoding()
    for name, text in contents().items():
        parts = (text,) if text else ("a word ",) * (SIZE // 7)
        texts = Texts(parts, 0)
        sampled = tokens.sample(texts, tokenizer.count)
        cost = least(lambda texts=texts: tokens.sample(texts, tokenizer.count), 5)  # type: ignore[misc]
        moments, counts = [time.perf_counter()], []
        for number in tokens.exact(texts, tokenizer.count):
            counts.append(number)
            moments.append(time.perf_counter())
        longest = max(map(sub, moments[1:], moments))
        off = sampled.point / counts[-1] - 1
        yield name, cost, longest * 1e3, (moments[-1] - moments[0]) * 1e3, off * 100


if __name__ == "__main__":
    print(f"{'1 MB of':26} {'sample µs':>10} {'slice ms':>9} {'exact ms':>9} {'off %':>7}")
    for name, cost, longest, exact, off in measure():
        print(f"{name:26} {cost:10.0f} {longest:9.2f} {exact:9.1f} {off:7.1f}", flush=True)
