"""Bodies that are too much: too long, too slow, packed too well. Refused in the path's words, in bounded memory."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from llmux.errors import Kind, LlmuxError
from llmux.gateway import door
from llmux.gateway.door import BodyReader
from llmux.gateway.soon import Soon
from llmux.gateway.unpack import unpack
from tests.gateway.abuse_given import CHAT, KEYED, MESSAGES, OPEN, entered, packed

LIMIT = 100_000
SMALL = f"max_body = {LIMIT}\n{OPEN}"
POSTS = {
    "/v1/messages": ("anthropic", MESSAGES),
    "/v1/messages/count_tokens": ("anthropic", MESSAGES),
    "/v1/chat/completions": ("openai", CHAT),
    "/v1/route/explain": ("openai", CHAT),
}


def padded(body: dict[str, Any], size: int) -> bytes:
    """The request, as JSON of exactly this many bytes."""
    data = packed(body)[:-1] + b',"metadata":{"a":"'
    return data + b"x" * (size - len(data) - 3) + b'"}}'


def zstd(data: bytes) -> bytes:
    zstandard = pytest.importorskip("zstandard")
    return bytes(zstandard.ZstdCompressor().compress(data))


CODED = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd, "identity": bytes}


@pytest.mark.parametrize("path", POSTS)
async def test_the_limit_is_taken_and_one_byte_more_is_413(path: str) -> None:
    dialect, body = POSTS[path]
    async with entered(SMALL) as gate:
        for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
            data = padded(body, size)
            for headers in ([], [("content-length", str(size))]):
                for pieces in ([data], [data[:5], data[5:]], [data, b""]):
                    answer = await gate.ask("POST", path, body=pieces, headers=headers)
                    assert answer.status == status, answer.body[:200]
        assert answer.dialect() == dialect
        assert "100000" in answer.json["error"]["message"]


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("path", POSTS)
async def test_the_limit_holds_after_decompression_too(path: str, coding: str) -> None:
    async with entered(SMALL) as gate:
        for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
            data = CODED[coding](padded(POSTS[path][1], size))
            answer = await gate.ask("POST", path, body=data, headers=[("content-encoding", coding.upper())])
            assert answer.status == status, answer.body[:200]
            assert answer.dialect() == POSTS[path][0] or status == 200


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip", "gzip,zstd", "x" * 5000, "\x00", "aws-chunked"])
async def test_another_coding_is_415(coding: str) -> None:
    async with entered(SMALL) as gate:
        for path, (dialect, body) in POSTS.items():
            answer = await gate.ask("POST", path, body=packed(body), headers=[("content-encoding", coding)])
            assert (answer.status, answer.dialect()) == (415, dialect)
            assert len(answer.body) < 1000


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
async def test_broken_compression_is_400(coding: str) -> None:
    whole = CODED[coding](packed(CHAT))
    async with entered(SMALL) as gate:
        for data in (b"", b"{}", whole[:-1], whole[: len(whole) // 2], whole + b"x", b"\0" + whole, packed(CHAT)):
            answer = await gate.ask("POST", "/v1/chat/completions", body=data, headers=[("content-encoding", coding)])
            assert (answer.status, answer.dialect()) == (400, "openai"), data
        twice = await gate.ask(
            "POST", "/v1/messages", body=whole, headers=[("content-encoding", coding), ("content-encoding", coding)]
        )
        assert (twice.status, twice.dialect()) == (400, "anthropic")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_what_was_packed_in_parts_is_one_body(coding: str) -> None:
    data = packed(CHAT)
    assert unpack(CODED[coding](data[:9]) + CODED[coding](data[9:]), coding, 1000) == data


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_bomb_stops_at_the_limit(coding: str) -> None:
    bomb = CODED[coding](b"[" * 200_000_000)
    tracemalloc.start()
    try:
        assert len(unpack(bomb, coding, 1_000_000)) <= 1_000_001 + 16 * 1024 * 1024
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_a_zstd_window_beyond_8_mib_is_not_opened() -> None:
    zstandard = pytest.importorskip("zstandard")
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = compressor.compress(b"x" * 1_000_000) + compressor.flush()
    with pytest.raises(LlmuxError, match="not valid zstd"):
        unpack(data, "zstd", 2_000_000)


def messages_of(*pieces: bytes, more: bool = False) -> Any:
    """A `receive` with these pieces of a body; `more`: and then nothing, for ever."""
    left: Iterator[tuple[int, bytes]] = iter(enumerate(pieces, 1))

    async def receive() -> dict[str, Any]:
        for number, piece in left:
            return {"type": "http.request", "body": piece, "more_body": more or number < len(pieces)}
        await asyncio.Event().wait()
        raise AssertionError

    return receive


async def test_a_body_that_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_SECONDS", 0.05)
    reader = BodyReader(LIMIT)
    for pieces in ((), (b"{",), (b"{", b'"a"')):
        with pytest.raises(LlmuxError, match="too slowly") as raised:
            await reader.read(messages_of(*pieces, more=True), {}, Soon())
        assert raised.value.status == 408
    assert reader.held == 0


async def test_a_body_of_known_length_is_whole_with_its_last_byte() -> None:
    pieces = messages_of(b"{", b"}", more=True)  # and then silence
    assert await BodyReader(LIMIT).read(pieces, {"content-length": "2"}, Soon()) == b"{}"


async def test_chunks_are_read_to_their_end_whatever_length_is_said_as_well() -> None:
    headers = {"content-length": "2", "transfer-encoding": "chunked"}
    assert await BodyReader(LIMIT).read(messages_of(b"{", b"}", b" "), headers, Soon()) == b"{} "


async def test_more_time_is_given_for_what_did_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_SECONDS", 0.0)
    monkeypatch.setattr(door, "BODY_RATE", 10_000)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0 if not sent else 0.05)
        sent.append(1)
        return {"type": "http.request", "body": b"x" * 1000, "more_body": len(sent) < 4}

    sent: list[int] = []
    monkeypatch.setattr(door, "BODY_SECONDS", 0.1)
    assert len(await BodyReader(LIMIT).read(receive, {}, Soon())) == 4000  # 0.15 s of pauses, 0.1 s and 0.4 s allowed


async def test_a_worker_holds_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "IN_FLIGHT", 250)
    reader = BodyReader(100)
    kept = [await reader.read(messages_of(b"x" * 100), {}, Soon()) for _ in range(2)]
    for headers in ({}, {"content-length": "100"}):
        with pytest.raises(LlmuxError) as raised:
            await reader.read(messages_of(b"x" * 50, b"x" * 50), headers, Soon())
        assert (raised.value.kind, raised.value.retry_after) == (Kind.overloaded, 1)
    assert reader.held == 200
    reader.release(kept.pop())
    kept.append(await reader.read(messages_of(b"x" * 100), {}, Soon()))
    for data in kept:
        reader.release(data)
    assert reader.held == 0


async def test_bodies_on_their_way_in_count_as_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "IN_FLIGHT", 100)
    reader = BodyReader(100)
    half = asyncio.create_task(reader.read(messages_of(b"x" * 60, more=True), {}, Soon()))
    await asyncio.sleep(0)
    assert reader.held == 60
    with pytest.raises(LlmuxError, match="too many request bodies"):
        await reader.read(messages_of(b"x" * 60), {}, Soon())
    half.cancel()
    await asyncio.gather(half, return_exceptions=True)
    assert reader.held == 0


async def test_every_answered_request_gives_its_bytes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "IN_FLIGHT", 2 * LIMIT)
    bodies = [packed(CHAT), b"", b"{", b"x" * LIMIT, b"x" * (LIMIT + 1), gzip.compress(b" " * LIMIT)]
    async with entered(SMALL) as gate:
        for body in bodies * 5:
            for headers in ([], [("content-encoding", "gzip")], [("content-encoding", "br")]):
                answer = await gate.ask("POST", "/v1/chat/completions", body=body, headers=headers)
                assert answer.status != 503
        whole = await gate.ask("POST", "/v1/messages", body=padded(MESSAGES, LIMIT), headers=[])
        assert whole.status == 200


async def test_lengths_that_are_no_lengths_are_no_crash() -> None:
    async with entered(SMALL) as gate:
        for length, status in (
            ("9" * 10_000, 413),
            ("-1", 200),
            ("1e3", 200),
            ("٣", 200),
            ("", 200),
            ("0" * 50 + "5", 200),
        ):
            answer = await gate.ask(
                "POST", "/v1/chat/completions", body=packed(CHAT), headers=[("content-length", length.encode())]
            )
            assert answer.status == status, length[:20]


@pytest.mark.parametrize(("lines", "status"), [(99, 200), (100, 431), (5000, 431)])
async def test_a_hundred_headers_are_enough(lines: int, status: int) -> None:
    async with entered(SMALL) as gate:
        for path, (dialect, body) in POSTS.items():
            extra = [(f"x-{number}", "1") for number in range(lines)]
            answer = await gate.ask("POST", path, body=packed(body), headers=extra)
            assert answer.status == status
            assert status == 200 or answer.dialect() == dialect


async def test_strangers_do_not_get_as_far_as_the_limits() -> None:
    async with entered(f"max_body = {LIMIT}\n{KEYED}") as gate:
        headers = [("content-encoding", "br"), ("content-length", "9" * 30)]
        assert (await gate.ask("POST", "/v1/messages", body=b"x" * (LIMIT + 1), headers=headers)).status == 401
