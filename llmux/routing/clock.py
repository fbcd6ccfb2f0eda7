"""The clock that windows and cooldowns go by: it never runs backwards and never jumps.

Wall clocks are set: by hand, by NTP, by a virtual machine that wakes up. A window that followed them would open early
or stay shut. So our time only takes its start from the wall clock and then follows the monotonic clock, which measures
what really passed; the wall clock decides again only across a reboot, and then never backwards.
"""

from __future__ import annotations

from msgspec import Struct

STEP = 60.0
"""A wall clock that moves this many seconds more or less than the monotonic one was set by somebody."""


class Clock(Struct, frozen=True):
    """One moment on three clocks.

    now: our time, seconds since the epoch but for steps of the wall clock; wall, monotonic: what those showed at that
    moment; boot: which boot of the machine `monotonic` belongs to ("" = unknown)."""

    now: float
    wall: float
    monotonic: float
    boot: str = ""


def tick(clock: Clock, wall: float, monotonic: float, *, boot: str = "", same: bool = False) -> Clock:
    """The moment after `clock`, at which the two clocks show `wall` and `monotonic`.

    same: `clock` was made by this very process. Another process's is comparable when its boot is known and ours too;
    else only the wall clock tells what passed since, and a step backwards counts as nothing passed.
    """
    elapsed = monotonic - clock.monotonic
    comparable = same or (boot != "" and boot == clock.boot and elapsed >= -1.0)
    passed = elapsed if comparable else wall - clock.wall
    return Clock(clock.now + max(0.0, passed), wall, monotonic, boot)


def stepped(before: Clock, after: Clock) -> float:
    """By how many seconds the wall clock was set between two moments of one boot; 0 when by no more than STEP."""
    step = (after.wall - before.wall) - (after.monotonic - before.monotonic)
    return step if abs(step) > STEP else 0.0
