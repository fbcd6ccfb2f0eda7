"""What every store does: one suite, each store."""

from __future__ import annotations

import asyncio

import pytest
from stores import ONE, Store, Time, admit, backend, refuse

from llmux.routing.backend import Limit
from llmux.routing.cooldown import Failure
from llmux.state.store import Cost, Full, Outcome, Reservation

BROKEN = Outcome(failure=Failure("broken"))


async def test_a_window_reopens_exactly_one_window_later(store: Store, time: Time) -> None:
    b = backend("b", Limit(window=60, requests=2))
    await store.open([b])
    await admit(store, b)
    time.passes(10)
    await admit(store, b)
    full = await refuse(store, b)
    assert (full.why, full.until) == ("limit", time.wall + 50)
    time.passes(49.999)
    await refuse(store, b)
    time.passes(0.001)
    await admit(store, b)
    await refuse(store, b)


async def test_a_hundred_at_once_get_as_many_places_as_there_are(store: Store) -> None:
    b = backend("b", Limit(window=3600, requests=7))
    await store.open([b])
    answers = await asyncio.gather(*(store.reserve(b, ONE) for _ in range(100)))
    assert sum(isinstance(answer, Reservation) for answer in answers) == 7


async def test_a_refund_gives_the_place_back_once(store: Store) -> None:
    b = backend("b", Limit(window=60, requests=1))
    await store.open([b])
    reservation = await admit(store, b)
    await store.settle(reservation, Outcome(refund=True))
    await store.settle(reservation, Outcome(refund=True))
    await admit(store, b)
    await refuse(store, b)


async def test_an_attempt_that_was_sent_keeps_its_place(store: Store) -> None:
    b = backend("b", Limit(window=60, requests=1))
    await store.open([b])
    await store.settle(await admit(store, b), Outcome(ok=True))
    await refuse(store, b)


async def test_tokens_settle_to_what_was_used(store: Store) -> None:
    b = backend("b", Limit(window=60, tokens=1000))
    await store.open([b])
    reservation = await admit(store, b, Cost(900))
    await refuse(store, b, Cost(200))
    await store.settle(reservation, Outcome(ok=True, tokens=300))
    await admit(store, b, Cost(700))
    assert [left.used for left in await store.left(b)] == [1000]


async def test_no_report_leaves_the_estimate(store: Store) -> None:
    b = backend("b", Limit(window=60, tokens=1000))
    await store.open([b])
    await store.settle(await admit(store, b, Cost(900)), Outcome(ok=True))
    await refuse(store, b, Cost(200))


async def test_a_cost_above_the_limit_is_told_it_never_fits(store: Store) -> None:
    b = backend("b", Limit(window=3600, tokens=1000))
    await store.open([b])
    full = await refuse(store, b, Cost(1001))
    assert full.until is None
    assert full.what == "1001 tokens can never fit in the limit of 1000 tokens per 1h"


async def test_several_windows_are_one_step(store: Store, time: Time) -> None:
    b = backend("b", Limit(window=60, requests=2), Limit(window=600, requests=3), Limit(window=3600, tokens=100))
    await store.open([b])
    for _ in range(2):
        await admit(store, b, Cost(20))
    assert (await refuse(store, b, Cost(20))).what == "the limit of 2 requests per 1m is used up"
    time.passes(60)
    await refuse(store, b, Cost(61))  # the hour has no room for the tokens, so the minute must not lose a place
    await admit(store, b, Cost(60))
    full = await refuse(store, b, Cost(0))
    assert (full.what, full.until) == ("the limit of 3 requests per 10m is used up", time.wall + 540)


async def test_places_are_limited_and_come_back(store: Store) -> None:
    b = backend("b", max_concurrent=2)
    await store.open([b])
    first, _ = await admit(store, b), await admit(store, b)
    assert (await refuse(store, b)).why == "concurrency"
    assert store.health(["b"])["b"].busy
    await store.settle(first, Outcome(ok=True))
    assert not store.health(["b"])["b"].busy
    await admit(store, b)


async def test_a_refused_reservation_takes_nothing(store: Store) -> None:
    b = backend("b", Limit(window=60, requests=5), max_concurrent=1)
    await store.open([b])
    await admit(store, b)
    for _ in range(10):
        await refuse(store, b)
    assert [left.used for left in await store.left(b)] == [1]


async def test_left_and_health_say_how_full_it_is(store: Store, time: Time) -> None:
    b = backend("b", Limit(window=60, requests=2))
    await store.open([b])
    began = time.wall
    first = await admit(store, b)
    time.passes(5)
    second = await admit(store, b)
    assert [(left.limit, left.used, left.reset) for left in first.left] == [(2, 1, began + 60)]
    assert [(left.limit, left.used, left.reset) for left in second.left] == [(2, 2, began + 65)]
    assert list(await store.left(b)) == list(second.left)
    assert store.health(["b"])["b"].full == began + 60


@pytest.mark.parametrize("step", [-86_400, -30, 30, 86_400])
async def test_setting_the_clock_opens_no_window_and_keeps_none_shut(store: Store, time: Time, step: float) -> None:
    b = backend("b", Limit(window=3600, requests=1))
    await store.open([b])
    await admit(store, b)
    time.passes(600)
    time.is_set(step)
    full = await refuse(store, b)
    assert full.until == time.wall + 3000
    time.passes(2999)
    await refuse(store, b)
    time.passes(1)
    await admit(store, b)


async def test_setting_the_clock_neither_ends_nor_stretches_a_cooldown(store: Store, time: Time) -> None:
    b = backend()
    await store.open([b])
    await store.settle(await admit(store, b), BROKEN)
    time.is_set(-3600)
    async with asyncio.timeout(5):
        while store.health(["b"])["b"].until != time.wall + 5:
            await asyncio.sleep(0.05)
    time.passes(4.9)
    assert (await refuse(store, b)).until == pytest.approx(time.wall + 0.1)
    time.passes(0.2)
    await admit(store, b)


async def test_a_limit_of_nothing_admits_nothing(store: Store, time: Time) -> None:
    b = backend("b", Limit(window=60, requests=0))
    await store.open([b])
    assert (await refuse(store, b)).until is None
    assert store.health(["b"])["b"].full == time.wall + 60


async def test_a_cooldown_doubles_up_to_five_minutes(store: Store, time: Time) -> None:
    b = backend()
    await store.open([b])
    rests = []
    for _ in range(8):
        await store.settle(await admit(store, b), BROKEN)
        full = await refuse(store, b)
        assert full.why == "cooldown"
        assert full.until is not None
        rests.append(full.until - time.wall)
        time.passes(rests[-1])
    assert rests == [5, 10, 20, 40, 80, 160, 300, 300]


async def test_an_answered_probe_ends_it_and_growth_starts_over(store: Store, time: Time) -> None:
    b = backend()
    await store.open([b])
    for rest in (5, 10):
        await store.settle(await admit(store, b), BROKEN)
        time.passes(rest)
    probe = await admit(store, b)
    assert probe.probe
    await store.settle(probe, Outcome(ok=True))
    assert store.health(["b"])["b"].until == 0
    reservation = await admit(store, b)
    assert not reservation.probe
    await store.settle(reservation, BROKEN)
    assert store.health(["b"])["b"].until == time.wall + 5


async def test_failures_of_one_burst_count_once(store: Store, time: Time) -> None:
    b = backend()
    await store.open([b])
    reservations = [await admit(store, b) for _ in range(20)]
    for reservation in reservations:
        await store.settle(reservation, BROKEN)
    assert store.health(["b"])["b"].until == time.wall + 5
    assert store.health(["b"])["b"].failures == 1


async def test_a_hundred_requests_make_one_probe(store: Store, time: Time) -> None:
    b = backend("b", Limit(window=60, requests=50), max_concurrent=50)
    await store.open([b])
    await store.settle(await admit(store, b), BROKEN)
    time.passes(5)
    answers = await asyncio.gather(*(store.reserve(b, ONE) for _ in range(100)))
    probes = [answer for answer in answers if isinstance(answer, Reservation)]
    assert len(probes) == 1
    assert probes[0].probe
    assert {answer.why for answer in answers if isinstance(answer, Full)} == {"cooldown"}
    assert store.health(["b"])["b"].probing


async def test_a_probe_that_says_nothing_lets_the_next_one_probe(store: Store, time: Time) -> None:
    b = backend()
    await store.open([b])
    await store.settle(await admit(store, b), BROKEN)
    time.passes(5)
    await store.settle(await admit(store, b), Outcome())
    assert (await admit(store, b)).probe
    await refuse(store, b)


async def test_the_last_resort_probes_early_and_alone(store: Store, time: Time) -> None:
    b = backend()
    await store.open([b])
    await store.settle(await admit(store, b), BROKEN)
    probe = await admit(store, b, early=True)
    assert probe.probe
    assert isinstance(await store.reserve(b, ONE, early=True), Full)
    await store.settle(probe, BROKEN)
    assert store.health(["b"])["b"].until == time.wall + 10


async def test_the_providers_time_holds_with_ten_percent_at_most(store: Store, time: Time) -> None:
    b = backend()
    await store.open([b])
    await store.settle(await admit(store, b), Outcome(refund=True, failure=Failure("rate_limit", 100)))
    health = store.health(["b"])["b"]
    assert (health.cause, health.until) == ("rate_limit", time.wall + 105)


async def test_a_new_key_ends_the_old_ones_cooldown(store: Store) -> None:
    old, new = backend(cooldown_key="k1"), backend(cooldown_key="k2")
    await store.open([old])
    late = await admit(store, old)
    await store.settle(await admit(store, old), Outcome(failure=Failure("auth", 300)))
    await refuse(store, old)
    await store.open([new])
    assert store.health(["b"])["b"].until == 0
    await store.settle(late, Outcome(failure=Failure("auth", 300)))  # what the old key was told is not news
    await admit(store, new)


async def test_reset_lifts_a_cooldown(store: Store) -> None:
    b = backend()
    await store.open([b])
    await store.settle(await admit(store, b), BROKEN)
    await store.reset("b")
    assert store.health(["b"])["b"].until == 0
    assert not (await admit(store, b)).probe


async def test_a_reload_with_other_limits_keeps_the_history(store: Store, time: Time) -> None:
    await store.open([backend("b", Limit(window=3600, requests=10))])
    for _ in range(4):
        await admit(store, backend("b", Limit(window=3600, requests=10)))
    tighter = backend("b", Limit(window=60, requests=9), Limit(window=3600, requests=5))
    await store.open([tighter])
    await admit(store, tighter)
    full = await refuse(store, tighter)
    assert full.until == time.wall + 3600


@pytest.mark.parametrize("yields", range(6))
async def test_a_cancelled_reservation_leaks_nothing(store: Store, yields: int) -> None:
    b = backend("b", Limit(window=60, requests=1), max_concurrent=1)
    await store.open([b])
    waiting = asyncio.ensure_future(store.reserve(b, ONE))
    for _ in range(yields):
        await asyncio.sleep(0.0005 * (yields > 2))
    if not waiting.cancel():
        await store.settle(waiting.result(), Outcome(refund=True))  # type: ignore[arg-type]
    await asyncio.gather(waiting, return_exceptions=True)
    for _ in range(100):
        answer = await store.reserve(b, ONE)
        if isinstance(answer, Reservation):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the place of a cancelled reservation never came back")


async def test_latency_errors_and_the_token_factor_are_smoothed(store: Store) -> None:
    b = backend()
    await store.open([b])
    await store.settle(await admit(store, b), Outcome(ok=True, latency=1.0, measured=(100, 150)))
    await store.settle(await admit(store, b), Outcome(ok=True, latency=2.0))
    health = store.health(["b"])["b"]
    assert health.latency == pytest.approx(1.2)
    assert health.factor == pytest.approx(1.1)
    for _ in range(50):
        await store.settle(await admit(store, b), Outcome(ok=True, measured=(1, 1000)))
    assert store.health(["b"])["b"].factor == 2.0


async def test_unknown_names_are_healthy(store: Store) -> None:
    await store.open([])
    assert store.health(["nobody"])["nobody"].until == 0
    assert isinstance(await store.reserve(backend("nobody"), ONE), Reservation)


# Seats: a backend, one account's cooldown there, the account's own windows

SEAT = backend("b\tone", cooldown_key="k1")
ACCOUNT = backend("\tp\tone", Limit(window=60, requests=1))
ALSO = (SEAT, ACCOUNT)


async def test_all_slots_are_taken_or_none(store: Store, time: Time) -> None:
    b = backend("b", Limit(window=60, requests=2))
    await store.open([b, *ALSO])
    assert isinstance(await store.reserve(b, ONE, also=ALSO), Reservation)
    full = await store.reserve(b, ONE, also=ALSO)
    assert isinstance(full, Full)
    assert (full.why, full.until, full.slot) == ("limit", time.wall + 60, ACCOUNT.name)
    await admit(store, b)  # what the account had no room for took nothing of the backend's
    await refuse(store, b)


async def test_a_crowd_gets_as_many_places_as_the_account_has(store: Store) -> None:
    b, account = backend("b"), backend("\tp\tone", Limit(window=3600, requests=7))
    await store.open([b, SEAT, account])
    answers = await asyncio.gather(*(store.reserve(b, ONE, also=(SEAT, account)) for _ in range(50)))
    assert sum(isinstance(answer, Reservation) for answer in answers) == 7


@pytest.mark.parametrize(("cause", "who"), [("rate_limit", SEAT.name), ("auth", SEAT.name), ("broken", "b")])
async def test_a_failure_is_held_against_the_account_or_the_provider(store: Store, cause: str, who: str) -> None:
    b = backend("b", cooldown_key="k0")
    await store.open([b, *ALSO])
    place = await store.reserve(b, ONE, also=ALSO)
    assert isinstance(place, Reservation)
    await store.settle(place, Outcome(failure=Failure(cause), refund=cause == "rate_limit"))
    resting = [name for name, health in store.health(["b", SEAT.name, ACCOUNT.name]).items() if health.until]
    assert resting == [who]
    assert store.health([SEAT.name])[SEAT.name].errors > 0
    assert bool(store.health(["b"])["b"].errors) == (who == "b")


async def test_a_probe_that_the_account_spoils_is_given_back(store: Store, time: Time) -> None:
    b, free = backend("b", cooldown_key="k0"), backend("\tp\tone")
    await store.open([b, SEAT, free])
    await store.settle(await admit(store, b), BROKEN)
    time.passes(10)
    place = await store.reserve(b, ONE, also=(SEAT, free))
    assert isinstance(place, Reservation)
    assert place.probe
    await store.settle(place, Outcome(failure=Failure("auth")))
    assert (await admit(store, b)).probe, "another account may probe the backend"


async def test_a_refund_comes_back_in_every_slot(store: Store) -> None:
    b = backend("b", Limit(window=60, requests=1))
    await store.open([b, *ALSO])
    for _ in range(3):
        place = await store.reserve(b, ONE, also=ALSO)
        assert isinstance(place, Reservation)
        await store.settle(place, Outcome(refund=True))
    assert [left.used for left in await store.left(ACCOUNT)] == [0]
