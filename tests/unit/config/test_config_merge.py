"""Presets, catalog and explicit values come together in a backend."""

from pathlib import Path

import pytest

from llmux.config.load import ConfigErrors, find, load_single, load_text
from llmux.config.presets import PRESETS, find_preset
from llmux.config.safety import unsafe_bind
from llmux.config.schema import Config, Provider
from llmux.routing.backend import Backend, Limit

KEYS = {key: f"key-of-{name}" for name, preset in PRESETS.items() for key in preset.keys}
CONTRACT = (
    "openai anthropic azure google zhipu zai aliyun dashscope volcengine ark tencent longcat moonshot minimax deepseek "
    "cerebras groq mistral xai openrouter synthetic together fireworks ollama lmstudio vllm llamacpp"
)


def backend(lines: str, **environ: str) -> Backend:
    return load_text(f"[[backend]]\n{lines}\n", KEYS | environ).backends[0]


def provider(name: str, lines: str = "") -> Provider:
    text = f'[provider.{name}]\n{lines}\n[[backend]]\nmodel = "{name}:m"\ncontext = 1\n'
    return load_text(text, KEYS).providers[name]


def warnings(text: str) -> str:
    return "\n".join(map(str, load_text(text, KEYS).warnings))


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "azure"])
def test_a_known_provider_needs_no_table(name: str) -> None:
    config = load_text(f'[[backend]]\nmodel = "{name}:m"\n', KEYS)
    known = config.providers[name]
    assert (known.base_url, known.protocol) == (PRESETS[name].base_url, PRESETS[name].protocol)
    assert known.api_key.reveal() == f"key-of-{name}"


@pytest.mark.parametrize("name", CONTRACT.split())
def test_every_provider_of_the_contract_is_known(name: str) -> None:
    assert find_preset(name) is not None


def test_azure_needs_its_resource() -> None:
    with pytest.raises(ConfigErrors, match=r"azure has no base_url"):
        load_text('[[backend]]\nmodel = "azure:gpt-4o"\n', KEYS)


@pytest.mark.parametrize(
    ("lines", "base_url"),
    [
        ('base_url = "https://x.example"', "https://x.example/v1"),
        ('base_url = "https://x.example/v1/"', "https://x.example/v1"),
        ('base_url = "https://x.example/v1/chat/completions"', "https://x.example/v1"),
        ('base_url = "https://x.example/api/paas/v4"', "https://x.example/api/paas/v4"),
        ('base_url = "https://x.example/v1beta/openai/"', "https://x.example/v1beta/openai"),
        ('base_url = "https://x.example/openai"', "https://x.example/openai/v1"),
        ('base_url = "https://x.example/v1/"\nprotocol = "responses"', "https://x.example/v1"),
        ('base_url = "https://x.example/v1"\nprotocol = "anthropic"', "https://x.example"),
        ('base_url = "https://x.example/v1/messages"\nprotocol = "anthropic"', "https://x.example"),
        ('base_url = "https://x.example/api"\nprotocol = "anthropic"', "https://x.example/api"),
        ('base_url = "http://x.example:11434/v1"\nprotocol = "ollama"', "http://x.example:11434"),
        ('base_url = "http://x.example:11434/api"\nprotocol = "ollama"', "http://x.example:11434"),
        ('base_url = "https://r.openai.azure.com/openai/v1"\napi_version = "2024-10-21"', "https://r.openai.azure.com"),
        ('base_url = "https://r.openai.azure.com/"\napi_version = "2024-10-21"', "https://r.openai.azure.com"),
    ],
)
def test_a_base_url_has_one_form_per_protocol(lines: str, base_url: str) -> None:
    assert provider("mine", lines).base_url == base_url


def test_a_known_provider_is_asked_at_its_anthropic_mount() -> None:
    found = provider("deepseek", 'protocol = "anthropic"')
    assert (found.base_url, found.preset) == ("https://api.deepseek.com/anthropic", "deepseek")


@pytest.mark.parametrize(
    ("name", "base_url"), [("ollama", "http://gpu:9"), ("lmstudio", "http://gpu:9/v1"), ("vllm", "http://gpu:9/v1")]
)
def test_a_server_of_ones_own_moves_with_its_variable(name: str, base_url: str) -> None:
    config = load_text(f'[[backend]]\nmodel = "{name}:m"\n', {f"{name.upper()}_BASE_URL": "http://gpu:9"})
    assert config.providers[name].base_url == base_url


def test_ollama_is_spoken_to_natively_or_at_its_v1() -> None:
    native, v1 = provider("ollama", ""), provider("ollama", 'protocol = "openai"')
    assert (native.protocol, native.base_url) == ("ollama", "http://localhost:11434")
    assert (v1.protocol, v1.base_url) == ("openai", "http://localhost:11434/v1")


def test_the_key_of_a_table_wins_over_the_environment() -> None:
    assert provider("openai", 'api_key = "own"').api_key.reveal() == "own"


def test_a_known_name_at_another_address_needs_no_key() -> None:
    text = '[provider.openai]\nbase_url = "http://127.0.0.1:9/v1"\n[[backend]]\nmodel = "openai:gpt-4o"\n'
    assert not load_text(text).providers["openai"].api_key


def test_an_address_of_another_protocol_is_a_warning() -> None:
    text = '[provider.mine]\nbase_url = "https://api.anthropic.com"\n[[backend]]\nmodel = "mine:m"\n'
    assert 'add protocol = "anthropic"' in warnings(text)


def test_the_catalog_fills_what_is_absent_and_says_so() -> None:
    config = load_text('[[backend]]\nmodel = "openai:gpt-4o"\n', KEYS)
    (known,) = config.backends
    assert (known.context, known.max_output, known.vision, known.thinking) == (128000, 16384, True, False)
    assert config.inferred["openai:gpt-4o"]["context"] == "catalog openai/gpt-4o"
    assert "thinking" not in config.inferred["openai:gpt-4o"]


def test_explicit_values_win_over_the_catalog() -> None:
    known = backend('model = "openai:gpt-4o"\ncontext = 1000\nvision = false\nmax_output = 10')
    assert (known.context, known.vision, known.max_output) == (1000, False, 10)


def test_an_inferred_output_never_exceeds_an_explicit_context() -> None:
    assert backend('model = "openai:gpt-4o"\ncontext = 8000').max_output == 8000


def test_a_provider_of_an_own_name_finds_the_catalog_by_its_host() -> None:
    text = '[provider.mine]\nbase_url = "https://api.openai.com/v1"\n[[backend]]\nmodel = "mine:gpt-4o"\n'
    assert load_text(text).backends[0].context == 128000


def test_an_unknown_context_is_a_warning() -> None:
    mine = '[provider.mine]\nbase_url = "http://localhost:1/v1"\n[[backend]]\nmodel = "mine:m"\n'
    assert "of mine:m it is not known, so it counts as unlimited; say it, as in context = 128000" in warnings(mine)


def test_a_context_that_ollama_would_reserve_memory_for_is_not_proposed() -> None:
    told = warnings('[[backend]]\nmodel = "ollama:m"\n')
    assert "of ollama:m it is not known, so it counts as unlimited" in told
    assert "add context = 32768, and Ollama loads the model with so many" in told


def test_limits_of_one_length_stay_apart() -> None:
    known = backend('model = "ollama:m"\nmax_per_hour = 5\nlimits = [{ requests = 9, tokens = 7, window = "60m" }]')
    assert known.limits == (
        Limit(window=3600.0, requests=5),
        Limit(window=3600.0, requests=9),
        Limit(window=3600.0, tokens=7),
    )


@pytest.mark.parametrize(
    ("window", "seconds"), [("90s", 90), ("5m", 300), ("3h", 10800), ("2d", 172800), ("1 h", 3600)]
)
def test_a_window_is_a_number_and_a_unit(window: str, seconds: int) -> None:
    assert (
        backend(f'model = "ollama:m"\nlimits = [{{ requests = 1, window = "{window}" }}]').limits[0].window == seconds
    )


def test_timeouts_of_a_backend_come_over_the_common_ones() -> None:
    text = "[timeouts]\nidle = 7\n[[backend]]\nmodel = 'ollama:m'\ntimeouts = { first_token = 400 }\n"
    found = load_text(text).backends[0].timeouts
    assert (found.idle, found.first_token, found.thinking, found.connect) == (7, 400, 400, 5)


def test_request_timeout_is_the_time_to_the_first_content() -> None:
    config = load_text("request_timeout = 20\n[[backend]]\nmodel = 'ollama:m'\n")
    assert (config.timeouts.first_token, config.timeouts.thinking) == (20, 300)


def test_the_cooldown_key_follows_key_address_and_model() -> None:
    def key(api_key: str, base_url: str, model: str) -> str:
        lines = f'[provider.p]\napi_key = "{api_key}"\nbase_url = "{base_url}"\n[[backend]]\nmodel = "p:{model}"\n'
        return load_text(lines).backends[0].cooldown_key

    same, *others = (
        key("a", "http://a", "a"),
        key("b", "http://a", "a"),
        key("a", "http://b", "a"),
        key("a", "http://a", "b"),
    )
    assert key("a", "http://a/v1", "a") == same
    assert len({same, *others}) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[provider.openai]\nverify = false\n[[backend]]\nmodel = "openai:gpt-4o"', "certificate is not checked"),
        (
            '[provider.p]\napi_key = "k"\nbase_url = "http://far.example"\n[[backend]]\nmodel = "p:m"',
            "the key travels unencrypted",
        ),
        ('[tokens]\na = "short"\n[[backend]]\nmodel = "ollama:m"', "config:2: tokens.a: the key has fewer than 32"),
        ('[provider.groq]\n[[backend]]\nmodel = "ollama:m"', "provider.groq: no backend uses this provider"),
        ('[[backend]]\nmodel = "ollama:m"\nenabled = false', "every backend is disabled"),
        ('[[backend]]\nmodel = "ollama:m"\nbalance = "latency"', "no effect without a group"),
        ('[[backend]]\nmodel = "ollama:m"\ncontext = 5\nmax_output = 6', "larger than the context"),
        ("[timeouts]\ntotal = 5\n[[backend]]\nmodel = 'ollama:m'", "ends a request before first_token"),
        (
            "".join(
                f'[[backend]]\nmodel = "ollama:{name}"\n{group}\n'
                for name, group in (("a", "group = 'g'"), ("b", ""), ("c", "group = 'g'"))
            ),
            "only neighbours are balanced",
        ),
    ],
)
def test_what_deserves_a_look_is_a_warning(text: str, expected: str) -> None:
    assert expected in warnings(text)


def config_for(host: str, tokens: str = "") -> Config:
    return load_text(f'host = "{host}"\n[[backend]]\nmodel = "ollama:m"\n[tokens]\n{tokens}\n')


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_token(host: str) -> None:
    assert unsafe_bind(config_for(host), allow=False) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "llm.example", "::ffff:10.0.0.1"])
def test_other_hosts_need_a_token(host: str) -> None:
    assert "no client key is set" in (unsafe_bind(config_for(host), allow=False) or "")
    assert unsafe_bind(config_for(host), allow=True) is None
    assert unsafe_bind(config_for(host), allow=False, gateway_keys=True) is None


def test_a_guessable_token_is_refused_where_others_can_try() -> None:
    assert "fewer than 16" in (unsafe_bind(config_for("0.0.0.0", 'a = "secret"'), allow=False) or "")
    assert unsafe_bind(config_for("127.0.0.1", 'a = "secret"'), allow=False) is None


def test_one_backend_mode_needs_no_file() -> None:
    config = load_single("anthropic", "claude-opus-4-5", "sk-own", {})
    assert (config.backends[0].name, config.providers["anthropic"].api_key.reveal()) == (
        "anthropic:claude-opus-4-5",
        "sk-own",
    )
    with pytest.raises(
        ConfigErrors, match=r"^--provider, --model: groq has no key; set GROQ_API_KEY, or give --provider-key$"
    ):
        load_single("groq", "m", None, {})
    with pytest.raises(
        ConfigErrors, match=r"^--provider-key: environment variable NO is not set; set it, or give the "
    ):
        load_single("groq", "m", "env:NO", {})


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = tmp_path / "user"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(user))
    monkeypatch.chdir(tmp_path)
    assert find({}) is None
    (user / "llmux").mkdir(parents=True)
    (user / "llmux" / "config.toml").touch()
    assert find({}) == user / "llmux" / "config.toml"
    (tmp_path / "config.toml").touch()
    assert str(find({})) == "config.toml"
    assert str(find({"CONFIG_PATH": "c"})) == "c"
    assert str(find({"CONFIG_PATH": "c", "LLMUX_CONFIG": "l"})) == "l"
    assert str(find({"LLMUX_CONFIG": "l"}, "explicit")) == "explicit"
