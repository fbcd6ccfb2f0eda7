"""Requests through the matrix: a strict provider of the upstream's protocol hears what the client said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from grammar_ollama import sayable
from hearing import Heard, hear
from hearing_responses import UNSPOKEN
from hypothesis import given
from hypothesis import strategies as st
from matrix import NAMES, backend, requests, translator
from msgspec import Raw, structs

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Body, raw, read_body, write_body
from llmux.protocols.translator import Prepared

CELLS = list(requests())
UNCARRIED = list(requests(carried=False))
IDS = [f"{inbound}->{upstream}: {path.stem}" for inbound, upstream, path in CELLS]
OURS = {
    "model",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "messages",
    "input",
    "thinking",
    "reasoning",
    "reasoning_effort",
    "stream_options",
    "options",
    "think",
}
"""Keys that adapting for a backend may change; every other one is the client's."""


def prepared(inbound: str, upstream: str, body: Body) -> Prepared:
    return translator(inbound, upstream).request(body, {}, backend(upstream), 100_000)


def heard(name: str, body: Body, *, strict: bool = True) -> Heard:
    return hear(name, json.loads(write_body(body)), strict=strict)


def in_client_words(said: Heard, names: dict[str, str]) -> Heard:
    return structs.replace(
        said,
        tools=[names.get(tool, tool) for tool in said.tools],
        calls=[(names.get(tool, tool), arguments) for tool, arguments in said.calls],
        forced=names.get(said.forced, said.forced),
    )


def in_order(texts: list[str], whole: str) -> bool:
    """Whether all these texts stand in the whole, in this order; writers may join texts and add words of their own."""
    place = 0
    for text in texts:
        place = whole.find(text, place) + len(text)
        if place < len(text):
            return False
    return True


@pytest.mark.parametrize(("inbound", "upstream", "path"), CELLS, ids=IDS)
def test_the_provider_hears_what_the_client_said(inbound: str, upstream: str, path: Path) -> None:
    body = read_body(path.read_bytes())
    done = prepared(inbound, upstream, body)
    told = in_client_words(heard(upstream, done.body, strict=inbound != upstream), done.names)
    meant = heard(inbound, body, strict=False)
    assert told.model == "upstream-model"
    assert in_order(meant.texts, "\n".join(told.texts))
    if upstream == "ollama" != inbound:
        meant = sayable(meant)
    for field in ("images", "calls", "tools", "forced", "schema", "stop", "parallel"):
        if field in UNSPOKEN.get(upstream, ()) and getattr(meant, field):
            assert any(loss.field == field for loss in done.losses)
        else:
            assert getattr(told, field) == getattr(meant, field), field


@pytest.mark.parametrize(("inbound", "upstream", "path"), UNCARRIED, ids=str)
def test_what_a_protocol_cannot_say_is_refused_by_its_name(inbound: str, upstream: str, path: Path) -> None:
    with pytest.raises(LlmuxError) as caught:
        prepared(inbound, upstream, read_body(path.read_bytes()))
    assert caught.value.kind is Kind.unsupported
    assert caught.value.param is not None


@pytest.mark.parametrize(("inbound", "upstream", "path"), CELLS, ids=IDS)
def test_the_results_of_tools_reach_the_provider(inbound: str, upstream: str, path: Path) -> None:
    body = read_body(path.read_bytes())
    told = heard(upstream, prepared(inbound, upstream, body).body, strict=False).results
    meant = heard(inbound, body, strict=False).results
    assert len(told) == len(meant)
    assert all(any(words in result for result in told) for words in meant)


@pytest.mark.parametrize(("inbound", "upstream", "path"), CELLS, ids=IDS)
def test_thinking_is_asked_of_the_provider_where_the_client_asked_for_it(
    inbound: str, upstream: str, path: Path
) -> None:
    body = read_body(path.read_bytes())
    told = heard(upstream, prepared(inbound, upstream, body).body, strict=False)
    assert told.thinks == heard(inbound, body, strict=False).thinks


@pytest.mark.parametrize(("inbound", "upstream", "path"), CELLS, ids=IDS)
def test_the_output_limit_fits_backend_and_room(inbound: str, upstream: str, path: Path) -> None:
    body = read_body(path.read_bytes())
    asked = heard(inbound, body, strict=False).max_tokens
    done = translator(inbound, upstream).request(body, {}, backend(upstream, max_output=500), 300)
    limit = heard(upstream, done.body, strict=False).max_tokens
    assert limit == (None if asked is None and upstream != "anthropic" else min(asked or 300, 300))


@pytest.mark.parametrize(("inbound", "upstream", "path"), CELLS, ids=IDS)
def test_preparing_twice_gives_the_same_and_leaves_the_original_alone(inbound: str, upstream: str, path: Path) -> None:
    body = read_body(path.read_bytes())
    before = dict(body)
    first, second = prepared(inbound, upstream, body), prepared(inbound, upstream, body)
    assert body == before
    assert write_body(first.body) == write_body(second.body)
    assert first.losses == second.losses


@pytest.mark.parametrize(("inbound", "upstream", "path"), [cell for cell in CELLS if cell[0] == cell[1]], ids=str)
def test_between_equals_every_key_that_is_not_ours_keeps_its_bytes(inbound: str, upstream: str, path: Path) -> None:
    body = read_body(path.read_bytes())
    out = prepared(inbound, upstream, body).body
    assert {key: bytes(value) for key, value in out.items() if key not in OURS} == {
        key: bytes(value) for key, value in body.items() if key not in OURS
    }


@pytest.mark.parametrize("name", NAMES)
@given(
    extra=st.dictionaries(
        st.text(min_size=1, max_size=10).filter(lambda key: key not in OURS).map(lambda key: f"x{key}"),
        st.sampled_from(
            [b"1.0", b"1e2", b'"\\u00e9"', b'{ "a" : [1, 2] }', b"null", b"12345678901234567890123", b"[ ]"]
        ),
        max_size=5,
    )
)
def test_whatever_a_future_client_adds_passes_byte_for_byte(name: str, extra: dict[str, bytes]) -> None:
    body = {
        "model": raw("m"),
        "max_tokens": raw(5),
        "messages": Raw(b'[ {"role": "user", "content": "hi" } ]'),
        **{key: Raw(value) for key, value in extra.items()},
    }
    out = prepared(name, name, body).body
    assert {key: bytes(out[key]) for key in extra} == extra
    assert bytes(out["messages"]) == bytes(body["messages"])
