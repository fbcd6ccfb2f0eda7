"""No window ever holds more than its limit, and none holds less than it might."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from llmux.routing.backend import Limit
from llmux.routing.windows import EXACT, Log, cap

GAPS = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5, 9.9, 10.0, 30.0])
LIMITS = st.lists(
    st.one_of(
        st.builds(Limit, window=st.sampled_from([1.0, 3.0, 10.0, 25.0]), requests=st.integers(1, 6)),
        st.builds(Limit, window=st.sampled_from([1.0, 3.0, 10.0, 25.0]), tokens=st.integers(10, 60)),
    ),
    min_size=1,
    max_size=4,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), GAPS, st.integers(0, 40)),
        st.tuples(st.just("refund"), GAPS, st.integers(0, 5)),
        st.tuples(st.just("settle"), GAPS, st.integers(0, 40)),
        st.tuples(st.just("gather"), GAPS, st.just(0)),
    ),
    max_size=80,
)


@dataclass
class Oracle:
    """What was admitted and stands, kept as plainly as can be: [time, tokens]."""

    limits: list[Limit]
    admitted: list[list[float]] = field(default_factory=list)

    def used(self, limit: Limit, now: float) -> float:
        inside = [tokens for at, tokens in self.admitted if now - at < limit.window]
        return len(inside) if limit.requests is not None else sum(inside)

    def fits(self, tokens: int, now: float) -> bool:
        return all(
            self.used(limit, now) + (1 if limit.requests is not None else tokens) <= cap(limit) for limit in self.limits
        )


def play(limits: list[Limit], steps: list[tuple[str, float, int]], *, exact: int = EXACT) -> None:
    log, oracle, now = Log(limits, exact=exact), Oracle(limits), 1_800_000_000.0
    for what, gap, number in steps:
        now += gap
        refusal = log.judge(number, now)
        if what == "ask":
            fits = oracle.fits(number, now)
            assert refusal is not None or fits, "more than a limit allows"
            assert exact < EXACT or (refusal is None) == fits, "less than the limits allow"
            if refusal is None:
                log.add(now, 1, number)
                oracle.admitted.append([now, number])
        elif what == "gather":
            log.coalesce(now)
        elif oracle.admitted and what == "refund":
            at, tokens = oracle.admitted.pop(-1 - number % len(oracle.admitted))
            log.add(at, -1, -int(tokens))
        elif oracle.admitted and what == "settle":
            entry = oracle.admitted[-1 - number % len(oracle.admitted)]
            log.add(entry[0], 0, number - int(entry[1]))
            entry[1] = number
        for limit, used, _ in log.usage(now):
            assert used >= oracle.used(limit, now)
            assert exact < EXACT or used == oracle.used(limit, now)


@given(LIMITS, STEPS)
@settings(max_examples=300)
def test_the_log_is_exact(limits: list[Limit], steps: list[tuple[str, float, int]]) -> None:
    play(limits, steps)


@given(LIMITS, STEPS)
@settings(max_examples=300)
def test_a_gathered_log_errs_on_the_safe_side(limits: list[Limit], steps: list[tuple[str, float, int]]) -> None:
    play(limits, steps, exact=3)


@given(LIMITS, STEPS, st.integers(0, 40))
@settings(max_examples=200)
def test_the_time_it_names_is_the_first_at_which_it_fits(
    limits: list[Limit], steps: list[tuple[str, float, int]], tokens: int
) -> None:
    log, oracle, now = Log(limits), Oracle(limits), 1_800_000_000.0
    for _, gap, number in steps:
        now += gap
        if log.judge(number, now) is None:
            log.add(now, 1, number)
            oracle.admitted.append([now, number])
    refusal = log.judge(tokens, now)
    if refusal is not None and refusal.until is not None:
        assert oracle.fits(tokens, refusal.until)
        for at, _ in oracle.admitted:
            for limit in limits:
                if now <= at + limit.window < refusal.until:
                    assert not oracle.fits(tokens, at + limit.window)
