"""Laws of Chat Completions: what is written reads back the same, pieces in any order make the same calls, and no bytes
of a client or a provider do worse than an error."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Frame, read_body, write_body
from llmux.protocols.dialog import (
    Asked,
    Dialog,
    Image,
    Part,
    Reply,
    Settings,
    Stop,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
)
from llmux.protocols.events import Broken, Closed, Delta, Ended, Event, Opened, Started, fold, unfold
from llmux.protocols.openai_chat import PROTOCOL
from llmux.protocols.seals import Seal
from llmux.routing.backend import Backend, Quirks

BACKEND = Backend(
    name="b",
    provider="vendor",
    model="their-model",
    vision=True,
    thinking=True,
    documents=True,
    quirks=Quirks(reasoning_field="reasoning_content"),
)
ASKED = Asked(model="asked", id="i", created=1, stream=True, usage=True)

words = st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
    lambda text: text.strip() != ""
)
counts = st.integers(0, 10**6)
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=5), st.integers(), max_size=3).map(json.dumps)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Replies as chat can tell them: neighbours of one kind are one part, calls have ids of their own."""
    parts: list[Part] = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(["text", "thinking", "tool"]), max_size=6))):
        if kind == "tool":
            parts.append(ToolCall(f"c{number}", draw(words), draw(objects)))
        elif kind == "text" and not (parts and isinstance(parts[-1], Text)):
            parts.append(Text(draw(words)))
        elif kind == "thinking" and not (parts and isinstance(parts[-1], Thinking)):
            parts.append(Thinking(draw(words), Seal("vendor")))
    called = any(isinstance(part, ToolCall) for part in parts)
    stop = Stop.tool if called else draw(st.sampled_from([Stop.end, Stop.length, Stop.refusal]))
    usage = draw(st.none() | st.builds(Usage, counts, counts, counts, counts, counts))
    return Reply(id="chatcmpl-i", model="asked", parts=tuple(parts), stop=stop, usage=usage)


def read_stream(data: bytes, size: int = 1 << 20) -> list[Event]:
    framer, reader = PROTOCOL.framer(), PROTOCOL.reader(BACKEND)
    frames = [frame for at in range(0, len(data), size) for frame in framer.feed(data[at : at + size])]
    events = [event for frame in [*frames, *framer.finish()] for event in reader.read(frame)]
    return [*events, *reader.finish()]


def grammatical(events: list[Event]) -> bool:
    """Whether events keep the grammar of events.py, cut or whole."""
    open_index: int | None = None
    count = 0
    for place, event in enumerate(events):
        if isinstance(event, Broken | Closed):
            return place == len(events) - 1 and (isinstance(event, Broken) or open_index is None)
        if isinstance(event, Opened) != (place == 0):
            return False
        if isinstance(event, Started):
            if open_index is not None or event.index != count:
                return False
            open_index, count = count, count + 1
        elif isinstance(event, Delta | Ended):
            if event.index != open_index:
                return False
            open_index = None if isinstance(event, Ended) else open_index
    return False


@given(replies(), st.integers(1, 40))
def test_a_stream_that_was_written_folds_to_the_reply(reply: Reply, size: int) -> None:
    writer = PROTOCOL.writer(ASKED)
    data = b"".join(writer.write(event) for event in unfold(reply))
    events = read_stream(data, size)
    assert grammatical(events)
    assert fold(events) == reply


@given(replies())
def test_a_reply_that_was_written_reads_back_the_same(reply: Reply) -> None:
    found = PROTOCOL.read_reply(PROTOCOL.write_reply(reply, ASKED), BACKEND)
    for kind in (Text, Thinking):
        spoken = ["".join(part.text for part in one.parts if isinstance(part, kind)) for one in (found, reply)]
        assert spoken[0] == spoken[1]
    calls = [[part for part in one.parts if isinstance(part, ToolCall)] for one in (found, reply)]
    assert calls[0] == calls[1]
    assert (found.stop, found.usage) == (reply.stop, reply.usage)


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[str], list[dict[str, Any]]]:
    """Arguments of several calls, and the pieces of all of them shuffled into each other, each call's in order."""
    arguments = draw(st.lists(objects, min_size=1, max_size=4))
    pieces: list[list[dict[str, Any]]] = []
    for index, text in enumerate(arguments):
        size = draw(st.integers(1, 8))
        first = {"index": index, "id": f"c{index}", "function": {"name": f"f{index}", "arguments": ""}}
        more = [text[at : at + size] for at in range(0, len(text), size)]
        pieces.append([first, *({"index": index, "function": {"arguments": piece}} for piece in more)])
    order: list[dict[str, Any]] = [one.pop(0) for one in pieces]
    while any(pieces):
        order.append(draw(st.sampled_from([one for one in pieces if one])).pop(0))
    return arguments, order


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
    )


@given(interleaved())
def test_pieces_of_calls_in_any_order_make_the_same_calls(case: tuple[list[str], list[dict[str, Any]]]) -> None:
    arguments, pieces = case
    data = b"".join(chunk({"tool_calls": [piece]}) for piece in pieces) + chunk({}, "tool_calls") + b"data: [DONE]\n\n"
    events = read_stream(data)
    assert grammatical(events)
    found = [part for part in fold(events).parts if isinstance(part, ToolCall)]
    assert [(part.id, part.name, part.arguments) for part in found] == [
        (f"c{index}", f"f{index}", text) for index, text in enumerate(arguments)
    ]


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "think>", "\n", "a", " b"]), max_size=8).map("".join),
    st.integers(1, 9),
)
def test_where_inline_reasoning_is_cut_does_not_matter(text: str, size: int) -> None:
    def told(size: int) -> tuple[Part, ...]:
        pieces = [chunk({"content": text[at : at + size]}) for at in range(0, len(text), size)]
        return fold(read_stream(b"".join(pieces) + chunk({}, "stop"))).parts

    assert told(size) == told(1000)


KEYS = (
    *("tools", "tool_choice", "stop", "response_format", "max_tokens", "thinking", "functions", "reasoning_effort"),
    *("stream", "stream_options", "metadata", "chat_template_kwargs", "n", "temperature"),
)
MESSAGE_KEYS = (
    "role",
    "content",
    "tool_calls",
    "tool_call_id",
    "reasoning_content",
    "thinking_blocks",
    "function_call",
)
roles = st.sampled_from(["system", "user", "assistant", "tool", "function"])
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "file", "refusal"]) | values},
    optional={"text": values, "image_url": values, "file": values},
)
messages = st.fixed_dictionaries(
    {"role": roles | values},
    optional=dict.fromkeys(MESSAGE_KEYS[2:], values) | {"content": st.lists(parts, max_size=2) | values},
)
requests = st.fixed_dictionaries(
    {"model": words | values, "messages": st.lists(messages, max_size=3) | values},
    optional=dict.fromkeys(KEYS, values),
)


def read_every_way(data: bytes) -> None:
    body = read_body(data)
    PROTOCOL.probe(body, {})
    PROTOCOL.texts(body)
    PROTOCOL.asked(body, {}, identity="i", created=0)
    PROTOCOL.adapt(body, BACKEND, 100)
    PROTOCOL.write_request(PROTOCOL.read_request(body, {}), BACKEND, 100)


@given(requests)
def test_no_request_does_worse_than_an_error_that_names_it(request: dict[str, Any]) -> None:
    kinds: set[Kind] = set()
    for key in (*request, ""):  # each value on its own too: one error must not hide another
        one = {"model": "m", "messages": [{"role": "user", "content": "x"}]} | ({key: request[key]} if key else request)
        try:
            read_every_way(json.dumps(one).encode())
        except LlmuxError as error:
            kinds.add(error.kind)
    assert kinds <= {Kind.bad_request, Kind.unsupported}


CHUNK_KEYS = ("choices", "id", "model", "usage", "error", "x_groq", "object")
DELTA_KEYS = ("content", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "refusal")
deltas = st.fixed_dictionaries({}, optional=dict.fromkeys(DELTA_KEYS, values))
choices = st.fixed_dictionaries(
    {"delta": deltas | values}, optional={"index": values, "finish_reason": values, "message": values}
)
chunks = st.fixed_dictionaries(
    {"choices": st.lists(choices, max_size=2) | values}, optional=dict.fromkeys(CHUNK_KEYS[1:], values)
)


@given(st.lists(chunks | values, max_size=4))
def test_no_stream_of_a_provider_does_worse_than_an_error(stream: list[Any]) -> None:
    reader = PROTOCOL.reader(BACKEND)
    events: list[Event] = []
    for one in stream:
        events += reader.read(Frame(b"", "", json.dumps(one).encode()))
    events += reader.finish()
    assert grammatical(events)


@given(st.binary(max_size=40) | chunks.map(lambda one: json.dumps(one).encode()))
def test_no_reply_of_a_provider_does_worse_than_an_error(data: bytes) -> None:
    for read in (lambda: PROTOCOL.read_reply(data, BACKEND), lambda: PROTOCOL.rename(data, "m")):
        kinds: set[Kind] = set()
        try:
            read()
        except LlmuxError as error:
            kinds.add(error.kind)
        assert all(kind.startswith("upstream") or kind is Kind.context_overflow for kind in kinds)


@given(st.dictionaries(words.map("x-{}".format), values, max_size=4))
def test_what_adapting_does_not_mean_to_change_keeps_its_bytes(fields: dict[str, Any]) -> None:
    finite = json.loads(json.dumps(fields), parse_constant=str)
    body = read_body(json.dumps({"model": "m", "messages": []} | finite).encode())
    adapted = PROTOCOL.adapt(body, BACKEND, None)
    assert adapted.keys() == body.keys()
    assert all(adapted[key] is body[key] for key in body if key != "model")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=4), st.booleans())
def test_the_bound_is_a_bound(contents: list[str], escaped: bool) -> None:
    said = [{"role": "user", "content": text} for text in contents]
    body = read_body(json.dumps({"model": "m", "messages": said}, ensure_ascii=escaped).encode())
    texts = PROTOCOL.texts(body)
    assert sum(len(part.encode()) for part in texts.parts) + texts.overhead <= PROTOCOL.probe(body, {}).tokens.high


@st.composite
def dialogs(draw: st.DrawFn) -> Dialog:
    """Dialogs as chat can tell them: text in one piece, every call answered, results before anything else."""
    turns: list[Turn] = []
    for number in range(draw(st.integers(1, 3))):
        asked: list[Part] = [Text(draw(words))]
        if draw(st.booleans()):
            asked.append(Image("image/png", "AA=="))
        turns.append(Turn("user", tuple(asked)))
        thought = [Thinking(draw(words))] if draw(st.booleans()) else []
        calls = [ToolCall(f"c{number}_{one}", "f", draw(objects)) for one in range(draw(st.integers(0, 2)))]
        turns.append(Turn("assistant", (*thought, Text(draw(words)), *calls)))
        if calls:
            results = tuple(ToolResult(call.id, (Text(draw(words)),)) for call in draw(st.permutations(calls)))
            turns.append(Turn("user", results))
        if draw(st.booleans()):
            turns.append(Turn("system", (Text(draw(words)),)))
    turns.append(Turn("user", (Text(draw(words)),)))
    settings = Settings(
        max_tokens=draw(st.none() | st.integers(1, 9000)),
        stop=tuple(draw(st.lists(words, max_size=3))),
        parallel_tools=draw(st.sampled_from([None, False])),
        tool_choice=draw(st.sampled_from([None, *map(ToolChoice, ("auto", "any", "none")), ToolChoice("named", "f")])),
    )
    tool = Tool("f", draw(st.just("") | words), Raw(b'{"type":"object","properties":{"a":{}}}'))
    system = tuple(map(Text, draw(st.lists(words, max_size=1))))
    return Dialog(model="their-model", system=system, turns=tuple(turns), tools=(tool,), settings=settings)


@given(dialogs())
def test_a_dialog_that_was_written_reads_back_the_same(dialog: Dialog) -> None:
    written = PROTOCOL.write_request(dialog, BACKEND, None)
    again = PROTOCOL.read_request(read_body(write_body(written.body)), {})
    assert written.losses == again.losses == ()
    assert [bytes(tool.schema) for tool in again.tools] == [bytes(tool.schema) for tool in dialog.tools]
    assert replace(again, tools=()) == replace(dialog, tools=())
