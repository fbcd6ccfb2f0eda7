"""Configurations of the original llmux and of the transparent proxy load unchanged and mean what they say."""

from pathlib import Path

import pytest

from llmux.config.load import ConfigErrors, find, load, load_text
from llmux.config.safety import unsafe_bind
from llmux.config.schema import Config
from llmux.routing.backend import Limit

SEEDS = Path(__file__).parent / "seeds"
KEYS = dict.fromkeys(("OPENAI_API_KEY", "CEREBRAS_API_KEY", "SYNTHETIC_API_KEY"), "k" * 20)


def seed(name: str) -> Config:
    return load(SEEDS / f"{name}.toml", KEYS)


@pytest.mark.parametrize("file", sorted(SEEDS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_seed_loads(file: Path) -> None:
    config = load(file, KEYS)
    assert config.backends or config.endpoints


def test_quick_start_has_three_backends_and_one_client() -> None:
    config = seed("quick_start")
    gpt, glm, o3 = config.backends
    assert (config.host, config.port, config.log_level) == ("0.0.0.0", 8082, "INFO")
    assert (gpt.context, gpt.vision, gpt.thinking, gpt.limits) == (
        128000,
        True,
        False,
        (Limit(window=86400.0, requests=1000),),
    )
    assert (glm.provider, glm.model, glm.context, glm.vision) == ("cerebras_gig", "zai-glm-4.6", 131000, False)
    assert (o3.context, o3.vision, o3.thinking, o3.model_match) == (1000000, False, True, ("*opus*", "*o1*"))
    assert config.clients[0].name == "client1"
    assert config.clients[0].key.reveal() == "your-secret-api-key"


def test_quick_start_may_listen_for_others_because_it_has_a_token() -> None:
    assert unsafe_bind(seed("quick_start"), allow=False) is None


def test_a_provider_of_an_own_name_speaks_openai_and_is_recognised_by_its_host() -> None:
    provider = seed("quick_start").providers["cerebras_gig"]
    assert (provider.protocol, provider.base_url, provider.preset) == (
        "openai",
        "https://api.cerebras.ai/v1",
        "cerebras",
    )
    assert provider.api_key.reveal() == "csk-your-cerebras-key"


def test_o3_gets_the_fields_that_it_takes() -> None:
    quirks = seed("quick_start").backends[2].quirks
    assert (quirks.max_tokens_field, quirks.sampling) == ("max_completion_tokens", False)


def test_limits_are_sliding_windows_of_a_day_an_hour_and_five_hours() -> None:
    (backend,) = seed("limits").backends
    assert {limit.window: limit.requests for limit in backend.limits} == {86400.0: 1000, 3600.0: 100, 18000.0: 400}


def test_the_code_spelling_of_the_five_hour_limit_means_the_same() -> None:
    assert seed("limits_short_spelling").backends[0].limits == (Limit(window=18000.0, requests=400),)


def test_tokens_are_clients_in_order() -> None:
    assert [client.name for client in seed("tokens").clients] == ["frontend_app", "mobile_app", "internal_service"]


def test_server_settings_are_taken_over() -> None:
    config = seed("server_settings")
    assert (config.timeouts.first_token, config.max_retries, config.https_enabled) == (90.0, 2, False)
    assert unsafe_bind(config, allow=False) is not None


def test_providers_keep_their_keys_and_addresses() -> None:
    providers = seed("providers").providers
    assert [provider.api_key.reveal()[:4] for provider in providers.values()] == ["sk-.", "csk-", "syn_", "sk-y"]
    assert providers["synthetic"].base_url == "https://api.synthetic.new/openai/v1"
    assert providers["lmstudio"].base_url == "http://localhost:1234/v1"


def test_a_single_backend_takes_any_model_from_a_known_provider_without_a_table() -> None:
    config = seed("single_backend")
    assert config.backends[0].model_match == ()
    assert config.providers["cerebras"].base_url == "https://api.cerebras.ai/v1"
    assert config.providers["cerebras"].api_key.origin == "env:CEREBRAS_API_KEY"


def test_basic_failover_keeps_the_order_of_the_file() -> None:
    assert [backend.name for backend in seed("basic_failover").backends] == ["cerebras:gpt-4-small", "openai:gpt-4o"]


def test_a_model_is_split_at_the_first_colon_only() -> None:
    backend = seed("capabilities").backends[0]
    assert (backend.provider, backend.model) == ("synthetic", "hf:Qwen/Qwen3-Coder-480B-A35B-Instruct")


def test_capabilities_say_what_the_selection_flow_needs() -> None:
    qwen, gpt, turbo, o3 = seed("capabilities").backends
    assert (qwen.vision, gpt.vision) == (False, True)
    assert [backend.context for backend in (qwen, gpt, turbo, o3)] == [256000, 128000, 1000000, 1000000]
    assert (qwen.thinking, gpt.thinking, turbo.thinking, o3.thinking) == (False, False, False, True)
    assert o3.rewrites.rename == {"max_tokens": "max_completion_tokens"}


def test_key_delete_is_a_string_or_a_list() -> None:
    (backend,) = seed("parameters").backends
    assert backend.rewrites.delete == ("param_name",)
    assert (backend.rewrites.add, backend.rewrites.rename) == ({"new_param": "value"}, {"old_param": "new_param"})


def test_an_own_provider_name_without_a_table_is_an_error_that_names_the_line_to_add() -> None:
    text = '[[backend]]\nmodel = "provider:model"\n'
    with pytest.raises(ConfigErrors, match=r"config:2: backend\.model: .*add \[provider\.provider\] with base_url"):
        load_text(text, KEYS)


def test_the_transparent_proxy_has_its_port_and_four_endpoints() -> None:
    config = seed("transparent_proxy")
    assert (config.port, config.backends) == (8811, ())
    assert {name: endpoint.proxy_url for name, endpoint in config.endpoints.items()} == {
        "anthropic_dev": "http://localhost:8080",
        "anthropic_prod": "http://proxy.company.com:3128",
        "openai_dev": "http://localhost:8081",
        "openai_prod": "http://proxy.company.com:3129",
    }
    assert config.endpoints["openai_dev"].target_base == "https://api.openai.com/v1"


def test_it_is_found_and_given_a_port_by_the_variables_of_the_transparent_proxy() -> None:
    environ = {"CONFIG_PATH": str(SEEDS / "transparent_proxy.toml"), "PORT": "9911"}
    file = find(environ)
    assert file is not None
    assert load(file, environ).port == 9911


def test_an_endpoint_without_target_takes_that_of_the_server() -> None:
    config = load_text('[server]\ntarget_base = "https://api.anthropic.com/"\n[endpoints.direct]\n')
    assert config.endpoints["direct"].target_base == "https://api.anthropic.com"
