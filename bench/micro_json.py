"""What the JSON of a request costs: `python -m bench.micro_json`, microseconds, the least of many tries.

Bodies as clients send them, at each stop that opens or writes them, and bodies of 1 MB made to be slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from bench import bodies
from bench.micro import Work, show
from llmux.errors import LlmuxError
from llmux.plugins import protocols
from llmux.protocols.base import read_body, write_body
from llmux.protocols.translator import Translator
from llmux.routing.backend import Backend

_ROOM = 900_000
_SIZE = 1_000_000
_PROTOCOLS = protocols()
BACKENDS = {
    name: Backend(name=name, provider=name, model="stub", protocol=name, context=1_000_000, max_output=16_384)
    for name in ("openai", "anthropic")
}


def works() -> Iterator[Work]:
    """Every stop with every body."""
    headers: dict[str, str] = {}
    for name, backend in BACKENDS.items():
        protocol = _PROTOCOLS[name]
        for size in ("1k", "64k", "640k"):
            data = bodies.request(name, size, "gpt-bench", stream=False)
            body = read_body(data)
            adapted = protocol.adapt(body, backend, _ROOM)
            yield f"door: body, {name} {size}", lambda data=data: read_body(data)
            yield f"probe, {name} {size}", lambda p=protocol, b=body: p.probe(b, headers)
            yield f"adapt, {name} {size}", lambda p=protocol, b=body, k=backend: p.adapt(b, k, _ROOM)
            yield f"write, {name} {size}", lambda adapted=adapted: write_body(adapted)
    translator = Translator(_PROTOCOLS["anthropic"], _PROTOCOLS["openai"])
    for size in ("1k", "64k"):
        body = read_body(bodies.request("anthropic", size, "claude-to-openai", stream=False))
        yield f"translate, {size}", lambda b=body: translator.request(b, headers, BACKENDS["openai"], _ROOM)


def pathological() -> Iterator[Work]:
    """Bodies of 1 MB whose reading should take no longer than that of any other; some of them are refused."""
    for name, inside in _ODD.items():
        data = b'{"model":"m","messages":[{"role":"user","content":%b}]}' % inside
        yield f"door: body, 1 MB of {name}", lambda data=data: _read(data)


def _read(data: bytes) -> None:
    with suppress(LlmuxError):
        read_body(data)


_ODD = {
    "prose": b'"%b"' % (b"the gateway reads " * (_SIZE // 18)),
    "escapes": b'"%b"' % (b"\\u4e00" * (_SIZE // 6)),
    "surrogate pairs": b'"%b"' % (b"\\ud83d\\ude00" * (_SIZE // 12)),
    "backslashes": b'"%b"' % (b"\\\\" * (_SIZE // 2)),
    "quotes": b'"%b"' % (b'\\"' * (_SIZE // 2)),
    "Chinese": '"{}"'.format("\u4e2d" * (_SIZE // 3)).encode(),
    "brackets in a string": b'"%b"' % (b"[" * _SIZE),
    "opened brackets": b"[" * _SIZE,
    "empty arrays": b"[%b[]]" % (b"[]," * (_SIZE // 3)),
    "numbers": b"[%b1]" % (b"1," * (_SIZE // 2)),
    "the same key": b"{%b}" % b",".join([b'"a":1'] * (_SIZE // 6)),
}


if __name__ == "__main__":
    show(works())
    show(pathological())
