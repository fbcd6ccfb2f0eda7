"""Text completions: read for routing, passed as they are, or told as a chat of one question."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_given import backend, plain

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import raw, read_body
from llmux.protocols.dialog import Text, Turn
from llmux.protocols.openai_chat.completions import AS_CHAT, COMPLETIONS, PASSED, PASSED_TO_OLLAMA, completions
from llmux.protocols.openai_chat.inputs import Inputs, read_inputs
from llmux.protocols.openai_chat.prompt import as_chat
from llmux.routing.needs import Want
from llmux.routing.tokens import longest


def asking(prompt="hello", **fields):
    return read_body(json.dumps({"model": "m", "prompt": prompt, **fields}).encode())


@pytest.mark.parametrize(
    ("prompt", "high", "share"),
    [
        ("hello", 5, 1.0),
        (["hello"], 5, 1.0),
        (["é", "abcdef"], 8, 0.75),
        ([1, 2, 3], 3, 1.0),
        ([[1, 2, 3], [4]], 4, 0.75),
        ([], 0, 1.0),
        ("", 0, 1.0),
        (["", ""], 0, 1.0),
    ],
)
def test_prompts_count_and_the_longest_decides_the_context(prompt, high, share):
    needs = COMPLETIONS.probe(asking(prompt, max_tokens=7, stream=True), {})
    assert (needs.tokens.high, needs.share, needs.reserve, needs.stream) == (high, share, 7, True)
    assert longest(needs).high == max(0, round(high * share))


@given(st.lists(st.one_of(st.text(max_size=30), st.lists(st.integers(0, 99), max_size=9)), max_size=6))
def test_no_input_is_larger_than_the_share_says(found):
    inputs = read_inputs({"input": raw(found)}, "input")
    sizes = [len(one.encode()) if isinstance(one, str) else len(one) for one in found]
    needs = COMPLETIONS.probe({"model": raw("m"), "prompt": raw(found)}, {})
    assert inputs.tokens.high == sum(sizes)
    assert longest(needs).high >= max(sizes, default=0)
    assert isinstance(inputs, Inputs)


def test_a_wish_for_thinking_is_heard():
    assert COMPLETIONS.probe(asking(reasoning_effort="low"), {}).thinking is Want.optional


def test_only_model_and_limit_are_changed_on_the_way_out():
    body = asking(["a", "b"], max_tokens=5000, logprobs=3, echo=True, of_tomorrow={"a": 1}, reasoning_effort="low")
    adapted = PASSED.adapt(body, backend(max_output=10, thinking=False), 500)
    assert (plain(adapted)["model"], plain(adapted)["max_tokens"]) == ("their-model", 10)
    assert all(adapted[key] is body[key] for key in ("prompt", "logprobs", "echo", "of_tomorrow"))
    assert "reasoning_effort" not in adapted


def test_a_limit_of_nothing_stays_one():
    assert plain(PASSED.adapt(asking(max_tokens=0, echo=True), backend(max_output=10), 5))["max_tokens"] == 0


def test_ollama_takes_one_text_and_what_it_would_pass_over_is_refused():
    assert plain(PASSED_TO_OLLAMA.adapt(asking(["a"], suffix="b"), backend(), None))["prompt"] == "a"
    for fields in ({"prompt": ["a", "b"]}, {"prompt": [1]}, {"n": 2}, {"echo": True}, {"best_of": 3}):
        with pytest.raises(LlmuxError) as caught:
            PASSED_TO_OLLAMA.adapt(asking(**fields), backend(), None)
        assert (caught.value.kind, caught.value.param) == (Kind.unsupported, next(iter(fields)))


def test_a_prompt_is_what_the_user_says():
    body = asking(["Say hi."], stop=["x"], user="u", seed=3, presence_penalty=0.5, stream=True, max_tokens=9, n=1)
    dialog = AS_CHAT.read_request(body, {})
    assert dialog.turns == (Turn("user", (Text("Say hi."),)),)
    settings = dialog.settings
    assert (settings.stop, settings.user, settings.seed, settings.presence_penalty) == (("x",), "u", 3, 0.5)
    assert (dialog.stream, settings.max_tokens, dialog.losses) == (True, 9, ())
    assert "prompt" not in as_chat(body)


def test_an_overflow_is_about_the_prompt():
    _, _, body = COMPLETIONS.write_error(LlmuxError(Kind.context_overflow, "no", tokens=(9, 5)))
    assert json.loads(body)["error"]["param"] == "prompt"


@pytest.mark.parametrize(
    ("upstream", "value"),
    [("openai", PASSED), ("ollama", AS_CHAT), ("anthropic", AS_CHAT), ("responses", AS_CHAT), ("x", AS_CHAT)],
)
def test_each_upstream_is_faced_in_its_own_way(upstream, value):
    assert completions(asking(suffix="", logprobs=None)).toward(upstream) is value


@pytest.mark.parametrize("fields", [{"suffix": "x"}, {"logprobs": 0}])
def test_what_only_ollamas_own_route_can_do_goes_there(fields):
    assert completions(asking(**fields)).toward("ollama") is PASSED_TO_OLLAMA
    assert completions(asking(**fields)).toward("anthropic") is AS_CHAT
