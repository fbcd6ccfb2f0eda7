"""Who answers what: the documented selection flow, line by line, with the selector that llmux itself uses.

    .venv/bin/python examples/selection.py

Four backends in file order; each request goes to the first that fits. The selector is a plain function over plain
values, so the whole walk needs no server, no key and no network.
"""

from __future__ import annotations

from collections.abc import Mapping

from llmux.routing.backend import Backend
from llmux.routing.cooldown import Health
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.selector import select

NOW = 1_767_225_600.0

BACKENDS = (
    # fast and cheap, for simple requests: the highest priority
    Backend(name="cerebras:gpt-4-small", provider="cerebras", model="gpt-4-small", context=128_000),
    # sees images
    Backend(name="openai:gpt-4o", provider="openai", model="gpt-4o", context=128_000, vision=True),
    # large context
    Backend(name="openai:gpt-4-turbo", provider="openai", model="gpt-4-turbo", context=1_000_000),
    # the reasoning specialist, by model name
    Backend(
        name="openai:o3",
        provider="openai",
        model="o3",
        context=1_000_000,
        thinking=True,
        model_match=("*opus*", "*o1*"),
    ),
)


def needs(tokens: int = 1000, *, model: str = "claude-sonnet", vision: bool = False, thinking: Want = Want.no) -> Needs:
    """What a request of so many input tokens needs."""
    return Needs(model=model, tokens=Estimate(tokens, tokens, tokens, "exact"), vision=vision, thinking=thinking)


WALK: tuple[tuple[str, Needs, Mapping[str, Health], str | None], ...] = (
    ("simple text", needs(), {}, "cerebras:gpt-4-small"),
    ("images", needs(vision=True), {}, "openai:gpt-4o"),
    ("large context (>128K)", needs(300_000), {}, "openai:gpt-4-turbo"),
    ("opus model + thinking", needs(model="claude-opus", thinking=Want.required), {}, "openai:o3"),
    # beyond the four documented lines
    ("opus model, no thinking", needs(model="claude-opus"), {}, "cerebras:gpt-4-small"),
    ("thinking, but not opus", needs(thinking=Want.required), {}, None),
    ("thinking if there is some", needs(model="opus", thinking=Want.preferred), {}, "openai:o3"),
    ("pinned by name", needs(model="openai:gpt-4o"), {}, "openai:gpt-4o"),
    ("images, and too long for it", needs(300_000, vision=True), {}, None),
    ("the first one is cooling", needs(), {"cerebras:gpt-4-small": Health(until=NOW + 30)}, "openai:gpt-4o"),
    ("the first one is at its limit", needs(), {"cerebras:gpt-4-small": Health(full=NOW + 600)}, "openai:gpt-4o"),
)


def main() -> None:
    """Prints who answers each request of the walk, and why the others do not; raises when one goes astray."""
    for title, wants, health, expected in WALK:
        choice = select(wants, BACKENDS, health, NOW)
        winner = choice.candidates[0].name if choice.candidates else None
        print(f"{title:30} -> {winner or 'nobody'}")
        for skip in choice.skipped:
            print(f"{'':30}    not {skip.backend}: {skip.reason}, {skip.detail}")
        assert winner == expected, f"{title}: {winner} instead of {expected}"


if __name__ == "__main__":
    main()
