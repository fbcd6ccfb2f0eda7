"""Values from outside the file: variables, secrets, `.env`."""

from pathlib import Path

import pytest

from llmux.config.load import ConfigErrors, load, load_text
from llmux.config.schema import Config

BACKEND = '[[backend]]\nmodel = "ollama:m"\ncontext = 1\n'


def token(text: str, **environ: str) -> str:
    return load_text(f'{BACKEND}[tokens]\nclient = "{text}"\n', environ).clients[0].key.reveal()


@pytest.mark.parametrize(
    ("text", "environ", "value"),
    [
        ("plain", {}, "plain"),
        ("${A}", {"A": "x"}, "x"),
        ("a${A}b${A}", {"A": "x"}, "axbx"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-d}", {"A": "x"}, "x"),
        ("${A:-http://h:1}", {}, "http://h:1"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("$A", {"A": "x"}, "$A"),
        ("env:A", {"A": "x"}, "x"),
        ("env:${B}", {"A": "x", "B": "A"}, "x"),
    ],
)
def test_a_value_comes_from_the_environment(text: str, environ: dict[str, str], value: str) -> None:
    assert token(text, **environ) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${A}", "environment variable A is not set"),
        ("env:A", "environment variable A is not set"),
        ("${}", "is no reference"),
        ("${A B}", "is no reference"),
        ("${A", "is no reference"),
        ("file:none.key", "cannot be read"),
    ],
)
def test_a_value_that_is_missing_is_an_error_at_its_line(text: str, reason: str) -> None:
    with pytest.raises(ConfigErrors, match=rf"config:5: tokens\.client: .*{reason}"):
        token(text)


def test_a_missing_variable_is_reported_once() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_text(f'port = "${{NOPE}}"\n{BACKEND}')
    assert len(caught.value.faults) == 1


def test_a_string_of_variables_may_be_a_number_or_a_switch() -> None:
    config = load_text(f'port = "${{P}}"\nhttps_enabled = "${{S}}"\n{BACKEND}', {"P": "99", "S": "true"})
    assert (config.port, config.https_enabled) == (99, True)


def test_the_value_of_a_variable_is_not_shown_when_it_is_wrong() -> None:
    with pytest.raises(ConfigErrors, match="the value of the variable is not a whole number"):
        load_text(f'port = "${{P}}"\n{BACKEND}', {"P": "canary"})


def test_a_secret_file_is_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "client.key").write_text("from-a-file\n")
    config = written(tmp_path, f'{BACKEND}[tokens]\na = "file:client.key"\n')
    assert config.clients[0].key.reveal() == "from-a-file"
    assert tmp_path / "client.key" in config.files


def test_a_secret_file_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "client.key").write_text("x" * 40)
    (tmp_path / "client.key").chmod(0o644)
    config = written(tmp_path, f'{BACKEND}[tokens]\na = "file:client.key"\n')
    assert any("client.key can be read by other accounts" in str(warning) for warning in config.warnings)


def test_a_line_of_the_env_file_that_is_none_is_named_and_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_text("A=one\n'sk-secret\nB=two\n")
    (tmp_path / ".env").chmod(0o600)
    config = written(tmp_path, BACKEND + '[tokens]\na = "env:A"\nb = "env:B"\n')
    assert [client.key.reveal() for client in config.clients] == ["one", "two"]
    found = [str(warning) for warning in config.warnings if ".env" in str(warning)]
    assert len(found) == 1
    assert ".env:2: it is not NAME=value" in found[0]
    assert "sk-secret" not in found[0]
    assert caplog.text == ""


def test_dotenv_is_read_below_the_environment_and_leaves_it_alone(tmp_path: Path) -> None:
    environ = {"A": "outer"}
    (tmp_path / ".env").write_text("A=inner\nB='quoted ${A}'\nexport C=third\nnonsense\n")
    config = written(tmp_path, f'{BACKEND}[tokens]\na = "${{A}}"\nc = "env:C"\n', environ)
    assert [client.key.reveal() for client in config.clients] == ["outer", "third"]
    assert environ == {"A": "outer"}


def test_the_port_of_the_environment_wins() -> None:
    assert load_text(f"port = 1\n{BACKEND}", {"PORT": "8811"}).port == 8811


def test_a_missing_key_of_a_disabled_backend_is_a_warning() -> None:
    text = f'{BACKEND}[provider.openai]\napi_key = "env:NOPE"\n[[backend]]\nmodel = "openai:gpt-4o"\nenabled = false\n'
    config = load_text(text)
    assert any("NOPE is not set" in str(warning) for warning in config.warnings)
    assert not config.providers["openai"].api_key


def test_a_missing_key_of_a_backend_in_use_is_an_error() -> None:
    text = '[provider.openai]\napi_key = "env:NOPE"\n[[backend]]\nmodel = "openai:gpt-4o"\n'
    with pytest.raises(ConfigErrors, match=r"config:2: provider\.openai\.api_key: environment variable NOPE"):
        load_text(text)


def test_a_known_provider_without_any_key_names_the_variable() -> None:
    with pytest.raises(ConfigErrors, match=r"config:2: backend\.model: groq has no key; set GROQ_API_KEY"):
        load_text('[[backend]]\nmodel = "groq:x"\n')


def test_an_account_stands_in_for_the_key_of_its_provider() -> None:
    text = '[[backend]]\nmodel = "groq:x"\n[[account]]\nprovider = "groq"\nname = "a"\napi_key = "k"\n'
    config = load_text(text)
    assert (config.accounts[0].name, config.accounts[0].api_key.reveal()) == ("a", "k")


def test_secrets_do_not_print() -> None:
    text = '[provider.groq]\napi_key = "sk-canary-canary-1"\nheaders = { x = "sk-canary-canary-2" }\n'
    text += '[[backend]]\nmodel = "groq:x"\n[tokens]\na = "sk-canary-canary-3"\n[admin]\ntoken = "sk-canary-canary-4"\n'
    config = load_text(text)
    assert config.providers["groq"].headers == {"x": "sk-canary-canary-2"}
    assert "canary" not in repr(config)


def written(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    file = folder / "config.toml"
    file.write_text(text)
    return load(file, environ or {})
