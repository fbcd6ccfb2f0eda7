"""Sealed secrets: only with the master key, only where they belong, never in the clear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.access.cipher import Cipher, UnknownMaster
from llmux.config.schema import Secret
from llmux.errors import LlmuxError

OLD, NEW = Secret("o" * 40), Secret("n" * 40)
SECRET = Secret("sk-very-secret-provider-key")
CIPHER = Cipher([OLD])
SEALED = CIPHER.seal("account a:b", SECRET)


def test_what_was_sealed_is_opened_for_its_own_record() -> None:
    assert CIPHER.unseal("account a:b", SEALED) == SECRET
    assert SECRET.reveal() not in SEALED


def test_a_ciphertext_moved_to_another_record_is_refused() -> None:
    with pytest.raises(LlmuxError, match="belongs to account a:b and is not used"):
        CIPHER.unseal("account a:c", SEALED)


@given(st.integers(0, len(SEALED) - 1), st.integers(0, 6))
def test_no_flipped_bit_goes_unnoticed(place: int, bit: int) -> None:
    flipped = SEALED[:place] + chr(ord(SEALED[place]) ^ (1 << bit)) + SEALED[place + 1 :]
    try:
        found = CIPHER.unseal("account a:b", flipped)
    except LlmuxError:
        return
    assert found == SECRET  # an unused bit of the last base64 digit, or the note of who sealed it: it is whole


def test_the_wrong_master_key_is_told_by_name() -> None:
    with pytest.raises(UnknownMaster, match=r"sealed with master key \w{8}, which is not here .*LLMUX_MASTER_KEY"):
        Cipher([NEW]).unseal("account a:b", SEALED)


def test_an_old_key_opens_and_the_new_one_seals() -> None:
    both = Cipher([NEW, OLD])
    assert both.unseal("account a:b", SEALED) == SECRET
    assert Cipher([NEW]).unseal("x", both.seal("x", SECRET)) == SECRET


@pytest.mark.parametrize("text", ["", "sk-plain", "sk-plain.text", ".", "ä.ö"])
def test_nothing_is_taken_in_the_clear(text: str) -> None:
    with pytest.raises(LlmuxError):
        CIPHER.unseal("account a:b", text)
