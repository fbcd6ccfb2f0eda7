"""Vectors in both their forms."""

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.errors import LlmuxError
from llmux.protocols.base import raw
from llmux.protocols.vectors import packed, unpacked


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_there_and_back_nothing_is_lost(numbers):
    away = packed(raw(numbers))
    assert msgspec.json.decode(unpacked(away)) == numbers
    assert packed(away) is away


def test_the_bytes_are_little_endian_floats():
    assert bytes(packed(raw([0.25, -1]))) == b'"AACAPgAAgL8="'
    array = raw([0.1])
    assert unpacked(array) is array
    assert msgspec.json.decode(unpacked(packed(array))) == list(struct.unpack("<f", struct.pack("<f", 0.1)))


@pytest.mark.parametrize("value", [1, None, "", "AAA=", "x", "\u00e9", {}])
def test_what_is_no_vector_is_an_error(value):
    with pytest.raises(LlmuxError):
        unpacked(raw(value))


@pytest.mark.parametrize("value", [1, None, ["a"], [1e40], {}])
def test_what_cannot_be_packed_is_an_error(value):
    with pytest.raises(LlmuxError):
        packed(raw(value))
