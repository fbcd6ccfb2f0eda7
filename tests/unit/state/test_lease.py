"""Places in one go: never more are sent in any window than its limit, whoever holds how many of them."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from llmux.routing.backend import Backend, Limit
from llmux.routing.cooldown import Failure
from llmux.state import lease
from llmux.state.lease import LEAST, MOST, SECONDS, SHARE, Leases, give_back, grant, leasable
from llmux.state.ledger import Ledger
from llmux.state.store import Cost, Outcome, Reservation

ONE = Cost()


class Worker:
    """What a store does with leases, without threads: the lease is there at once, or after some further requests."""

    def __init__(self, ledger: Ledger, backend: Backend) -> None:
        self.ledger = ledger
        self.backend = backend
        self.now = 0.0
        self.leases = Leases(lambda: self.now)
        self.late: list[tuple[float, lease.Lease | None]] = []

    def send(self, now: float, *, late: bool) -> Reservation | None:
        self.now = now
        self.give_back()
        if wanted := self.leases.wanted(self.backend, now):
            granted = grant(self.ledger, self.backend, wanted, now)
            if late:
                self.late.append((now, granted))
            else:
                self.leases.arrived(self.backend, granted, now)
        elif self.late and not late:
            self.leases.arrived(self.backend, self.late[0][1], self.late.pop(0)[0])
        place = self.leases.place(self.backend, now)
        if place is not None:
            return place
        answer = self.ledger.reserve(self.backend, ONE, now)
        return answer if isinstance(answer, Reservation) else None

    def give_back(self) -> None:
        for held, over in self.leases.expired():
            give_back(self.ledger, held.backend, held.at, over)

    def settle(self, place: Reservation, outcome: Outcome) -> None:
        held = self.leases.settled(place, outcome)
        if held is not None:
            give_back(self.ledger, held.backend, held.at, 1)
        self.ledger.settle(place, outcome, self.now, 0.5)


steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([0.0, 0.01, 0.1, 0.24, 0.4, 0.7]),
        st.integers(1, 30),
        st.booleans(),
        st.sampled_from(["", "", "", "killed", "gathered"]),
    ),
    min_size=4,
    max_size=25,
)
limits = st.lists(
    st.builds(Limit, window=st.sampled_from([0.5, 1.0, 2.0]), requests=st.sampled_from([7, 30, 60])),
    min_size=1,
    max_size=2,
)


Played = list[tuple[int, float, int, bool, str]]


def play(played: Played, given_limits: list[Limit], *, refunds: bool) -> list[float]:
    """When requests were sent, by two workers on one ledger; one may be killed with its places, and crowded windows be
    gathered, meanwhile."""
    backend = Backend(name="b", provider="p", model="m", limits=tuple(given_limits))
    ledger = Ledger()
    ledger.adopt([backend])
    workers = [Worker(ledger, backend), Worker(ledger, backend)]
    now, sent = 1000.0, []
    for which, pause, requests, late, event in played:
        now += pause
        if event == "killed":
            workers[which] = Worker(ledger, backend)
        elif event == "gathered":
            log = ledger.log(backend)
            log._exact = 5
            log.coalesce(now)
        for number in range(requests):
            now += 0.0003
            place = workers[which].send(now, late=late)
            if place is None:
                continue
            if refunds and number % 5 == 0:
                workers[which].settle(place, Outcome(refund=True))
            else:
                sent.append(now)
                workers[which].settle(place, Outcome(ok=True))
    return sent


@given(steps, limits, st.booleans())
def test_no_window_ever_holds_more_than_its_limit(played: Played, given_limits: list[Limit], refunds: bool) -> None:
    with patch.multiple(lease, LEAST=2, SHARE=2):  # leases so large that a wrong one shows
        sent = play(played, given_limits, refunds=refunds)
    for limit in given_limits:
        first = 0
        for last, at in enumerate(sent):
            while at - sent[first] >= limit.window:
                first += 1
            assert last - first + 1 <= (limit.requests or 0)


def busy(limit: int = 1_000_000) -> tuple[Worker, Iterator[float]]:
    """A worker that sends a thousand requests a second, and the times at which it does."""
    backend = Backend(name="b", provider="p", model="m", limits=(Limit(window=60.0, requests=limit),))
    ledger = Ledger()
    ledger.adopt([backend])
    return Worker(ledger, backend), (1000.0 + number / 1000 for number in range(100_000))


def used(worker: Worker) -> int:
    return worker.ledger.log(worker.backend).usage(worker.now)[0][1]


def test_a_busy_worker_asks_once_for_many() -> None:
    worker, times = busy()
    places = [worker.send(next(times), late=False) for _ in range(1000)]
    assert all(places)
    asked = sum(place.id > 0 for place in places if place)
    assert asked < LEAST, "the ledger was asked until the demand was known, and no more"
    assert len(worker.ledger.log(worker.backend)) < 60


def test_what_is_told_to_be_left_counts_only_what_was_used() -> None:
    worker, times = busy()
    for number in range(1, 600):
        place = worker.send(next(times), late=False)
        assert place is not None
        assert number <= place.left[0].used <= number + MOST


def test_what_was_not_used_comes_back() -> None:
    worker, times = busy()
    for _ in range(300):
        worker.send(next(times), late=False)
    assert used(worker) > 300
    worker.now += 2 * SECONDS
    worker.give_back()
    assert used(worker) == 300


def test_a_refund_comes_back_once() -> None:
    worker, times = busy()
    places = [worker.send(next(times), late=False) for _ in range(300)]
    for _ in range(2):
        for place in places:
            assert place is not None
            worker.settle(place, Outcome(refund=True))
    worker.now += 2 * SECONDS
    worker.give_back()
    assert used(worker) == 0


def test_near_the_limit_every_place_is_asked_for() -> None:
    worker, times = busy(limit=400)
    places = [worker.send(next(times), late=False) for _ in range(500)]
    assert 400 // SHARE < LEAST
    assert [place.id > 0 for place in places if place] == [True] * 400
    assert sum(place is not None for place in places) == 400


def test_a_backend_that_cools_lends_nothing() -> None:
    worker, _ = busy()
    place = worker.ledger.reserve(worker.backend, ONE, 1000.0)
    assert isinstance(place, Reservation)
    worker.ledger.settle(place, Outcome(failure=Failure("broken")), 1000.0, 0.5)
    assert grant(worker.ledger, worker.backend, MOST, 1000.1) is None


def test_changed_limits_are_not_served_from_an_old_lease() -> None:
    worker, times = busy()
    for _ in range(200):
        worker.send(next(times), late=False)
    fewer = Backend(name="b", provider="p", model="m", limits=(Limit(window=60.0, requests=201),))
    assert worker.leases.place(fewer, worker.now) is None
    assert worker.leases.place(worker.backend, worker.now) is not None


def test_only_numbers_of_requests_are_lent() -> None:
    def lends(*given_limits: Limit, most: int | None = None) -> bool:
        return leasable(Backend(name="b", provider="p", model="m", limits=given_limits, max_concurrent=most))

    requests, tokens = Limit(window=60.0, requests=1000), Limit(window=60.0, tokens=1000)
    assert lends(requests)
    assert not lends()
    assert not lends(tokens)
    assert not lends(requests, tokens)
    assert not lends(requests, most=4)


def test_demands_that_are_over_are_forgotten() -> None:
    leases = Leases(lambda: 0.0)
    limits = (Limit(window=60.0, requests=1_000_000),)
    for number in range(20 * lease.MANY):
        leases.wanted(Backend(name=f"key {number}", provider="", model="", limits=limits), number / 1000)
    assert len(leases._demand) <= 3 * lease.MANY
    for number in range(100):
        leases.wanted(Backend(name=f"free {number}", provider="", model=""), 100.0)
    assert not any(name.startswith("free") for name in leases._demand)
