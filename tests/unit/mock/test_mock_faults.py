"""Which requests a fault hits, and how faults are told."""

from __future__ import annotations

import pytest

from llmux.mock.faults import HEALTHY, Fault, Faults, of_model, read_faults
from llmux.mock.profiles import PROFILES


def hits(fault: Fault, count: int = 6) -> list[bool]:
    faults = Faults([fault])
    return [faults.take("/v1/messages", "m", False) is fault for _ in range(count)]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(status=500), "xxxxxx"),
        (Fault(status=500, times=2), "xx...."),
        (Fault(status=500, skip=1, times=2), ".xx..."),
        (Fault(status=500, every=2), "x.x.x."),
        (Fault(status=500, every=2, times=2, skip=1), ".x.x.."),
        (Fault(status=500, path="/chat"), "......"),
        (Fault(status=500, model="gpt-*"), "......"),
        (Fault(status=500, stream=True), "......"),
        (Fault(status=500, model="?", stream=False, path="messages"), "xxxxxx"),
    ],
)
def test_a_fault_hits_the_requests_it_names(fault, expected):
    assert "".join("x" if hit else "." for hit in hits(fault)) == expected


def test_the_first_fault_in_turn_wins_and_all_matching_ones_count():
    once, then = Fault(status=500, times=1), Fault(status=503)
    faults = Faults([once, then])
    assert [faults.take("/", "m", False) for _ in range(2)] == [once, then]
    assert [one["met"] for one in faults.listing()] == [2, 2]


def test_setting_faults_starts_anew():
    faults = Faults([Fault(status=500, times=1)])
    faults.take("/", "m", False)
    faults.set([])
    assert faults.take("/", "m", False) is HEALTHY


@pytest.mark.parametrize(
    ("told", "faults"),
    [
        (None, []),
        ("overloaded_once", [Fault(status=529, message="overloaded", times=1)]),
        (429, [Fault(status=429)]),
        ("503", [Fault(status=503)]),
        ([429, {"pace": 1}], [Fault(status=429), Fault(pace=1.0)]),
        ({"profile": "cut", "path": "/b/"}, [Fault(end="cut", after=3, path="/b/")]),
    ],
)
def test_faults_are_told_by_name_status_or_object(told, faults):
    assert read_faults(told, PROFILES) == faults


@pytest.mark.parametrize("told", ["nothing_like_it", 7, True, {"stats": 500}, {"end": "never"}, {"profile": "no"}, 1.5])
def test_what_is_no_fault_is_refused_with_a_reason(told):
    with pytest.raises(ValueError, match=r"fault|status"):
        read_faults(told, PROFILES)


def test_a_model_name_may_ask_for_a_fault_that_lasts():
    assert of_model("gpt-4o!overloaded_once", PROFILES) == Fault(status=529, message="overloaded")
    assert of_model("gpt-4o!404", PROFILES) == Fault(status=404)
    assert of_model("gpt-4o", PROFILES) is None
    assert of_model("m!healthy", PROFILES) is None


def test_every_profile_is_distinct():
    told = [repr(faults) for faults in PROFILES.values()]
    assert len(set(told)) == len(told)
