"""Recorded exchanges with real providers, request and answer, where the recordings lie beside the checkout.

They are other people's and not part of the project; without them these tests are skipped and the fixtures stand alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from grammar import REPLIES, STREAMS
from hearing import hear
from matrix import ASKED, backend, protocol, run, translator
from msgspec import Struct

from llmux.errors import Kind
from llmux.protocols.base import read_body, write_body
from llmux.protocols.dialog import Dialog, Text, Thinking, ToolCall, Turn
from llmux.protocols.translator import Prepared
from llmux.routing.backend import Quirks

yaml = pytest.importorskip("yaml")

RECORDINGS = Path(__file__).parents[3] / "shared" / "fixtures"
PATHS = {"/chat/completions": "openai", "/v1/messages": "anthropic"}
CLIENTS = ("anthropic", "openai")


class Exchange(Struct, frozen=True):
    """One request and what the provider answered; `body` as bytes, `events` whether they are a stream."""

    name: str
    protocol: str
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: bytes
    events: bool

    def __str__(self) -> str:
        return self.name


def exchanges() -> list[Exchange]:
    """Every recorded exchange of the protocols that are translated."""
    found = []
    for path in sorted(RECORDINGS.glob("pyd.*.yaml")):
        tape = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        for number, one in enumerate(tape["interactions"]):
            place = one["request"]["uri"].partition("?")[0]
            spoken = next((name for end, name in PATHS.items() if place.endswith(end)), "")
            request, answer = one["request"].get("parsed_body"), one["response"]
            if spoken and request:
                found.append(_exchange(f"{path.stem.removeprefix('pyd.')} {number}", spoken, request, answer))
    return found


def _exchange(name: str, spoken: str, request: dict[str, Any], answer: dict[str, Any]) -> Exchange:
    headers = {key.lower(): value[0] for key, value in answer["headers"].items()}
    events = "parsed_body" not in answer
    body = answer["body"]["string"].encode() if events else json.dumps(answer["parsed_body"]).encode()
    return Exchange(name, spoken, request, answer["status"]["code"], headers, body, events)


def refusals() -> list[Exchange]:
    """Bodies of recorded refusals that came without their requests."""
    return [
        Exchange(path.stem, "openai", {}, 400, {}, path.read_bytes(), events=False)
        for path in sorted(RECORDINGS.glob("*-parameter-error.json"))
    ]


ALL = exchanges()
ANSWERED = [one for one in ALL if one.status == 200]
STREAMED = [one for one in ANSWERED if one.events]
WHOLE = [one for one in ANSWERED if not one.events]
REFUSED = [one for one in ALL if one.status != 200] + refusals()
needed = pytest.mark.skipif(not ALL, reason="the recordings of ../shared are not here")


def named(name: str) -> Exchange:
    return next(one for one in ALL if one.name == name)


def told(exchange: Exchange) -> Any:
    """The reply of a whole answer."""
    return protocol(exchange.protocol).read_reply(exchange.body, backend(exchange.protocol))


@needed
@pytest.mark.parametrize("exchange", ANSWERED, ids=str)
@pytest.mark.parametrize("upstream", CLIENTS)
def test_a_recorded_request_is_taken_by_a_strict_provider(exchange: Exchange, upstream: str) -> None:
    if '"type": "document"' in json.dumps(exchange.request):
        pytest.skip("a document by its address stays with protocols that fetch it")
    body = read_body(json.dumps(exchange.request).encode())
    there, here = protocol(exchange.protocol), protocol(upstream)
    written = here.write_request(there.read_request(body, {}), backend(upstream), None)
    heard = hear(upstream, json.loads(write_body(written.body)))
    meant = hear(exchange.protocol, exchange.request, strict=False)
    offered = [written.names.get(tool, tool) for tool in heard.tools]
    assert [tool for tool in meant.tools if tool in offered] == offered
    assert heard.images == meant.images
    assert len(heard.results) == len(meant.results)


@needed
@pytest.mark.parametrize("exchange", WHOLE, ids=str)
def test_a_recorded_answer_is_understood_by_a_client_of_another_protocol(exchange: Exchange) -> None:
    upstream = exchange.protocol
    (inbound,) = {*CLIENTS} - {upstream}
    body, usage = translator(inbound, upstream).reply(exchange.body, Prepared({}), ASKED, backend(upstream))
    said = REPLIES[inbound](body)
    assert said.text or said.tools
    assert usage is not None
    assert usage.output > 0


@needed
@pytest.mark.parametrize("exchange", STREAMED, ids=str)
@pytest.mark.parametrize("inbound", CLIENTS)
@pytest.mark.parametrize("size", [17, 10**6])
def test_a_recorded_stream_is_understood_by_every_client(exchange: Exchange, inbound: str, size: int) -> None:
    running = translator(inbound, exchange.protocol).stream(Prepared({}), ASKED, backend(exchange.protocol))
    chunks = [exchange.body[at : at + size] for at in range(0, len(exchange.body), size)]
    out = run(running, chunks)
    if inbound == exchange.protocol:
        assert running.closed or running.error is not None
        return
    said = STREAMS[inbound](out)
    assert said.error is None
    assert said.text or said.tools or said.thinking


@needed
@pytest.mark.parametrize("exchange", REFUSED, ids=str)
def test_a_recorded_refusal_keeps_its_words_and_its_place(exchange: Exchange) -> None:
    error = protocol(exchange.protocol).read_error(exchange.status, exchange.headers, exchange.body)
    words = json.loads(exchange.body)["error"]
    assert error.kind is Kind.upstream_rejected
    assert error.detail in words["message"]
    assert error.param == words.get("param")


@needed
def test_an_error_after_the_finish_does_not_spoil_what_was_said() -> None:
    exchange = named("openrouter.openrouter_stream_error 0")
    out = run(translator("anthropic", "openai").stream(Prepared({}), ASKED, backend("openai")), [exchange.body])
    said = STREAMS["anthropic"](out)
    assert (said.stop, said.error) == ("length", None)
    assert said.thinking


@needed
def test_sealed_reasoning_goes_back_to_its_provider_unchanged() -> None:
    exchange = named("openrouter.openrouter_preserve_reasoning_block 1")
    details = json.loads(exchange.body)["choices"][0]["message"]["reasoning_details"]
    reply = told(exchange)
    mine = backend("openai", quirks=Quirks(reasoning_field="reasoning_details"))
    dialog = Dialog(model="m", turns=(Turn("user", (Text("hi"),)), Turn("assistant", reply.parts)))
    written = json.loads(write_body(protocol("openai").write_request(dialog, mine, None).body))
    assert isinstance(reply.parts[0], Thinking)
    assert written["messages"][1]["reasoning_details"] == details


@needed
def test_reasoning_in_a_field_of_its_own_is_found() -> None:
    reply = told(named("cerebras.cerebras_thinking_part_survives_multiturn 0"))
    assert [type(part) for part in reply.parts] == [Thinking, Text]


@needed
def test_reasoning_that_only_the_total_knows_of_is_counted() -> None:
    usage = told(named("openai.compatible_api_with_tool_calls_without_id 1")).usage
    assert (usage.input, usage.output, usage.reasoning) == (66, 34, 28)


@needed
def test_calls_without_ids_get_ids_of_their_own() -> None:
    reply = told(named("openai.compatible_api_with_tool_calls_without_id 0"))
    calls = [part for part in reply.parts if isinstance(part, ToolCall)]
    assert calls
    assert all(call.id.startswith("call_") for call in calls)
    assert len({call.id for call in calls}) == len(calls)
