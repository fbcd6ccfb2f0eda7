"""Whose address counts, and that nobody can pretend to have another."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.gateway.peer import peer_of

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1"))


@pytest.mark.parametrize(
    ("address", "forwarded", "peer"),
    [
        ("1.2.3.4", "", "1.2.3.4"),
        ("1.2.3.4", "5.6.7.8", "1.2.3.4"),
        ("10.0.0.1", "5.6.7.8", "5.6.7.8"),
        ("10.0.0.1", "9.9.9.9, 5.6.7.8", "5.6.7.8"),
        ("10.0.0.1", "5.6.7.8, 10.0.0.2", "5.6.7.8"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "5.6.7.8, <script>", "10.0.0.1"),
        ("", "5.6.7.8", ""),
    ],
)
def test_the_first_address_that_is_no_proxy_of_ours(address: str, forwarded: str, peer: str) -> None:
    assert peer_of(address, forwarded, TRUSTED) == peer


@given(st.text())
def test_what_a_stranger_writes_counts_for_nothing(written: str) -> None:
    through = peer_of("10.0.0.1", f"{written}, 203.0.113.9", TRUSTED)
    assert through == "203.0.113.9"
    assert peer_of("203.0.113.9", written, TRUSTED) == "203.0.113.9"
