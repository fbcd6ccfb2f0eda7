"""What model servers say of themselves, as models."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.config.listings import read_server
from llmux.config.local import Candidate, Model, ModelServer, candidates

OLLAMA = Candidate("ollama", "http://localhost:11434")
STUDIO = Candidate("lmstudio", "http://localhost:1234")
EIGHT = Candidate("vllm", "http://localhost:8000")

TAGS = {
    "models": [
        {"name": "nomic-embed-text:latest", "model": "nomic-embed-text:latest", "digest": "a"},
        {"name": "llama3.2:latest", "model": "llama3.2:latest", "digest": "b"},
        {"name": "qwen3:8b", "model": "qwen3:8b", "digest": "c"},
        {"name": "gpt-oss:120b-cloud", "model": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"},
    ]
}
SHOWN = {
    "/api/show nomic-embed-text:latest": {
        "capabilities": ["embedding"],
        "model_info": {"nomic-bert.context_length": 2048},
    },
    "/api/show llama3.2:latest": {
        "capabilities": ["completion", "tools"],
        "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
    },
    "/api/show qwen3:8b": {
        "capabilities": ["completion", "thinking", "vision"],
        "parameters": "stop    <|im_end|>\nnum_ctx                        8192",
        "model_info": {"qwen3.context_length": 40960},
    },
    "/api/show gpt-oss:120b-cloud": {"model_info": {"gptoss.context_length": 131072}},
}


def models(candidate: Candidate, heard: dict[str, Any], **environ: str) -> dict[str, Model]:
    server = read_server(candidate, heard, environ)
    return {model.name: model for model in server.models} if server else {}


def listed(**fields: Any) -> dict[str, Any]:
    return {"/v1/models": {"object": "list", "data": [{"id": "m", "object": "model", **fields}]}}


def test_ollama_says_what_its_models_can_do() -> None:
    found = models(OLLAMA, {"/api/tags": TAGS, **SHOWN})

    assert found["llama3.2:latest"] == Model(
        name="llama3.2:latest", context=32768, most=131072, vision=False, thinking=False, tools=True
    )
    qwen = found["qwen3:8b"]
    assert (qwen.context, qwen.most, qwen.vision, qwen.thinking, qwen.tools) == (8192, 40960, True, True, False)
    assert found["nomic-embed-text:latest"].embeddings
    assert found["gpt-oss:120b-cloud"].context == 131072


def test_what_ollama_has_loaded_comes_first_with_its_context_and_embeddings_come_last() -> None:
    running = {"models": [{"name": "qwen3:8b", "context_length": 16384}]}
    found = models(OLLAMA, {"/api/tags": TAGS, "/api/ps": running, **SHOWN})

    assert list(found) == ["qwen3:8b", "llama3.2:latest", "gpt-oss:120b-cloud", "nomic-embed-text:latest"]
    assert (found["qwen3:8b"].context, found["qwen3:8b"].loaded) == (16384, True)


def test_the_context_that_ollama_was_told_to_take_counts() -> None:
    found = models(OLLAMA, {"/api/tags": TAGS, **SHOWN}, OLLAMA_CONTEXT_LENGTH="65536")
    assert found["llama3.2:latest"].context == 65536


def test_what_ollama_had_no_time_to_say_is_unknown() -> None:
    found = models(OLLAMA, {"/api/tags": TAGS})

    assert found["qwen3:8b"] == Model(name="qwen3:8b")
    assert found["nomic-embed-text:latest"].embeddings


def test_lm_studio_says_which_context_its_models_were_loaded_with() -> None:
    rows = [
        {"id": "granite", "type": "llm", "state": "not-loaded", "max_context_length": 131072},
        {"id": "qwen-vl", "type": "vlm", "state": "loaded", "max_context_length": 32768, "loaded_context_length": 4096},
        {"id": "nomic", "type": "embeddings", "state": "not-loaded", "max_context_length": 2048},
        {"id": "whisper", "type": "speech"},
    ]
    found = models(STUDIO, {"/api/v0/models": {"object": "list", "data": rows}})

    assert list(found) == ["qwen-vl", "granite", "nomic"]
    assert (found["qwen-vl"].context, found["qwen-vl"].vision, found["qwen-vl"].loaded) == (4096, True, True)
    assert (found["granite"].context, found["nomic"].embeddings) == (131072, True)


@pytest.mark.parametrize(
    ("heard", "provider", "context"),
    [
        (listed(owned_by="vllm", max_model_len=40960), "vllm", 40960),
        (listed(owned_by="llamacpp", meta={"n_ctx": 4096, "n_ctx_train": 131072}), "llamacpp", 4096),
        (
            listed(owned_by="llamacpp", meta={"n_ctx_train": 131072})
            | {"/props": {"default_generation_settings": {"n_ctx": 2048}}},
            "llamacpp",
            2048,
        ),
        (listed(owned_by="me"), "", None),
    ],
)
def test_a_server_is_known_by_its_list_and_not_by_its_port(
    heard: dict[str, Any], provider: str, context: int | None
) -> None:
    server = read_server(EIGHT, heard)

    assert server is not None
    assert (server.provider, server.models[0].context) == (provider, context)


def test_llama_cpp_tells_of_pictures_and_thinking() -> None:
    heard = listed(owned_by="llamacpp") | {
        "/props": {"modalities": {"vision": True}, "chat_template": "{% if enable_thinking %}<think>{% endif %}"}
    }
    assert models(EIGHT, heard)["m"] == Model(name="m", vision=True, thinking=True)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "ok",
        {},
        {"data": []},
        {"data": [{"id": 1, "name": "a user"}]},
        {"object": "list", "data": [{"id": "shop", "object": "product"}]},
        {"models": [{"name": "a car"}]},
        {"data": [{"id": "two words", "object": "model"}, {"id": "", "object": "model"}]},
    ],
)
@pytest.mark.parametrize("candidate", [OLLAMA, STUDIO, EIGHT])
def test_an_ordinary_web_server_is_no_model_server(candidate: Candidate, answer: Any) -> None:
    heard = dict.fromkeys(("/v1/models", "/api/v0/models", "/api/tags", "/api/ps", "/props"), answer)
    assert read_server(candidate, heard) is None


_KEYS = st.sampled_from(
    ["models", "data", "name", "id", "object", "digest", "capabilities", "model_info", "a.context_length", "meta"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(
    st.sampled_from([OLLAMA, STUDIO, EIGHT]),
    st.dictionaries(st.sampled_from(["/api/tags", "/api/ps", "/v1/models", "/api/v0/models", "/props"]), _JSON),
)
def test_nothing_that_a_server_says_breaks_the_reading(candidate: Candidate, heard: dict[str, Any]) -> None:
    assert isinstance(read_server(candidate, heard), ModelServer | None)


@pytest.mark.parametrize(
    ("environ", "base_url", "variable"),
    [
        ({}, "http://localhost:11434", ""),
        ({"OLLAMA_BASE_URL": "http://gpu:9/v1", "OLLAMA_HOST": "other"}, "http://gpu:9", "OLLAMA_BASE_URL"),
        ({"OLLAMA_BASE_URL": "nonsense", "OLLAMA_HOST": "gpu"}, "http://gpu:11434", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": "0.0.0.0"}, "http://127.0.0.1:11434", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": "0.0.0.0:8000"}, "http://127.0.0.1:8000", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": ":8000"}, "http://127.0.0.1:8000", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": "[::]:8000"}, "http://127.0.0.1:8000", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": "[::1]"}, "http://[::1]:11434", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": "https://gpu.example"}, "https://gpu.example:443", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": "http://gpu/sub/"}, "http://gpu:80/sub", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": "'gpu:1'"}, "http://gpu:1", "OLLAMA_HOST"),
        ({"OLLAMA_HOST": "ftp://gpu"}, "http://localhost:11434", ""),
    ],
)
def test_ollama_is_looked_for_where_its_variables_say(environ: dict[str, str], base_url: str, variable: str) -> None:
    found = next(candidate for candidate in candidates(environ) if candidate.provider == "ollama")
    assert (found.base_url, found.variable) == (base_url, variable)


@pytest.mark.parametrize(
    ("base_url", "host", "port", "own"),
    [
        ("http://localhost:8082", "127.0.0.1", 8082, True),
        ("http://[::1]:8082", "0.0.0.0", 8082, True),
        ("http://localhost:8082", "127.0.0.1", 8083, False),
        ("http://gpu:8082", "127.0.0.1", 8082, False),
    ],
)
def test_the_address_that_llmux_is_about_to_take_is_its_own(base_url: str, host: str, port: int, own: bool) -> None:
    assert Candidate("vllm", base_url).is_own(host, port) is own
