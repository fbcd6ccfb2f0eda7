"""A worker process over a state file, told by its arguments what to do; prints what happened as JSON lines.

worker.py STATE race COUNT        asks COUNT times for the backend `b`, printing the time before and after
worker.py STATE hold              takes a place and the probe, says so, and waits to be killed
worker.py STATE halfway           dies by SIGKILL inside a transaction
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time

from stores import ONE, backend

from llmux.routing.backend import Backend, Limit
from llmux.state.sqlite import SqliteStore
from llmux.state.store import Outcome, Reservation

LIMITED = backend("b", Limit(window=1.0, requests=40), Limit(window=60.0, requests=250))
FEW = 50
SCARCE = backend("scarce", Limit(window=600.0, requests=FEW))
PLACES = backend("places", max_concurrent=1)
PROBED = backend("probed")


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


async def race(store: SqliteStore, count: int) -> None:
    async def ask(number: int) -> None:
        before = time.monotonic()
        answer = await store.reserve(LIMITED, ONE)
        after = time.monotonic()
        if isinstance(answer, Reservation) and number % 7 == 0:
            await store.settle(answer, Outcome(refund=True))
        elif isinstance(answer, Reservation):
            say(before=before, after=after)

    for start in range(0, count, 20):
        await asyncio.gather(*(ask(number) for number in range(start, start + 20)))
        await asyncio.sleep(0.06)


async def grab(store: SqliteStore, count: int) -> None:
    answers = await asyncio.gather(*(store.reserve(SCARCE, ONE) for _ in range(count)))
    say(admitted=sum(isinstance(answer, Reservation) for answer in answers))


async def hold(store: SqliteStore, probed: Backend) -> None:
    place = await store.reserve(PLACES, ONE)
    probe = await store.reserve(probed, ONE)
    say(place=isinstance(place, Reservation), probe=isinstance(probe, Reservation) and probe.probe)
    await asyncio.sleep(60)


async def halfway(store: SqliteStore) -> None:
    await store.reserve(LIMITED, ONE)
    book = store._book

    def die(ledger: object, now: float) -> None:
        assert book._connection is not None
        book._connection.execute("INSERT INTO amounts VALUES (999, 'b', ?, 7, 0)", (now,))
        os.kill(os.getpid(), signal.SIGKILL)

    say(ready=True)
    await store._ask(die)


async def main(path: str, what: str, *rest: str) -> None:
    store = SqliteStore(path, period=0.05)
    await store.open([LIMITED, SCARCE, PLACES, PROBED])
    if what == "race":
        await race(store, int(rest[0]))
    elif what == "grab":
        await grab(store, int(rest[0]))
    elif what == "hold":
        await hold(store, PROBED)
    else:
        await halfway(store)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
