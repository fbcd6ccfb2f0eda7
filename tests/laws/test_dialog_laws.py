"""Laws of the neutral values: replies and streams are two forms of one thing, seals come back, depth is counted."""

from __future__ import annotations

import json
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from llmux.protocols.dialog import Part, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Closed, Delta, Ended, Opened, Started, fold, unfold
from llmux.protocols.nesting import MAX_DEPTH, too_deep
from llmux.protocols.seals import Seal, close, open_

words = st.text(max_size=12)
seals = st.builds(Seal, st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable()), words)
counts = st.integers(0, 10**6)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, words),
    st.builds(Thinking, words, st.none() | seals, st.booleans()),
    st.builds(ToolCall, words, words, words, st.booleans(), words, st.sampled_from([UNSET, Raw(b'{"a":1}')])),
)
replies = st.builds(
    Reply,
    id=words,
    model=words,
    parts=st.lists(parts, max_size=5).map(tuple),
    stop=st.sampled_from(Stop),
    sequence=words,
    refusal=words,
    usage=st.none() | st.builds(Usage, counts, counts, counts, counts, counts),
)


@given(replies)
def test_folding_what_was_unfolded_gives_the_reply(reply: Reply) -> None:
    assert fold(unfold(reply)) == reply


@given(replies)
def test_an_unfolded_reply_keeps_the_grammar(reply: Reply) -> None:
    events = list(unfold(reply))
    assert isinstance(events[0], Opened)
    assert isinstance(events[-1], Closed)
    started = [event.index for event in events if isinstance(event, Started)]
    assert started == list(range(len(reply.parts)))
    for index in started:
        place = events.index(next(e for e in events if isinstance(e, Started) and e.index == index))
        body = [event for event in events[place + 1 :] if isinstance(event, Delta | Ended) and event.index == index]
        assert events[place + 1 : place + 1 + len(body)] == body
        assert isinstance(body[-1], Ended)


@given(replies, st.integers(1, 4))
def test_the_size_of_deltas_does_not_matter(reply: Reply, size: int) -> None:
    pieces = chain.from_iterable(
        [Delta(event.index, event.text[i : i + size]) for i in range(0, len(event.text), size)]
        if isinstance(event, Delta)
        else [event]
        for event in unfold(reply)
    )
    assert fold(pieces) == reply


@given(seals)
def test_a_closed_seal_opens_as_it_was(seal: Seal) -> None:
    assert open_(close(seal)) == seal


def nestings(letters: str) -> st.SearchStrategy[object]:
    """JSON values whose strings and keys are made of these letters."""
    return st.recursive(
        st.text(alphabet=letters, max_size=6) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(letters, max_size=3), inner, max_size=2),
        max_leaves=12,
    )


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(item) for item in value), default=0)
    return 0


@given(nestings('"\\ab'), st.integers(0, 6))
def test_too_deep_counts_levels(value: object, levels: int) -> None:
    assert too_deep(json.dumps(value).encode(), levels) is (depth(value) > levels)


@given(nestings('[]{}"\\ab'), st.integers(0, 6))
def test_brackets_in_strings_never_make_a_shallow_body_too_deep(value: object, levels: int) -> None:
    if too_deep(json.dumps(value).encode(), levels):
        assert depth(value) > levels


@given(st.integers(1, 300), st.booleans(), st.text(alphabet='[]{}"\\', max_size=40))
def test_a_hundred_and_twenty_eight_levels_pass_and_one_more_does_not(levels: int, objects: bool, text: str) -> None:
    leaf = json.dumps(text)
    data = ('{"a":' * levels + leaf + "}" * levels) if objects else ("[" * levels + leaf + "]" * levels)
    assert too_deep(data.encode()) is (levels > MAX_DEPTH)
