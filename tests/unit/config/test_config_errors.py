"""Every error comes at once, with its line, and says what would be right."""

from pathlib import Path

import pytest

from llmux.config.load import ConfigErrors, load, load_text
from llmux.errors import Kind

BACKEND = '[[backend]]\nmodel = "ollama:m"\ncontext = 1\n'


def errors(text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_text(text, environ)
    assert caught.value.kind is Kind.config
    return caught.value.detail.split("\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[[backend]]\nmodel = "ollama:x"\nmodel_match = 5',
            'config:3: backend.model_match: 5 is not a string or a list; for example model_match = ["*opus*"]',
        ),
        ('port = "x"', 'config:1: port: "x" is not a whole number from 1 to 65535; for example port = 8082'),
        ("port = 0", "config:1: port: 0 is not"),
        ("port = true", "config:1: port: true is not a whole number"),
        ("port = 1.5", "config:1: port: 1.5 is not a whole number"),
        ("request_timeout = nan", "config:1: request_timeout: nan is not a number above 0"),
        ("request_timeout = inf", "config:1: request_timeout: inf is not a number above 0"),
        ("request_timeout = -1", "config:1: request_timeout: -1 is not a number above 0"),
        ("max_retries = -1", "config:1: max_retries: -1 is not a whole number from 0 to 100"),
        ("workers = 0", "config:1: workers: 0 is not a whole number from 1 to 256"),
        ('log_level = "LOUD"', 'config:1: log_level: "LOUD" is not one of DEBUG, INFO'),
        ("https_enabled = 1", "config:1: https_enabled: 1 is not true or false"),
        ('host = "not a host"', "config:1: host: it is neither an IP address nor a host name"),
        ('host = "1.2.3"', "config:1: host: it is neither"),
        ('cors_origins = ["https://a/path"]', 'config:1: cors_origins: "https://a/path": an origin has no path'),
        ('cors_origins = "https://a"', 'config:1: cors_origins: "https://a" is not a list'),
        ('trusted_proxies = ["nginx"]', 'config:1: trusted_proxies: "nginx": it is neither an IP address'),
        ('selector = "fastest"', 'config:1: selector: there is no selector "fastest"; one of'),
        ("max_retires = 1", "config:1: max_retires: unknown key; did you mean max_retries?"),
        ("max-retries = 1", "config:1: max-retries: unknown key; did you mean max_retries?"),
        ("max_per_day = 1", "config:1: max_per_day: unknown key; it belongs into [[backend]]"),
        ("max_tokens_limit = 1", "config:1: max_tokens_limit: unknown key; it has become max_output"),
        ('[providers.openai]\napi_key = "k"', "config:1: providers: unknown key; did you mean provider?"),
        ("[log]\nport = 1", "config:2: log.port: unknown key; it belongs to the top"),
        ('[log]\nprovider = "ollama"', "config:2: log.provider: unknown key; it belongs to the top"),
        ("[tokens]\nport = 1", "config:2: tokens.port: a number where a secret should be; it belongs to the top"),
        ('[tokens]\na = ""', "config:2: tokens.a: the secret is empty"),
        ('[tokens]\na = "with blank"', "config:2: tokens.a: the secret holds a blank"),
        ('[tokens]\na = "line\\nbreak"', "config:2: tokens.a: the secret holds a blank, a control character"),
        ('[tokens]\na = "same"\nb = "same"', "config:3: tokens.b: a has the same key"),
        ('[provider.openai]\nprotocol = "opneai"', 'config:2: provider.openai.protocol: "opneai" is no protocol'),
        ('[provider.openia]\napi_key = "k"', "config:1: provider.openia: openia has no base_url; did you mean openai?"),
        ('[provider.x]\nbase_url = "x.example/v1"', "config:2: provider.x.base_url: it does not begin with http://"),
        ('[provider.x]\nbase_url = "https://u:p@x/v1"', "config:2: provider.x.base_url: it holds a name or password"),
        ('[provider.x]\nbase_url = "https://x/v1?a=b"', "config:2: provider.x.base_url: an address with ?"),
        ('[provider.x]\nbase_url = "https://x:99999/v1"', "config:2: provider.x.base_url: it is no address"),
        ('[provider.openai]\nproxy = "socks4://p"', "config:2: provider.openai.proxy: it does not begin with"),
        ('[provider.openai]\nheaders = { "a b" = "1" }', "config:2: provider.openai.headers: 'a b' is no header name"),
        ('[provider.openai]\nheaders = { Host = "x" }', "config:2: provider.openai.headers: Host is set by llmux"),
        ('[provider.openai]\napi_version = "1/2"', "config:2: provider.openai.api_version: it is no API version"),
        ('[provider]\nopenai = "sk-secret"', "config:2: provider.openai: a string where a table should be"),
        ('[[account]]\nprovider = "openai"\nname = "b"', "config:1: account: an account has either api_key or oauth"),
        ('[[account]]\nprovider = "nope"\nname = "b"\napi_key = "k"', 'config:2: account.provider: provider "nope"'),
        (
            '[[account]]\nprovider="openai"\nname = "b"\noauth = { grant = "pkce", client_id = "c", token_url = "" }',
            "config:4: account.oauth: the grant pkce needs authorize_url; add it",
        ),
        ('[endpoints.V1]\ntarget_base = "http://x"', "config:1: endpoints.V1: /V1 is a route of llmux"),
        ('[endpoints.health]\ntarget_base = "http://x"', "config:1: endpoints.health: /health is a route of llmux"),
        ('[endpoints."a/b"]\ntarget_base = "http://x"', "config:1: endpoints.a/b: the name is the first segment"),
        ("[endpoints.a]", "config:1: endpoints.a: it has no target_base; add one here or under [server]"),
        ('[endpoints.a]\ntarget_base = "x"', "config:2: endpoints.a.target_base: it does not begin with http://"),
        ('[state]\nkind = "redis"', 'config:2: state.kind: "redis" is not one of sqlite, memory'),
        ('workers = 2\n[state]\nkind = "memory"', "config:3: state.kind: memory is not shared by 2 workers"),
        ('https_enabled = true\nssl_key_file = "k.pem"', "config:2: ssl_key_file: ssl_cert_file is missing"),
        ("port = 1\n[server]\nport = 2", "config:3: server.port: port at the top says 1; keep one of them"),
        (
            "request_timeout = 60\n[timeouts]\nfirst_token = 90",
            "config:3: timeouts.first_token: request_timeout says 60; they are one, keep one of them",
        ),
        ("[timeouts]\nconnect = 0", "config:2: timeouts.connect: 0 is not a number above 0"),
        ('[network]\nhttp_proxy = "proxy:3128"', "config:2: network.http_proxy: it does not begin with"),
    ],
)
def test_a_wrong_setting_is_named(text: str, expected: str) -> None:
    prefix = text if text.lstrip().startswith("[") else f"{text}\n"
    found = errors(f"{prefix}\n{BACKEND}")
    assert [line for line in found if line.startswith(expected)], found


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('model = "gpt-4o"', 'config:2: backend.model: "gpt-4o" is not provider:model'),
        ('model = "openai:"', 'config:2: backend.model: "openai:" is not provider:model'),
        ('model = "ollama:a b"', "config:2: backend.model: it holds a blank"),
        ("context = 1", 'config:1: backend.model: it is missing; add "provider:model"'),
        ('model = "ollama:m"\ncontext = -1', "config:3: backend.context: -1 is not a whole number of at least 1"),
        ('model = "ollama:m"\nname = "a\\u000ab"', "config:3: backend.name: a backend's name travels in a header"),
        ('model = "ollama:é"', "config:2: backend.model: a backend's name travels in a header"),
        ('model = "ollama:m"\nmax_per_day = 0', "config:3: backend.max_per_day: 0 is not a whole number"),
        ('model = "ollama:m"\nmax_per_5h = 1\nmax_per_5hours = 1', "config:3: backend.max_per_5h: the same limit"),
        ('model = "ollama:m"\nlimits = [{ requests = 1, window = "3w" }]', 'config:3: backend.limits.window: "3w" is'),
        ('model = "ollama:m"\nlimits = [{ requests = 1, window = "0s" }]', 'config:3: backend.limits.window: "0s" is'),
        ('model = "ollama:m"\nlimits = [\n{ window = "3h" },\n]', "config:4: backend.limits: a limit says how many"),
        ('model = "ollama:m"\nlimits = [{ requests = 0, window = "1h" }]', "config:3: backend.limits.requests: 0 is"),
        ('model = "ollama:m"\nmodel_match = [""]', "config:3: backend.model_match: an empty pattern"),
        ('model = "ollama:m"\nbalance = "random"', 'config:3: backend.balance: "random" is not one of health'),
        ('model = "ollama:m"\nkey_delete = "messages"', "config:3: backend.key_delete: 'messages'"),
        ('model = "ollama:m"\nkey_delete = 1', "config:3: backend.key_delete: 1 is not a string or a list"),
        ('model = "ollama:m"\nkey_add = { stream = false }', "config:3: backend.key_add: 'stream'"),
        ('model = "ollama:m"\nkey_add = { a = nan }', "config:3: backend.key_add: the value of 'a'"),
        ('model = "ollama:m"\nkey_rename = { a = "b", c = "b" }', "config:3: backend.key_rename: 'a' and 'c' are both"),
        ('model = "ollama:m"\nkey_rename = { a = 1 }', "config:3: backend.key_rename.a: 1 is not a string"),
        ('model = "ollama:m"\n[backend.timeouts]\ndrain = 1', "config:4: backend.timeouts.drain: unknown key"),
        (
            'model = "ollama:m"\napi_key = "k"',
            "config:3: backend.api_key: unknown key; it belongs into [provider.NAME]",
        ),
        (
            'model = "m"\nprovider = "ollama"',
            'config:3: backend.provider: unknown key; it is the first half of the model: model = "PROVIDER:MODEL"',
        ),
        ('model = "olama:m"', 'config:2: backend.model: provider "olama" is not known and has no table; did you mean'),
    ],
)
def test_a_wrong_backend_is_named(lines: str, expected: str) -> None:
    found = errors(f"[[backend]]\n{lines}\n")
    assert [line for line in found if line.startswith(expected)], found


def test_all_errors_come_at_once_in_the_order_of_the_file() -> None:
    text = 'port = 0\n[timeouts]\nidle = "x"\n[[backend]]\nmodel = "m"\n[[backend]]\nmodel = "ollama:a"\ncontext = 0\n'
    lines = [int(line.split(":")[1]) for line in errors(text)]
    assert lines == [1, 3, 5, 8]


def test_two_backends_of_one_model_need_names() -> None:
    (found,) = errors('[[backend]]\nmodel = "ollama:m"\n[[backend]]\nmodel = "ollama:m"\n')
    assert found == 'config:4: backend.model: there is a backend "ollama:m" already; give this one a name of its own'


def test_two_backends_of_one_model_with_names_are_right() -> None:
    text = '[[backend]]\nmodel = "ollama:m"\nname = "a"\n[[backend]]\nmodel = "ollama:m"\nname = "b"\n'
    assert [backend.name for backend in load_text(text).backends] == ["a", "b"]


def test_neither_backend_nor_endpoint_is_an_error() -> None:
    assert errors("port = 1") == [
        'config: there is no backend and no endpoint; add [[backend]] with model = "openai:gpt-4o"'
    ]


def test_a_table_written_for_a_list_of_tables_is_explained() -> None:
    (found,) = errors('[backend]\nmodel = "ollama:m"\n')
    assert found == "config:1: backend: a table where a list should be; write each element as [[backend]]"


@pytest.mark.parametrize("text", ["port = ", "a = 1\na = 2", "[x", 'a = "', "x = " + "[" * 100_000])
def test_broken_toml_names_its_line(text: str) -> None:
    (found,) = errors(text)
    assert found.startswith("config")
    assert "TOML" in found


def test_an_unreadable_file_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"a = '\xff'")
    for file, reason in (
        (tmp_path / "none.toml", "No such file"),
        (tmp_path, "director"),
        (tmp_path / "binary.toml", "UTF-8"),
    ):
        with pytest.raises(ConfigErrors, match=reason):
            load(file, {})


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xef\xbb\xbf" + BACKEND.encode())
    assert load(file, {}).backends[0].model == "m"


def test_a_wrong_port_in_the_environment_is_an_error() -> None:
    assert errors(BACKEND, PORT="http")[0].startswith('config: the environment variable PORT is "http"')


def test_no_secret_shows_in_an_error() -> None:
    text = '[provider.x]\napi_key = "sk-canary-1"\nbase_url = "ftp://sk-canary-2"\nproxy = "x://sk-canary-3@p"\n'
    text += 'headers = { a = "sk-canary-4\\n" }\n[tokens]\na = "sk-canary-5 "\nb = ["sk-canary-6"]\n'
    text += '[provider]\ny = "sk-canary-7"'
    assert "canary" not in "\n".join(errors(f"{text}\n"))
