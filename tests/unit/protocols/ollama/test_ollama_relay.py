"""A stream between a client and a server that both speak Ollama."""

from __future__ import annotations

import json

import pytest
from ollama_given import ASKED, END, PLAIN, line, ndjson

from llmux.errors import Kind
from llmux.protocols.base import read_body
from llmux.protocols.dialog import Usage
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.generate import GENERATE
from llmux.protocols.relay import Relay
from llmux.protocols.translator import Translator


def relayed(stream, protocol=PROTOCOL):
    relay = Relay(protocol, ASKED)
    return relay.feed(stream) + relay.finish(), relay


def test_lines_pass_under_the_name_that_was_asked_for():
    stream = ndjson(line("He"), line("llo", of_tomorrow=1), END)
    out, relay = relayed(stream)

    assert out == stream.replace(b'"llama"', b'"asked-model"')
    assert relay.closed
    assert relay.usage == Usage(input=7, output=3)


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"  \n"])
def test_blank_lines_that_would_break_a_client_are_left_out(blank):
    stream = ndjson(line("He"), END)
    first, last = stream.split(b"\n")[:2]

    assert relayed(blank + first + b"\n" + blank + last + b"\n")[0] == relayed(stream)[0]


def test_a_last_line_gets_the_line_end_that_it_lacks():
    stream = ndjson(line("He"), END)

    assert relayed(stream[:-1])[0] == relayed(stream)[0]


def test_an_error_line_is_said_in_our_words():
    out, relay = relayed(ndjson(line("He"), {"error": "the runner stopped", "trace": "secret"}))

    assert out.count(b"\n") == 1
    assert relay.error is not None
    assert relay.error.kind is Kind.upstream_failed
    assert json.loads(relay.broken(relay.error)) == {"error": "the runner stopped"}


def test_a_page_of_html_reaches_no_client():
    out, relay = relayed(b"<html>\n<body>\n")

    assert out == b""
    assert relay.error is not None


def test_generate_passes_as_it_is():
    lines = [{"model": "llama", "response": "He", "done": False}, {"model": "llama", "response": "", "done": True}]
    out, relay = relayed(ndjson(*lines), GENERATE)

    assert out == ndjson(*lines).replace(b'"llama"', b'"asked-model"')
    assert relay.closed


def test_generate_and_chat_are_the_same_side_to_a_translator():
    pair = Translator(GENERATE, PROTOCOL)
    body = read_body(b'{"model":"m","prompt":"x","raw":true}')

    assert pair.same
    assert pair.inbound.adapt(body, PLAIN, None)["raw"] is body["raw"]
