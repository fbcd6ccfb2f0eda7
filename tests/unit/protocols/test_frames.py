"""Framers, case by case. The law over any chunking is in tests/laws/test_framing.py."""

from __future__ import annotations

import pytest

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Frame, Framer
from llmux.protocols.frames import MAX_FRAME, NdjsonFramer, SseFramer


def frames_of(stream: bytes, framer: Framer | None = None) -> list[Frame]:
    framer = framer or SseFramer()
    return [*framer.feed(stream), *framer.finish()]


@pytest.mark.parametrize(
    ("stream", "event", "data"),
    [
        (b"data: x\n\n", "", b"x"),
        (b"data:x\n\n", "", b"x"),
        (b"data:  x\n\n", "", b" x"),
        (b"data: x\r\n\r\n", "", b"x"),
        (b"data: x\r\r", "", b"x"),
        (b"data: x\n\r\n", "", b"x"),
        (b"data: a\ndata: b\n\n", "", b"a\nb"),
        (b"data: a\r\ndata\r\ndata: c\r\n\r\n", "", b"a\n\nc"),
        (b"event: ping\ndata: {}\n\n", "ping", b"{}"),
        (b"event:ping\ndata:{}\n\n", "ping", b"{}"),
        (b"data: {}\nevent: late\n\n", "late", b"{}"),
        (b"id: 7\nretry: 10\ndata: x\n\n", "", b"x"),
        (b": hello\ndata: x\n\n", "", b"x"),
        (b"\n\n\ndata: x\n\n", "", b"x"),
        (b"\xef\xbb\xbfdata: x\n\n", "", b"x"),
        (b"\xef\xbb\xbfevent: e\r\ndata: x\r\n\r\n", "e", b"x"),
        (b"event: \xff\ndata: x\n\n", "�", b"x"),
        (b"database: y\ndata: x\n\n", "", b"x"),
        (
            'data: {"t":"a\u2028b\u0085c\x0bd\x0ce\x1cf"}\n\n'.encode(),
            "",
            '{"t":"a\u2028b\u0085c\x0bd\x0ce\x1cf"}'.encode(),
        ),
        (b": comment\n\n", "", None),
        (b"event: ping\n\n", "ping", None),
        (b"data:\n\n", "", None),
    ],
)
def test_one_sse_frame_is_read_and_keeps_its_bytes(stream: bytes, event: str, data: bytes | None) -> None:
    assert frames_of(stream) == [Frame(stream, event, data)]


def test_blank_lines_between_frames_belong_to_the_next_one() -> None:
    assert [frame.raw for frame in frames_of(b"data: a\n\n\n\n\ndata: b\n\n")] == [b"data: a\n\n", b"\n\n\ndata: b\n\n"]


def test_a_byte_order_mark_is_skipped_at_the_start_only() -> None:
    first, second = frames_of(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n")
    assert (first.data, second.data) == (b"a", None)


def test_a_carriage_return_at_the_end_waits_for_its_line_feed() -> None:
    framer = SseFramer()
    assert framer.feed(b"data: a\r\n\r") == []
    assert framer.feed(b"\ndata: b") == [Frame(b"data: a\r\n\r\n", "", b"a")]


def test_a_last_frame_without_its_blank_line_is_returned_when_it_holds_data() -> None:
    framer = SseFramer()
    assert framer.feed(b"data: [DONE]") == []
    assert framer.finish() == [Frame(b"data: [DONE]", "", b"[DONE]")]
    assert framer.finish() == []


@pytest.mark.parametrize("rest", [b": half a comment", b"event: message_stop", b"da", b"\n", b""])
def test_a_rest_without_data_is_no_frame(rest: bytes) -> None:
    assert frames_of(rest) == []


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_frame_of_four_mebibytes_passes_and_one_more_byte_does_not(line_end: bytes) -> None:
    frame = b"data: " + b"x" * (MAX_FRAME - 6 - 2 * len(line_end)) + line_end * 2
    assert [len(found.raw) for found in frames_of(frame)] == [MAX_FRAME]
    with pytest.raises(LlmuxError) as caught:
        SseFramer().feed(b"data: x" + frame[6:])
    assert caught.value.kind is Kind.upstream_failed


@pytest.mark.parametrize("framer", [SseFramer, NdjsonFramer])
def test_a_frame_that_never_ends_is_refused_before_it_fills_the_memory(framer: type[Framer]) -> None:
    endless = framer()
    for _ in range(MAX_FRAME // 65536):
        assert endless.feed(b"x" * 65536) == []
    with pytest.raises(LlmuxError, match="event of more than"):
        endless.feed(b"x")


def test_a_large_frame_in_small_pieces_costs_no_more_than_its_bytes() -> None:
    """Quadratic work would take minutes here; the suite's timeout would tell."""
    framer = SseFramer()
    for _ in range(200_000):
        assert framer.feed(b"data: 0\r\n") == []
    assert len(framer.feed(b"\r\n:")) == 1


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b'{"a":1}\n{"b":2}\n', [Frame(b'{"a":1}\n', "", b'{"a":1}'), Frame(b'{"b":2}\n', "", b'{"b":2}')]),
        (b'{"a":1}\r\n', [Frame(b'{"a":1}\r\n', "", b'{"a":1}')]),
        (b'\n{"a":1}', [Frame(b"\n"), Frame(b'{"a":1}', "", b'{"a":1}')]),
        (b" \n", [Frame(b" \n")]),
        ('{"t":"\u2028"}\n'.encode(), [Frame('{"t":"\u2028"}\n'.encode(), "", '{"t":"\u2028"}'.encode())]),
        (b"", []),
    ],
)
def test_ndjson_lines_are_frames(stream: bytes, expected: list[Frame]) -> None:
    assert frames_of(stream, NdjsonFramer()) == expected


def test_an_ndjson_line_may_be_split_anywhere() -> None:
    framer = NdjsonFramer()
    assert framer.feed(b'{"a"') == []
    assert framer.feed(b':1}\n{"b"') == [Frame(b'{"a":1}\n', "", b'{"a":1}')]
    assert framer.feed(b":2}") == []
    assert framer.finish() == [Frame(b'{"b":2}', "", b'{"b":2}')]
