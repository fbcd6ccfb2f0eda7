"""The first configuration: keys and servers in, a text that loads out."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmux.config.catalog import find_entry
from llmux.config.first import FIRST_MODELS, first_config
from llmux.config.load import load_text
from llmux.config.local import ASKED, Candidate, Model, ModelServer
from llmux.config.presets import PRESETS
from llmux.routing.selector import offers_embeddings

TOKEN = "t" * 64
OLLAMA = Candidate("ollama", "http://localhost:11434")


def served(*models: Model, provider: str = "ollama", candidate: Candidate = OLLAMA) -> ModelServer:
    return ModelServer(provider, candidate, models)


CHAT = Model(name="qwen3:8b", context=32768, most=40960, thinking=True, vision=False, tools=True, loaded=True)
VECTORS = Model(name="nomic-embed-text:latest", context=2048, embeddings=True)


@pytest.mark.parametrize("name", FIRST_MODELS)
def test_first_models_are_in_the_catalog(name: str) -> None:
    entry = find_entry(PRESETS[name].family, FIRST_MODELS[name])
    assert entry is not None
    assert entry.facts.context


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.needs_key and preset.base_url])
def test_a_key_in_the_environment_gives_a_configuration_that_loads(name: str) -> None:
    environ = {PRESETS[name].keys[0]: "k" * 20}
    first = first_config(environ, (), TOKEN)
    config = load_text(first.text, environ)
    assert config.backends[0].provider == (name if name in FIRST_MODELS else "ollama")
    assert f"${PRESETS[name].keys[0]}" in first.text
    assert bool(first.why) is (name in FIRST_MODELS)
    assert bool(first.unnamed) is (name not in FIRST_MODELS)


def test_without_anything_it_asks_a_local_ollama() -> None:
    first = first_config({}, (), TOKEN)
    config = load_text(first.text)
    assert [backend.provider for backend in config.backends] == ["ollama"]
    assert (config.warnings, first.why) == ((), {})


def test_keys_come_first_then_models_that_chat_then_those_that_only_embed() -> None:
    environ = {"GROQ_API_KEY": "k", "OPENAI_API_KEY": "k"}
    studio = served(Model(name="phi", context=4096), provider="lmstudio", candidate=Candidate("lmstudio", "http://h:1"))
    first = first_config(environ, (served(CHAT, VECTORS), studio), TOKEN)
    config = load_text(first.text, environ)
    assert [backend.name for backend in config.backends] == [
        "openai:gpt-5.6",
        "groq:openai/gpt-oss-120b",
        "qwen3:8b",
        "phi",
        "nomic-embed-text:latest",
    ]
    assert list(first.why) == [backend.name for backend in config.backends]
    assert first.why["qwen3:8b"] == "Ollama at http://localhost:11434, loaded"


def test_what_a_server_says_of_a_model_becomes_its_backend() -> None:
    (backend,) = load_text(first_config({}, (served(CHAT),), TOKEN).text).backends
    assert (backend.model, backend.protocol, backend.context) == ("qwen3:8b", "ollama", 32768)
    assert (backend.thinking, backend.vision, backend.tools) == (True, False, True)
    (plain,) = load_text(first_config({}, (served(Model(name="m", context=9, tools=False)),), TOKEN).text).backends
    assert plain.tools is False


def test_the_context_of_ollama_is_explained() -> None:
    text = first_config({}, (served(CHAT),), TOKEN).text
    assert "context = 32768                 # tokens; it is loaded with so many; it can have 40960" in text


def test_vectors_come_from_the_model_that_was_made_for_them_and_chats_never_do() -> None:
    config = load_text(
        first_config({"OPENAI_API_KEY": "k"}, (served(CHAT, VECTORS),), TOKEN).text, {"OPENAI_API_KEY": "k"}
    )
    assert [backend.name for backend in config.backends if offers_embeddings(backend)] == ["nomic-embed-text:latest"]
    assert config.backends[-1].model_match == ("nomic-embed-text:latest", "nomic-embed-text")
    alone = load_text(first_config({}, (served(CHAT),), TOKEN).text)
    assert offers_embeddings(alone.backends[0])


def test_a_server_elsewhere_gets_its_address_and_keeps_the_ways_of_its_kind() -> None:
    moved = Candidate("ollama", "http://127.0.0.1:9", "OLLAMA_HOST")
    eight = Candidate("vllm", "http://localhost:8000")
    config = load_text(
        first_config(
            {}, (served(CHAT, candidate=moved), served(Model(name="g", context=1), provider="", candidate=eight)), TOKEN
        ).text
    )
    assert config.providers["ollama"].base_url == "http://127.0.0.1:9"
    assert config.providers["local-8000"].base_url == "http://localhost:8000/v1"
    assert config.backends[1].quirks.thinking_switch == "none"


def test_an_address_that_the_variable_gives_stays_in_the_variable() -> None:
    moved = Candidate("ollama", "http://gpu:9", "OLLAMA_BASE_URL")
    text = first_config({}, (served(CHAT, candidate=moved),), TOKEN).text
    assert "[provider" not in text
    assert load_text(text, {"OLLAMA_BASE_URL": "http://gpu:9"}).providers["ollama"].base_url == "http://gpu:9"


def test_the_offered_token_is_a_good_one() -> None:
    text = first_config({}, (), TOKEN).text.replace("# [tokens]", "[tokens]").replace("# me =", "me =")
    config = load_text(text)
    assert config.clients[0].key.reveal() == TOKEN
    assert config.warnings == ()


def test_no_key_is_written() -> None:
    assert "canary" not in first_config({"OPENAI_API_KEY": "sk-canary"}, (), "t").text


_NAMES = st.text("ab:/-.$\\{}\"'#*?[]", min_size=1, max_size=8)
_MODELS = st.builds(
    Model,
    name=_NAMES,
    context=st.none() | st.integers(1, 10**6),
    most=st.none() | st.integers(1, 10**6),
    vision=st.none() | st.booleans(),
    thinking=st.none() | st.booleans(),
    tools=st.none() | st.booleans(),
    embeddings=st.booleans(),
    loaded=st.booleans(),
)
_SERVERS = st.builds(
    ModelServer,
    st.sampled_from(["", *ASKED]),
    st.builds(Candidate, st.sampled_from(list(ASKED)), st.sampled_from(["http://localhost:8000", "http://h:1"])),
    st.lists(_MODELS, max_size=4, unique_by=lambda model: model.name).map(tuple),
)


@given(st.lists(_SERVERS, max_size=4), st.sampled_from([{}, {"OPENAI_API_KEY": "k"}]))
def test_whatever_servers_say_the_text_loads_and_holds_every_model(
    servers: list[ModelServer], environ: dict[str, str]
) -> None:
    first = first_config(environ, servers, TOKEN)
    config = load_text(first.text, environ)
    wanted = [model.name for server in servers for model in server.models]
    assert len(config.backends) == len(tomllib.loads(first.text)["backend"])
    if first.why:
        assert list(first.why) == [backend.name for backend in config.backends]
        assert sorted(backend.model for backend in config.backends if backend.provider != "openai") == sorted(wanted)
