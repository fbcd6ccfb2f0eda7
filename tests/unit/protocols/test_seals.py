"""Seals: what a provider signed goes back to that provider and to nobody else."""

from __future__ import annotations

import pytest

from llmux.protocols.seals import MARK, Seal, close, fits, open_


def test_a_seal_survives_a_client_of_another_protocol() -> None:
    seal = Seal("anthropic", "EqQBCgIYAhIM.x/y+z=")
    assert open_(close(seal)) == seal


def test_an_unsealed_signature_stays_as_it_is() -> None:
    assert close(Seal("", "abc")) == "abc"
    assert open_("abc") == Seal("", "abc")


def test_an_origin_may_hold_any_letters() -> None:
    assert open_(close(Seal("my provider.2 – süd", "d"))).origin == "my provider.2 – süd"


@pytest.mark.parametrize("text", [f"{MARK}.data", f"{MARK}!!!!!.data", f"{MARK}_w.data", MARK])
def test_a_marker_with_a_broken_origin_goes_nowhere(text: str) -> None:
    seal = open_(text)
    assert not fits(seal, "anthropic")
    assert not fits(seal, "")


@pytest.mark.parametrize(
    ("seal", "origin", "expected"),
    [
        (Seal("anthropic", "s"), "anthropic", True),
        (Seal("anthropic", "s"), "openrouter", False),
        (Seal("", "s"), "anthropic", True),
        (None, "anthropic", False),
    ],
)
def test_a_seal_fits_its_own_origin(seal: Seal | None, origin: str, expected: bool) -> None:
    assert fits(seal, origin) is expected
