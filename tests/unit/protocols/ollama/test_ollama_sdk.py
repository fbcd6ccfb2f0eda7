"""The official Ollama SDK reads what our writers write, over a real connection."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ollama import Client, ResponseError
from ollama_given import ASKED, LOOK

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Offer, read_body
from llmux.protocols.dialog import Reply, Stop, Text, Thinking, ToolCall, ToolResult, Usage
from llmux.protocols.events import Broken, Delta, Opened, Started, unfold
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.embed import EMBED, EMBEDDINGS
from llmux.protocols.ollama.generate import GENERATE
from llmux.protocols.ollama.listing import read_show, write_ps, write_show
from llmux.protocols.ollama.loading import loading, write_loading

REPLY = Reply(
    parts=(Thinking("hm"), Text("Hello."), ToolCall("a", "look", '{"place":"x"}'), ToolCall("b", "now", "{}")),
    stop=Stop.tool,
    usage=Usage(input=12, output=5),
)
OFFER = Offer(id="mine", provider="local", created=1_790_000_001, context=8192, thinking=True)


@contextmanager
def answering(*answers: tuple[int, str, bytes]) -> Iterator[tuple[Client, list[dict]]]:
    """A client of a server that gives these answers, one a request; and what was asked of it."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}"))
            status, media_type, body = left.pop(0)
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        with Client(host=f"http://127.0.0.1:{server.server_port}", timeout=5) as client:
            yield client, asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def stream(*events, protocol=PROTOCOL):
    writer = protocol.writer(ASKED)
    return 200, protocol.media_type, b"".join(writer.write(event) for event in events)


def whole(body):
    return 200, "application/json", body


def test_a_streamed_chat_is_read_line_by_line():
    with answering(stream(*unfold(REPLY))) as (client, _):
        lines = list(client.chat(model="mine", messages=[{"role": "user", "content": "x"}], stream=True))

    assert "".join(line.message.content or "" for line in lines) == "Hello."
    assert "".join(line.message.thinking or "" for line in lines) == "hm"
    calls = [call.function for line in lines for call in line.message.tool_calls or ()]
    assert [(call.name, call.arguments) for call in calls] == [("look", {"place": "x"}), ("now", {})]
    assert (lines[-1].done, lines[-1].prompt_eval_count, lines[-1].eval_count) == (True, 12, 5)


def test_a_whole_chat_is_read_and_what_the_sdk_sends_back_is_understood():
    with answering(whole(PROTOCOL.write_reply(REPLY, ASKED)), whole(PROTOCOL.write_reply(REPLY, ASKED))) as (
        client,
        asked,
    ):
        first = client.chat(model="mine", messages=[{"role": "user", "content": "x"}], tools=[LOOK])
        results = [{"role": "tool", "tool_name": "look", "content": "rain"}, {"role": "tool", "content": "noon"}]
        client.chat(model="mine", messages=[{"role": "user", "content": "x"}, first.message, *results], tools=[LOOK])

    told = PROTOCOL.read_request(read_body(json.dumps(asked[1]).encode()), {})
    calls = [part for turn in told.turns for part in turn.parts if isinstance(part, ToolCall)]
    answers = [part for turn in told.turns for part in turn.parts if isinstance(part, ToolResult)]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("look", {"place": "x"}), ("now", {})]
    assert [(answer.call_id, answer.parts) for answer in answers] == [
        (calls[0].id, (Text("rain"),)),
        (calls[1].id, (Text("noon"),)),
    ]


def test_an_error_in_a_stream_is_raised():
    error = Broken(LlmuxError(Kind.upstream_failed, "the provider broke off"))
    with answering(stream(Opened(), Started(0, "text"), Delta(0, "He"), error)) as (client, _):
        lines = client.chat(model="mine", messages=[{"role": "user", "content": "x"}], stream=True)
        assert next(lines).message.content == "He"
        with pytest.raises(ResponseError, match="broke off"):
            next(lines)


def test_an_error_before_the_stream_is_raised_with_its_status():
    status, _, body = PROTOCOL.write_error(LlmuxError(Kind.unknown_model, "there is no model 'mine'"))
    refused = (status, "application/json", body)
    with answering(refused) as (client, _), pytest.raises(ResponseError, match="no model") as caught:
        list(client.chat(model="mine", messages=[{"role": "user", "content": "x"}], stream=True))
    assert caught.value.status_code == 404


def test_generate_is_read_in_both_ways():
    reply = Reply(parts=(Thinking("hm"), Text("Hi.")), usage=Usage(input=1, output=2))
    answers = stream(*unfold(reply), protocol=GENERATE), whole(GENERATE.write_reply(reply, ASKED))
    with answering(*answers) as (client, _):
        lines = list(client.generate(model="mine", prompt="x", stream=True))
        one = client.generate(model="mine", prompt="x")

    assert "".join(line.response or "" for line in lines) == one.response == "Hi."
    assert "".join(line.thinking or "" for line in lines) == one.thinking == "hm"


def test_loading_a_model_is_answered_here():
    with answering(whole(write_loading(ASKED, "load")), whole(write_loading(ASKED, "unload", generate=True))) as (
        client,
        asked,
    ):
        loaded = list(client.chat(model="mine", stream=True))
        unloaded = client.generate(model="mine", keep_alive=0)

    assert [line.done_reason for line in loaded] == ["load"]
    assert (unloaded.done_reason, unloaded.response) == ("unload", "")
    bodies = [read_body(json.dumps(body).encode()) for body in asked]
    assert loading(bodies[0]) == "load"
    assert loading(bodies[1], generate=True) == "unload"


def test_lists_and_what_a_model_can_do_are_read():
    answers = (whole(PROTOCOL.models([OFFER], {})), whole(write_show(OFFER)), whole(write_ps([OFFER])))
    with answering(*answers) as (client, asked):
        listed, shown, loaded = client.list(), client.show("mine"), client.ps()

    assert [model.model for model in listed.models] == ["mine"]
    assert read_show(read_body(json.dumps(asked[1]).encode())) == "mine"
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert [model.context_length for model in loaded.models] == [8192]


def test_embeddings_of_an_openai_server_are_read():
    reply = b'{"data":[{"index":0,"embedding":[0.5,1]}],"usage":{"prompt_tokens":2}}'
    route, older = EMBED.toward("openai"), EMBEDDINGS.toward("openai")
    with answering(whole(route.rename(reply, "mine")[0]), whole(older.rename(reply, "mine")[0])) as (client, _):
        assert client.embed(model="mine", input="x").embeddings == [[0.5, 1]]
        assert client.embeddings(model="mine", prompt="x").embedding == [0.5, 1]
