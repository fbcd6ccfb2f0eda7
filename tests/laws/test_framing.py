"""Laws of framing: chunks do not matter, and no byte is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.protocols.base import Frame, Framer
from llmux.protocols.frames import NdjsonFramer, SseFramer

ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
lines = st.one_of(
    st.sampled_from(
        [b"data: {}", b"data:x", b"event: ping", b": note", b"id: 1", b"data", b"", b"", "data: \u2028".encode()]
    ),
    st.binary(max_size=6),
)
streams = st.lists(st.tuples(lines, ends), max_size=14).map(lambda pairs: b"".join(line + end for line, end in pairs))
marked = st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf"]), streams, st.sampled_from([b"", b"data: cut"])).map(b"".join)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The stream in pieces; places are taken modulo its length."""
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(edges)]


def frames_of(framer: Framer, chunks: list[bytes]) -> list[Frame]:
    return [frame for chunk in chunks for frame in framer.feed(chunk)] + framer.finish()


@pytest.mark.parametrize("framer", [SseFramer, NdjsonFramer])
@given(stream=marked, places=st.lists(st.integers(0, 400), max_size=20))
def test_any_chunking_gives_the_same_frames(framer: type[Framer], stream: bytes, places: list[int]) -> None:
    assert frames_of(framer(), cut(stream, places)) == frames_of(framer(), [stream])


@pytest.mark.parametrize("framer", [SseFramer, NdjsonFramer])
@given(stream=marked)
def test_the_bytes_of_the_frames_joined_are_the_stream(framer: type[Framer], stream: bytes) -> None:
    whole = stream + b"\n\ndata: end\n\n"
    assert b"".join(frame.raw for frame in frames_of(framer(), [whole])) == whole


@given(stream=streams)
def test_the_line_ends_of_a_frame_do_not_change_what_it_says(stream: bytes) -> None:
    plain = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    windows = plain.replace(b"\n", b"\r\n")
    assert [(f.event, f.data) for f in frames_of(SseFramer(), [plain])] == [
        (f.event, f.data) for f in frames_of(SseFramer(), [windows])
    ]
