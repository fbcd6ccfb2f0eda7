"""`llmux schema` describes what a file may say, for editors."""

from __future__ import annotations

from typing import Any

from llmux.cli.schema import config_schema


def of(view: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = config_schema()["$defs"][view]["properties"][key]
    return found


def test_numbers_truth_values_and_choices_may_come_from_a_variable() -> None:
    reference = {"type": "string", "pattern": r"\$\{"}
    for view, key in (
        ("ConfigView", "port"),
        ("ConfigView", "https_enabled"),
        ("ConfigView", "log_level"),
        ("BackendView", "vision"),
        ("TimeoutsView", "idle"),
    ):
        value, other = of(view, key)["anyOf"]
        assert other == reference, key
        assert value != reference, key
    assert of("ConfigView", "port")["description"] == "port to listen on"


def test_every_section_says_what_it_is() -> None:
    definitions = config_schema()["$defs"]
    for name, key in (("ConfigView", "timeouts"), ("ConfigView", "state"), ("AccountView", "oauth")):
        assert definitions[name]["properties"][key]["description"], key
    assert of("ConfigView", "state")["description"] == "[state]: where windows and cooldowns are kept."
