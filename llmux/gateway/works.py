"""The work behind the routes of OpenAI and Anthropic; that of the Ollama API is in ollama.py."""

from __future__ import annotations

from urllib.parse import parse_qsl

import msgspec

from llmux.errors import Kind, LlmuxError
from llmux.gateway import auth, discovery, mux
from llmux.gateway.call import Call, Sink
from llmux.gateway.explain import explain, inferred
from llmux.gateway.journey import identity
from llmux.gateway.porch import Porch
from llmux.protocols.openai_chat.completions import completions
from llmux.protocols.openai_chat.embeddings import embeddings
from llmux.protocols.openai_responses.usage import write_count

_JSON = ("content-type", "application/json")


async def converse(porch: Porch, call: Call, sink: Sink) -> None:
    """A conversation, answered by the first backend that fits and is there."""
    await mux.answer(call.house, call, sink)


async def respond(porch: Porch, call: Call, sink: Sink) -> None:
    """A response; whoever only looks at the address (a client that tries WebSockets first) is told how to ask."""
    if call.method == "GET":
        raise LlmuxError(Kind.method_not_allowed, f"GET {call.path} is not served; use POST")
    await mux.answer(call.house, call, sink)


async def embed(porch: Porch, call: Call, sink: Sink) -> None:
    """Embeddings, from the first backend that offers them; the conversation's machine with another path."""
    call.protocol = embeddings(call.body)
    await mux.answer(call.house, call, sink)


async def complete(porch: Porch, call: Call, sink: Sink) -> None:
    """A text completion, passed to a backend that has the route, else asked by chat."""
    call.protocol = completions(call.body)
    await mux.answer(call.house, call, sink)


async def count(porch: Porch, call: Call, sink: Sink) -> None:
    """How many input tokens a request has, by the same counter that routing uses, to the last token."""
    call.protocol.probe(call.body, call.headers)
    tokenizer = call.house.tokenizer
    tokens = await tokenizer.count(await tokenizer.texts(call.protocol, call.body))
    told = write_count(tokens) if call.protocol.name == "responses" else {"input_tokens": tokens}
    body = msgspec.json.encode(told)
    await sink.whole(200, [_JSON, ("x-llmux-estimated", "1"), *identity(call.id)], body)


async def models(porch: Porch, call: Call, sink: Sink) -> None:
    """What can be asked for: the list, or one entry of it."""
    backends = call.house.backends
    _, _, wanted = call.path.partition("/v1/models")
    wanted = wanted.strip("/")
    if not wanted:
        listed = discovery.offers(backends, porch.started, call.client)
        body = call.protocol.models(listed, dict(parse_qsl(call.query)))
    elif (found := discovery.offer(wanted, backends, porch.started, call.client)) is not None:
        body = call.protocol.model(found)
    else:
        raise discovery.unknown(wanted, backends, call.client)
    await sink.whole(200, [_JSON, *identity(call.id)], b"" if call.method == "HEAD" else body)


async def route_explain(porch: Porch, call: Call, sink: Sink) -> None:
    """The decision for a body, without sending it. Query: `protocol=NAME`, `body=1` for the exact upstream body."""
    query = dict(parse_qsl(call.query))
    protocol = inferred(call.house, call.body, query.get("protocol", ""))
    answer = await explain(call.house, protocol, call.body, call.headers, show_body=query.get("body") == "1")
    auth.check_model(call.client, answer["model"])
    await sink.whole(200, [_JSON, *identity(call.id)], msgspec.json.encode(answer))
