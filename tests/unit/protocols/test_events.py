"""Events: a stream folds into the reply it tells, and a cut one into its error."""

from __future__ import annotations

import pytest
from msgspec import Raw

from llmux.errors import Kind, LlmuxError
from llmux.protocols.dialog import Image, Reply, Stop, Text, Thinking, ToolCall, Usage
from llmux.protocols.events import Broken, Closed, Delta, Ended, Opened, Started, fold, unfold
from llmux.protocols.seals import Seal


def test_a_stream_folds_into_its_reply() -> None:
    reply = fold(
        [
            Opened("id-1", "model-1"),
            Started(0, "thinking"),
            Delta(0, "hm"),
            Delta(0, "m"),
            Ended(0, Seal("here", "sig")),
            Started(1, "text"),
            Delta(1, "two "),
            Delta(1, "words"),
            Ended(1),
            Started(2, "tool", "call-1", "look", namespace="web"),
            Delta(2, '{"a"'),
            Delta(2, ":1}"),
            Ended(2, extra=Raw(b'"opaque"')),
            Closed(Stop.tool, Usage(input=3, output=4)),
        ]
    )
    assert reply == Reply(
        id="id-1",
        model="model-1",
        parts=(
            Thinking("hmm", Seal("here", "sig")),
            Text("two words"),
            ToolCall("call-1", "look", '{"a":1}', namespace="web", extra=Raw(b'"opaque"')),
        ),
        stop=Stop.tool,
        usage=Usage(input=3, output=4),
    )


def test_a_broken_stream_raises_its_error() -> None:
    error = LlmuxError(Kind.upstream_overloaded, "later")
    with pytest.raises(LlmuxError) as caught:
        fold([Opened(), Started(0, "text"), Delta(0, "ha"), Broken(error)])
    assert caught.value is error


def test_a_stream_without_its_end_is_no_reply() -> None:
    with pytest.raises(LlmuxError) as caught:
        fold([Opened(), Started(0, "text"), Delta(0, "ha"), Ended(0)])
    assert caught.value.kind is Kind.upstream_failed


def test_empty_parts_have_no_delta() -> None:
    events = list(unfold(Reply(parts=(Text(""), Thinking(hidden=True, seal=Seal("x", "y"))))))
    assert not any(isinstance(event, Delta) for event in events)
    assert Started(1, "thinking", hidden=True) in events


def test_a_reply_that_holds_an_image_is_refused_by_name() -> None:
    with pytest.raises(LlmuxError, match="cannot hold a Image"):
        list(unfold(Reply(parts=(Image(url="https://example.com/a.png"),))))
