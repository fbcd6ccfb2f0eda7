"""Models, versions and errors as Ollama's clients read them."""

from __future__ import annotations

import json

import pytest
from ollama._types import ListResponse, ProcessResponse, ShowResponse

from llmux.errors import Kind, LlmuxError
from llmux.protocols.base import Offer, read_body
from llmux.protocols.ollama import PROTOCOL
from llmux.protocols.ollama.errors import STATUSES
from llmux.protocols.ollama.listing import read_show, write_ps, write_show, write_version

OFFER = Offer(
    id="claude-sonnet", provider="anthropic", created=1_790_000_001, context=200_000, max_output=64_000, vision=True,
    thinking=True,
)  # fmt: skip
BARE = Offer(id="small", provider="local", tools=False)


def test_an_entry_of_the_list_has_every_field_that_zed_needs():
    (entry,) = json.loads(PROTOCOL.models([OFFER], {}))["models"]

    assert (entry["name"], entry["model"]) == ("claude-sonnet", "claude-sonnet")
    assert entry["modified_at"] == "2026-09-21T14:13:21.000000000Z"
    assert isinstance(entry["size"], int)
    assert len(entry["digest"]) == 64
    for field in ("format", "family", "parameter_size", "quantization_level"):
        assert isinstance(entry["details"][field], str)
    assert json.loads(PROTOCOL.model(OFFER)) == entry


def test_models_differ_in_their_digests():
    entries = json.loads(PROTOCOL.models([OFFER, BARE], {}))["models"]

    assert entries[0]["digest"] != entries[1]["digest"]


def test_showing_a_model_tells_what_it_can_do():
    shown = json.loads(write_show(OFFER))

    assert shown["capabilities"] == ["completion", "tools", "vision", "thinking"]
    architecture = shown["model_info"]["general.architecture"]
    assert shown["model_info"][f"{architecture}.context_length"] == 200_000
    assert "num_ctx 200000" in shown["parameters"]


def test_a_model_that_only_embeds_says_so():
    offer = Offer(id="bge-m3", provider="local", chat=False, embeddings=True, tools=False)
    assert json.loads(write_show(offer))["capabilities"] == ["embedding"]


def test_a_template_tells_whether_there_are_tools():
    assert "tools" in json.loads(write_show(OFFER))["template"].lower()
    assert "tools" not in json.loads(write_show(BARE))["template"].lower()


def test_what_is_not_known_of_a_model_is_not_told():
    shown = json.loads(write_show(BARE))

    assert shown["capabilities"] == ["completion"]
    assert not any("context_length" in key for key in shown["model_info"])


def test_the_sdk_reads_every_list():
    listed = ListResponse(**json.loads(PROTOCOL.models([OFFER, BARE], {})))
    shown = ShowResponse(**json.loads(write_show(OFFER)))
    loaded = ProcessResponse(**json.loads(write_ps([OFFER, BARE])))

    assert [model.model for model in listed.models] == ["claude-sonnet", "small"]
    assert shown.details is not None
    assert shown.details.family == "anthropic"
    assert [model.context_length for model in loaded.models] == [200_000, 0]
    assert loaded.models[0].expires_at is not None


def test_a_version_is_three_numbers():
    assert len(json.loads(write_version())["version"].split(".")) == 3


@pytest.mark.parametrize("body", [b'{"model":"m"}', b'{"name":"m"}', b'{"name":"m","model":"","verbose":true}'])
def test_a_model_is_asked_about_by_either_name(body):
    assert read_show(read_body(body)) == "m"


def test_asking_about_no_model_is_an_error():
    with pytest.raises(LlmuxError) as caught:
        read_show(read_body(b"{}"))
    assert caught.value.param == "model"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_of_error_has_a_status_and_words(kind):
    status, headers, body = PROTOCOL.write_error(LlmuxError(kind, "what happened"))

    assert status == STATUSES[kind]
    assert json.loads(body) == {"error": "what happened"}
    assert ("content-type", "application/json") in headers


def test_an_error_says_when_to_come_back_or_not_to():
    limited = LlmuxError(Kind.rate_limited, "slow down", retry_after=1.2)
    assert ("retry-after", "2") in PROTOCOL.write_error(limited)[1]
    assert ("x-should-retry", "false") in PROTOCOL.write_error(LlmuxError(Kind.unauthorized, "who?"))[1]
    assert PROTOCOL.write_error(LlmuxError(Kind.upstream_rejected, "no", status=422))[0] == 422


def test_an_overflow_tells_its_numbers():
    error = LlmuxError(Kind.context_overflow, "too long", tokens=(9000, 4096))
    words = json.loads(PROTOCOL.write_error(error)[2])["error"]

    assert "9000" in words
    assert PROTOCOL.read_error(400, {}, PROTOCOL.write_error(error)[2]).kind is Kind.context_overflow


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (404, "model 'x' not found", Kind.upstream_rejected),
        (400, '"x" does not support tools', Kind.upstream_rejected),
        (400, "the input length exceeds the context length", Kind.context_overflow),
        (401, "unauthorized", Kind.upstream_auth),
        (429, "too many requests", Kind.upstream_limited),
        (500, "model requires more system memory (8 GiB) than is available", Kind.upstream_failed),
        (503, "server busy, please try again", Kind.upstream_overloaded),
    ],
)
def test_what_a_server_complains_about_is_understood(status, words, kind):
    error = PROTOCOL.read_error(status, {}, json.dumps({"error": words}).encode())

    assert (error.kind, error.detail) == (kind, words)
