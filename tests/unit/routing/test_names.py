"""What a requested name pins, lets in and may be."""

from __future__ import annotations

from llmux.routing.backend import Backend
from llmux.routing.names import offered, pinned, stray, takes

FAST = Backend(name="fast", provider="groq", model="llama:70b", model_match=("*haiku*", "llama-fast"))
DAY = Backend(name="openai:gpt-4o", provider="openai", model="gpt-4o")
NIGHT = Backend(name="night", provider="openai", model="gpt-4o", enabled=False)
ALL = (FAST, DAY, NIGHT)


def test_a_backend_is_pinned_by_its_name() -> None:
    assert pinned("fast", ALL) == (FAST,)


def test_provider_and_model_pin_split_at_the_first_colon() -> None:
    assert pinned("groq:llama:70b", ALL) == (FAST,)


def test_a_name_goes_before_provider_and_model() -> None:
    assert pinned("openai:gpt-4o", ALL) == (DAY,)


def test_provider_and_model_pin_every_backend_that_has_both() -> None:
    one = Backend(name="one", provider="openai", model="gpt-4o")
    assert pinned("openai:gpt-4o", (FAST, one, NIGHT)) == (one, NIGHT)


def test_the_tag_that_ollama_takes_for_granted_pins_the_same() -> None:
    tagged = Backend(name="llama3:latest", provider="ollama", model="llama3:latest")
    small = Backend(name="llama3:8b", provider="ollama", model="llama3:8b")
    assert pinned("llama3", (FAST, tagged, small)) == (tagged,)
    assert pinned("ollama:llama3", (FAST, tagged, small)) == (tagged,)
    assert pinned("fast:latest", (FAST, tagged)) == (FAST,)
    assert pinned("openai:gpt-4o:latest", (FAST, NIGHT)) == (NIGHT,)
    plain = Backend(name="llama3", provider="openai", model="x")
    assert pinned("llama3", (tagged, plain)) == (plain,)
    assert takes(FAST, "claude-haiku:latest")
    assert takes(FAST, "llama-fast:latest")
    assert not takes(FAST, "llama:latest")


def test_other_names_pin_nothing() -> None:
    for model in ("gpt-4o", "llama3:latest", "FAST", "openai:", ":gpt-4o", ""):
        assert pinned(model, ALL) == (), model


def test_a_model_that_a_provider_of_ours_has_no_backend_for_is_astray() -> None:
    assert stray("openai:gpt-4o-mini", ALL)
    assert not stray("gpt-4o-mini", ALL)
    assert not stray("llama3:latest", ALL)
    assert not stray("anthropic:claude", ALL)


def test_a_name_astray_is_taken_by_a_list_alone() -> None:
    listed = Backend(name="listed", provider="openai", model="gpt-4o", model_match=("openai:*",))
    assert takes(listed, "openai:gpt-4o-mini", astray=True)
    assert not takes(DAY, "openai:gpt-4o-mini", astray=True)


def test_a_backend_without_a_list_takes_every_name() -> None:
    assert takes(DAY, "whatever")
    assert takes(FAST, "claude-haiku-5-5")
    assert not takes(FAST, "whatever")


def test_names_and_plain_entries_of_enabled_backends_are_offered_once() -> None:
    twin = Backend(name="twin", provider="groq", model="x", model_match=("llama-fast", "o?"))
    assert offered((*ALL, twin)) == ("fast", "llama-fast", "openai:gpt-4o", "twin")
