"""Relays: whole frames pass byte for byte, the model name goes back, an upstream's error does not travel."""

from __future__ import annotations

import pytest

from llmux.errors import Kind, LlmuxError
from llmux.plugins import protocol
from llmux.protocols.base import Frame
from llmux.protocols.dialog import Asked
from llmux.protocols.frames import MAX_FRAME, SseFramer
from llmux.protocols.relay import ModelName, Relay

ASKED = Asked(model="mine", id="1", created=1, stream=True, usage=True)


def chunk(text: str, finish: str = "null", model: str = '"model":"theirs"') -> bytes:
    return (
        f'data: {{"id":"c","object":"chat.completion.chunk","created":1,{model},"choices":'
        f'[{{"index":0,"delta":{text},"finish_reason":{finish}}}]}}\n\n'
    ).encode()


ROLE = chunk('{"role":"assistant","content":""}')
HELLO = chunk('{"content":"Hello"}')
FINISH = chunk("{}", '"stop"')
DONE = b"data: [DONE]\n\n"


def relay(name: str = "openai", asked: Asked = ASKED) -> Relay:
    return Relay(protocol(name), asked)


def mine(data: bytes) -> bytes:
    return data.replace(b'"theirs"', b'"mine"')


def test_only_whole_frames_pass() -> None:
    running = relay()
    assert running.feed(ROLE + HELLO[:-1]) == mine(ROLE)
    assert running.feed(HELLO[-1:] + FINISH[:9]) == mine(HELLO)


def test_the_gate_is_shut_until_the_first_words() -> None:
    running = relay()
    running.feed(b": waiting\n\n" + ROLE)
    assert (running.content, running.closed, running.error) == (False, False, None)
    running.feed(HELLO)
    assert running.content


def test_a_complete_stream_closes_at_its_terminator_and_takes_nothing_more() -> None:
    running = relay()
    assert running.feed(ROLE + HELLO + FINISH + DONE + b"data: more\n\n") == mine(ROLE + HELLO + FINISH) + DONE
    assert running.closed
    assert running.feed(HELLO) == b""
    assert running.finish() == b""


def test_bytes_do_not_change_when_the_names_are_equal() -> None:
    delta = b'"choices":[{"index":0,"delta":{"content":"\\u0041"},"finish_reason":null}]'
    odd = b'data:  {"model" : "theirs" , ' + delta + b"}\r\n\r\n"
    assert relay(asked=Asked(model="theirs", id="1", created=1)).feed(odd + b": x\r\n\r\n") == odd + b": x\r\n\r\n"


def test_the_model_name_keeps_the_spacing_around_it() -> None:
    odd = b'data: {"choices":[], "model" :  "theirs"}\n\n'
    assert relay().feed(odd) == b'data: {"choices":[], "model" :  "mine"}\n\n'


@pytest.mark.parametrize(
    ("raws", "expected"),
    [
        ([b'{"model":"a"}', b'{"model":"a"}'], [b'{"model":"mine"}', b'{"model":"mine"}']),
        ([b'{"model":"a"}', b'{"model":"b"}'], [b'{"model":"mine"}', b'{"model":"mine"}']),
        ([b'{"model":""}', b'{"model":"a"}'], [b'{"model":""}', b'{"model":"mine"}']),
        ([b'{"model":null}', b'{"model":"a"}'], [b'{"model":null}', b'{"model":"mine"}']),
        ([b'{"x":{"model":"n"},"model":"a"}'], [b'{"x":{"model":"n"},"model":"mine"}']),
        ([b'{"message":{"model":"a"}}'], [b'{"message":{"model":"mine"}}']),
        ([b'{"response":{"model":"a"}}'], [b'{"response":{"model":"mine"}}']),
        ([b'{"model":"a\\/b"}'], [b'{"model":"mine"}']),
        ([b'{"tool":{"model":"a"}}'], [b'{"tool":{"model":"a"}}']),
        ([b'{"model":"a","t":"\\"model\\":\\"a\\""}'], [b'{"model":"mine","t":"\\"model\\":\\"a\\""}']),
        ([b'{"t":"the \\"model\\":\\"a\\" is","model":"a"}'], [b'{"t":"the \\"model\\":\\"a\\" is","model":"mine"}']),
        ([b'not json "model":"a"'], [b'not json "model":"a"']),
    ],
)
def test_the_model_name_is_learned_where_protocols_put_it(raws: list[bytes], expected: list[bytes]) -> None:
    name = ModelName("mine")
    assert [name.restored(Frame(raw, "", raw)) for raw in raws] == expected


def test_a_model_name_of_any_letters_is_written_as_json() -> None:
    raw = b'{"model":"a"}'
    assert ModelName('q"uo\\te é').restored(Frame(raw, "", raw)) == '{"model":"q\\"uo\\\\te é"}'.encode()


def test_an_upstreams_error_frame_stays_behind() -> None:
    running = relay()
    out = running.feed(ROLE + HELLO + b'data: {"error":{"message":"sk-secret overloaded","code":503}}\n\n' + FINISH)
    assert out == mine(ROLE + HELLO)
    assert running.error is not None
    assert running.error.kind is Kind.upstream_overloaded
    assert not running.closed
    assert running.feed(DONE) == b""


def test_an_error_after_the_answer_is_complete_stays_behind_too() -> None:
    running = relay()
    late = b'data: {"choices":[],"error":{"message":"sk-secret"}}\n\n'
    assert running.feed(ROLE + HELLO + FINISH + late) == mine(ROLE + HELLO + FINISH)
    assert running.finish() == DONE
    assert (running.closed, running.error) == (True, None)


def test_an_error_before_any_content_leaves_the_gate_shut() -> None:
    running = relay()
    running.feed(ROLE + b'data: {"error":{"message":"no"}}\n\n')
    assert running.error is not None
    assert not running.content


def test_a_broken_relay_ends_in_the_protocols_own_error() -> None:
    out = relay().broken(LlmuxError(Kind.upstream_timeout, "the upstream went silent"))
    assert out.startswith(b'data: {"error":')
    assert b"went silent" in out
    assert b"[DONE]" not in out
    assert relay("anthropic").broken(LlmuxError(Kind.upstream_timeout, "silent")).startswith(b"event: error\n")


@pytest.mark.parametrize("data", [b"", ROLE, ROLE + HELLO, ROLE + HELLO[:-20], b": x\n\n"])
def test_a_cut_stream_is_an_error(data: bytes) -> None:
    running = relay()
    running.feed(data)
    running.finish()
    assert running.error is not None
    assert running.error.kind is Kind.upstream_failed
    assert not running.closed


def test_a_finish_without_done_gets_its_done() -> None:
    running = relay()
    running.feed(ROLE + HELLO + FINISH)
    assert running.settled
    assert running.finish() == DONE
    assert running.closed


def test_a_last_frame_without_its_blank_line_gets_one() -> None:
    running = relay()
    running.feed(ROLE + HELLO + FINISH + DONE[:-2])
    assert not running.closed
    assert running.finish() == DONE
    assert running.closed


def test_a_frame_without_end_breaks_the_relay() -> None:
    running = relay()
    assert running.feed(b"data: " + b"x" * MAX_FRAME) == b""
    assert running.error is not None
    assert running.error.kind is Kind.upstream_failed


def test_a_page_of_html_reaches_no_client() -> None:
    running = relay()
    assert running.feed(b"<html>\n<body>\n\n<p>Sign in</p>\n\n") == b""
    running.finish()
    assert running.error is not None


def test_frames_without_data_pass_as_they_are() -> None:
    odd = b": note\n\nid: 1\n\n\n\nevent: x\n\n"
    assert relay().feed(odd) == odd
    assert [frame.data for frame in SseFramer().feed(odd)] == [None, None, None]


def test_usage_is_read_on_the_way() -> None:
    running = relay()
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'
    running.feed(ROLE + HELLO + FINISH + usage + DONE)
    assert running.usage is not None
    assert (running.usage.input, running.usage.output) == (3, 4)
