"""What is told of a model name is what a request under it gets."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llmux.gateway.discovery import CAPABILITIES, offer, offers
from llmux.protocols.base import Offer
from llmux.routing.backend import Backend
from llmux.routing.names import offered
from llmux.routing.needs import Estimate, Needs, Want
from llmux.routing.selector import Choice, select

FLAGS = (*CAPABILITIES, "enabled", "chat")
NAMES = ("a", "b", "gpt", "gpt-4", "p:m")
SIZES = (None, 1000, 2000, 30_000, 400_000)
MATCHES: tuple[tuple[str, ...], ...] = ((), ("gpt",), ("gpt*", "b"), ("*",), ("b",))


def made(name: str, flags: int, kind: tuple[str, str, int | None, int | None, bool | None, tuple[str, ...]]) -> Backend:
    provider, model, context, max_output, embeddings, match = kind
    able = {flag: bool(flags >> place & 1) for place, flag in enumerate(FLAGS)}
    embeddings = embeddings if able["chat"] else True  # as the configuration makes them
    limits: dict[str, Any] = {"context": context, "max_output": max_output}
    return Backend(
        name=name, provider=provider, model=model, embeddings=embeddings, model_match=match, **limits, **able
    )


KINDS = st.tuples(
    st.sampled_from("pq"),
    st.sampled_from("mn"),
    st.sampled_from(SIZES),
    st.sampled_from(SIZES),
    st.sampled_from((None, True, False)),
    st.sampled_from(MATCHES),
)
HOUSES = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 127), KINDS), min_size=1, max_size=4).map(
    lambda rows: [made(name, flags, kind) for name, (flags, kind) in {row[0]: row[1:] for row in rows}.items()]
)


def asked(each: Offer, tokens: int | None, **needs: Any) -> Needs:
    size = 10**9 if tokens is None else tokens
    return Needs(model=each.id, tokens=Estimate(size, size, size, "exact"), **needs)


def needing(capability: str) -> dict[str, Any]:
    return {capability: Want.required if capability == "thinking" else True}


def answered(needs: Needs, house: list[Backend]) -> Choice:
    return select(needs, house, {}, 0.0)


@settings(max_examples=60)
@given(HOUSES)
def test_every_capability_told_can_be_had_in_the_whole_context_told(house: list[Backend]) -> None:
    for each in offers(house, 0):
        told = [one for one in CAPABILITIES if getattr(each, one)]
        if not each.chat:
            assert not told
            assert not answered(asked(each, 1), house).candidates
            continue
        assert answered(asked(each, each.context), house).candidates
        for one in told:
            assert answered(asked(each, each.context, **needing(one)), house).candidates, one
        for one in set(CAPABILITIES) - set(told):
            assert not answered(asked(each, 1, **needing(one)), house).candidates, one


@settings(max_examples=60)
@given(HOUSES)
def test_the_contexts_told_beside_it_are_what_each_has_and_no_more(house: list[Backend]) -> None:
    for each in offers(house, 0):
        for one, size in each.contexts.items():
            wanted = {} if one == "text" else needing(one)
            assert answered(asked(each, size, **wanted), house).candidates, one
            if size is not None and one != "embeddings":
                assert not answered(asked(each, size + 1, **wanted), house).candidates, one


@settings(max_examples=60)
@given(HOUSES)
def test_embeddings_that_are_told_are_served(house: list[Backend]) -> None:
    for each in offers(house, 0):
        if each.embeddings:
            assert answered(asked(each, 1, embeddings=True), house).candidates


@settings(max_examples=60)
@given(HOUSES)
def test_whoever_answers_gives_the_output_told(house: list[Backend]) -> None:
    for each in offers(house, 0):
        for backend in answered(asked(each, 1), house).candidates:
            assert backend.max_output is None or (each.max_output or 0) <= backend.max_output


@settings(max_examples=60)
@given(HOUSES)
def test_what_is_listed_is_answered_and_each_entry_is_what_is_told_of_it_alone(house: list[Backend]) -> None:
    listed = offers(house, 7)
    assert [each.id for each in listed] == [name for name in offered(house) if offer(name, house, 7) is not None]
    for each in listed:
        assert offer(each.id, house, 7) == each
        assert answered(asked(each, 1, embeddings=not each.chat), house).candidates


@settings(max_examples=60)
@given(HOUSES)
def test_a_backend_by_its_own_name_is_told_as_it_is(house: list[Backend]) -> None:
    alone = [replace(backend, chat=True, enabled=True) for backend in house]
    for backend in alone:
        each = offer(backend.name, alone, 0)
        assert each is not None
        assert (each.context, each.max_output, each.contexts) == (backend.context, backend.max_output, {})
        assert all(getattr(each, one) is getattr(backend, one) for one in CAPABILITIES)
