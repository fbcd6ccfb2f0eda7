"""From which address a request comes, also through proxies of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

Networks = Sequence[IPv4Network | IPv6Network]


def peer_of(address: str, forwarded: str, trusted: Networks) -> str:
    """The client's address. forwarded: the value of `X-Forwarded-For`, empty where there is none.

    Each proxy adds the address that it was called from on the right: trusted ones are passed over from there, and the
    first other is the client. What stands further left anybody may have written.
    """
    hops = [hop.strip() for hop in forwarded.split(",")] if forwarded else []
    while hops and _within(address, trusted) and _within(hops[-1], ()) is not None:
        address = hops.pop()
    return address


def _within(text: str, networks: Networks) -> bool | None:
    """Whether an address is in one of the networks; None = it is no address."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return any(address in network for network in networks)
