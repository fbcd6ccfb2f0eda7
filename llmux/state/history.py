"""What becomes of a ledger's history when the file it is written in is read anew, lost, damaged or out of reach.

read anew      forget, read (tables.py), remember
lost           rewrite: what is known is written to the new one
damaged        fill: nobody knows what was used, so all of it was
out of reach   shrink: what waits to be written stays short
"""

from __future__ import annotations

from llmux.routing.windows import EXACT, Log
from llmux.state.ledger import Ledger


def forget(ledger: Ledger) -> None:
    """Drops what was read from a file, keeping what is not written yet: before everything is read anew."""
    for name, log in ledger.logs.items():
        ledger.logs[name] = Log(log.limits)
    ledger.cooldowns = {name: ledger.cooldowns[name] for name in ledger.changes.cooldowns if name in ledger.cooldowns}
    ledger.places = {key: ledger.places[key] for key in ledger.changes.places if key in ledger.places}


def remember(ledger: Ledger) -> None:
    """Counts what is not written yet on top of what was just read."""
    for name, at, requests, tokens in ledger.changes.amounts:
        ledger.log_of(name).add(at, requests, tokens)
    own: dict[str, int] = {}
    for held in list(ledger.held.values()):  # in one step, for the loop lets go of some meanwhile
        if held.place:
            own[held.backend] = own.get(held.backend, 0) + 1
    for name in own.keys() | {name for name, owner in ledger.places if owner == ledger.owner}:
        if ledger.places.get((name, ledger.owner), 0) != own.get(name, 0):
            ledger.places[name, ledger.owner] = own.get(name, 0)
            ledger.changes.places.add((name, ledger.owner))


def rewrite(ledger: Ledger) -> None:
    """Everything known is to be written: the file it was in is lost."""
    ledger.changes.amounts = [(name, *amount) for name, log in ledger.logs.items() for amount in log]
    ledger.changes.cooldowns = set(ledger.cooldowns)
    ledger.changes.places = {key for key, taken in ledger.places.items() if taken}


def fill(ledger: Ledger, at: float) -> None:
    """Takes every window as full at `at`: the history is lost, and nothing may be admitted twice."""
    for name, backend in ledger.backends.items():
        requests = max((limit.requests or 0 for limit in backend.limits), default=0)
        tokens = max((limit.tokens or 0 for limit in backend.limits), default=0)
        if requests or tokens:
            ledger.count(name, at, requests, tokens)


def shrink(ledger: Ledger, now: float) -> None:
    """Keeps unwritten amounts few while the file is out of reach."""
    if len(ledger.changes.amounts) <= 2 * EXACT:
        return
    unwritten: dict[str, Log] = {}
    for name, at, requests, tokens in ledger.changes.amounts:
        log = unwritten.setdefault(name, Log(ledger.log_of(name).limits))
        log.add(at, requests, tokens)
    for log in unwritten.values():
        log.coalesce(now)
    ledger.changes.amounts = [
        (name, *amount) for name, log in unwritten.items() for amount in log if now - amount[0] < log.longest
    ]
