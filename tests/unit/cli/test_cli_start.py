"""`llmux start` up to the moment it serves: what is refused, what wins, what is said."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from llmux.__main__ import main
from llmux.cli.banner import banner
from llmux.cli.start import for_program, override
from llmux.clients.programs import find_program
from llmux.config.safety import asks_itself
from llmux.config.schema import Client, Config, Provider, Secret
from llmux.routing.backend import Backend

FILE = """
[provider.mine]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-provider-0123456789"
[[backend]]
model = "mine:small"
context = 1000
[[backend]]
model = "mine:large"
name = "big"
context = 100000
[state]
kind = "memory"
"""

Start = Callable[..., tuple[int, Config | None, str]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Runs `llmux start` with a server that only notes its configuration: exit code, configuration, what was said."""
    for name in ("PORT", "LLMUX_CONFIG", "CONFIG_PATH", "LLMUX_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    served: list[Config] = []

    def serve(config: Config, **_: object) -> int:
        served.append(config)
        return 0

    monkeypatch.setattr("llmux.gateway.serve.serve", serve)

    def run(*arguments: str, text: str = FILE) -> tuple[int, Config | None, str]:
        served.clear()
        Path("config.toml").touch(0o600)
        Path("config.toml").write_text(text)
        code = main(["start", "--port", "0", *arguments])
        said = capsys.readouterr()
        return code, served[0] if served else None, said.out + said.err

    return run


def test_options_win_over_the_file(start: Start) -> None:
    code, config, _ = start("--host", "localhost", "--log-level", "debug", "--workers", "1", text="port = 1\n" + FILE)
    assert (code, config is not None) == (0, True)
    assert config is not None
    assert (config.host, config.log_level) == ("127.0.0.1", "DEBUG")
    assert config.port > 1


def test_the_banner_lists_backends_in_order_and_no_secret(start: Start) -> None:
    _, _, said = start("--api-key", "sk-client-0123456789abcdef")
    assert said.index("mine:small") < said.index("big (mine:large)")
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:" in said
    assert "OPENAI_BASE_URL=http://127.0.0.1:" in said
    assert "key of command-line" in said
    assert "sk-" not in said


def test_a_key_of_the_environment_is_a_client_key(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMUX_API_KEY", "a-client-key-of-this-run")
    _, config, _ = start()
    assert config is not None
    assert config.clients[-1].key.reveal() == "a-client-key-of-this-run"


def test_one_backend_needs_no_file(start: Start) -> None:
    code, config, _ = start("--provider", "openai", "--model", "gpt-4o", "--provider-key", "sk-given-0123456789")
    assert code == 0
    assert config is not None
    assert [backend.model for backend in config.backends] == ["gpt-4o"]
    assert (config.path, config.providers["openai"].api_key.reveal()) == (None, "sk-given-0123456789")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "m"], "--provider"),
        (["--provider-key", "x"], "--provider"),
        (["--provider", "openai", "--model", "m", "--config", "config.toml"], "without a file"),
        (["--ssl-key", "config.toml"], "--ssl-cert"),
        (["--ssl-key", "config.toml", "--ssl-cert", "config.toml"], "ssl_cert_file"),
        (["--protocols", "openai,gopher"], "gopher"),
        (["--protocols", ""], "no protocol is named"),
        (["--protocols", " , "], "no protocol is named"),
        (["--host", "0.0.0.0"], "--allow-unauthenticated"),
        (["--host", "no.such.host.invalid", "--allow-unauthenticated"], "no address"),
        (["--host", "192.0.2.1", "--allow-unauthenticated"], "no address of this machine"),
        (["--workers", "2"], "memory"),
        (["--api-key", "two words"], "--api-key"),
        (["--config", "absent.toml"], "absent.toml"),
    ],
)
def test_what_cannot_work_is_refused_before_serving(start: Start, arguments: list[str], words: str) -> None:
    code, config, said = start(*arguments)
    assert (code, config) == (2, None)
    assert words in said


def test_every_error_of_the_file_is_said_at_once(start: Start) -> None:
    code, _, said = start(text=FILE.replace("context = 1000\n", 'contxt = 5\nvision = "yes"\n'))
    assert code == 2
    assert "contxt" in said
    assert "vision" in said


def test_a_port_in_use_is_refused_with_a_hint(start: Start) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as another llmux would hold it
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, config, said = start("--port", str(port))
    assert (code, config) == (2, None)
    assert f"127.0.0.1:{port} is in use" in said
    assert f"--port {port + 1}" in said


def test_a_privileged_port_is_refused_with_a_hint(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(_self: socket.socket, _where: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("llmux.gateway.serve.socket.socket.bind", bind)
    code, _, said = start("--port", "443")
    assert code == 2
    assert "below 1024" in said


def test_https_without_files_makes_a_certificate_beside_the_file(start: Start, tmp_path: Path) -> None:
    code, config, said = start("--https")
    assert code == 0
    assert config is not None
    assert Path(config.ssl_cert_file).parent == tmp_path / "certs"
    assert "made a development certificate" in said
    assert f"export NODE_EXTRA_CA_CERTS={tmp_path / 'certs' / 'ca.pem'} SSL_CERT_FILE=" in said
    assert "ANTHROPIC_BASE_URL=https://" in said
    assert "made a development certificate" not in start("--https")[2]


def test_serving_the_whole_network_without_a_key_is_possible_and_said(start: Start) -> None:
    code, _, said = start("--host", "0.0.0.0", "--allow-unauthenticated")
    assert code == 0
    assert "may spend your money" in said
    assert "http://127.0.0.1:" in said
    assert "and every other address of this machine" in said


def test_a_banner_names_clients_endpoints_and_client_certificates() -> None:
    config = Config(
        host="::1",
        https_enabled=True,
        ssl_ca_file="ca.pem",
        workers=3,
        backends=(Backend(name="gpt-4o", provider="openai", model="gpt-4o"),),
        clients=(Client("anna", Secret("x" * 40)),),
    )
    said = banner(config)
    for words in ("https://[::1]:8082", "(3 workers)", "key of anna", "client certificates are required"):
        assert words in said


def test_a_banner_shows_no_line_that_cannot_send_the_key_that_is_asked_for() -> None:
    backends = (Backend(name="gpt-4o", provider="openai", model="gpt-4o"),)
    assert "OLLAMA_HOST" in banner(Config(backends=backends))
    keyed = banner(Config(backends=backends, clients=(Client("anna", Secret("x" * 40)),)))
    assert "OLLAMA_HOST" not in keyed
    assert "OPENAI_BASE_URL" in keyed


@pytest.mark.skipif(os.name != "posix", reason="POSIX")
def test_a_protected_key_is_refused_and_not_asked_for(start: Start, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    main(["certs", "--dir", "made"])
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(text)
    code, _, said = start("--ssl-key", "locked.key", "--ssl-cert", "made/server.pem")
    assert code == 2
    assert "password" in said


def place(tmp_path: Path, kind: str) -> Path:
    """A place for the state that is not good."""
    path = tmp_path / kind / "state.sqlite"
    if kind == "below a file":
        path.parent.touch()
        return path
    path.parent.mkdir()
    if kind == "a directory":
        path.mkdir()
    elif kind == "open to all":
        path.parent.chmod(0o777)
    else:
        path.touch()
        path.chmod(0o644)
    return path


REFUSED = {
    "a directory": "is not a regular file",
    "open to all": "everybody may write to the directory",
    "readable by others": "others can read or write the state file",
}


def kept(path: Path, on_failure: str) -> str:
    return FILE.replace('kind = "memory"', f'on_failure = "{on_failure}"\npath = "{path}"')


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("on_failure", ["local", "closed"])
@pytest.mark.parametrize("kind", REFUSED)
def test_an_unsafe_state_is_refused_before_serving(start: Start, tmp_path: Path, kind: str, on_failure: str) -> None:
    path = place(tmp_path, kind)
    code, config, said = start(text=kept(path, on_failure))
    assert (code, config) == (2, None)
    assert re.fullmatch(rf"config\.toml:14: state\.path: .*{REFUSED[kind]}.*\n", said)


def test_a_state_that_cannot_be_made_is_refused_where_limits_must_hold(start: Start, tmp_path: Path) -> None:
    code, config, said = start(text=kept(place(tmp_path, "below a file"), "closed"))
    assert (code, config) == (2, None)
    assert re.fullmatch(r"config\.toml:14: state\.path: .* is no directory; set a path .*\n", said)


def test_a_state_that_cannot_be_made_is_a_warning_where_workers_may_count_alone(start: Start, tmp_path: Path) -> None:
    code, config, said = start(text=kept(place(tmp_path, "below a file"), "local"))
    assert code == 0
    assert config is not None
    assert "config.toml:14: state.path: " in said
    assert "counts limits by itself" in said
    assert not (tmp_path / "llmux.sqlite").exists()


def test_looking_at_the_state_makes_nothing(start: Start, tmp_path: Path) -> None:
    assert start(text=kept(tmp_path / "new" / "state.sqlite", "closed"))[0] == 0
    assert not (tmp_path / "new").exists()


def test_a_log_that_is_read_by_a_program_holds_nothing_but_lines_of_json(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("config.toml").write_text("ssl_key_file = 'a.key'\nssl_cert_file = 'a.pem'\n" + FILE)
    Path("config.toml").chmod(0o644)
    assert main(["start", "--port", "0"]) == 0
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.err.splitlines()]
    assert {(line["event"], line["level"]) for line in lines} == {("warning", "warning")}
    assert any("ssl_cert_file" in line["detail"] for line in lines)
    assert said.out.startswith("llmux ")


def test_the_log_is_in_words_where_the_command_line_says_so(start: Start) -> None:
    _, config, _ = start("--log-format", "text", text=FILE + "[log]\nrequest_details = true\n")
    assert config is not None
    assert (config.log.format, config.log.request_details) == ("text", True)


def test_a_log_in_words_leaves_warnings_to_the_banners_side(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    text = "ssl_key_file = 'a.key'\nssl_cert_file = 'a.pem'\n" + FILE + '[log]\nformat = "text"\n'
    Path("config.toml").write_text(text)
    assert main(["start", "--port", "0"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "note: no effect: ssl_cert_file" in said.out


def test_a_closed_output_is_no_reason_not_to_serve(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("config.toml").write_text(FILE)
    monkeypatch.setattr("sys.stdout", None)
    assert main(["start", "--port", "0"]) == 0


def test_an_application_mode_wins_over_the_file_and_options_win_over_it(start: Start) -> None:
    text = 'host = "0.0.0.0"\nport = 1\n' + FILE
    _, config, said = start("--app", "claude", text=text)
    assert config is not None
    assert (config.host, config.protocols, config.program) == ("127.0.0.1", ("anthropic",), "claude-code")
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:" in said
    assert "OPENAI_BASE_URL" not in said
    _, config, _ = start("--app", "claude", "--protocols", "openai", "--host", "127.0.0.2", text=text)
    assert config is not None
    assert (config.host, config.protocols) == ("127.0.0.2", ("openai",))


@pytest.mark.parametrize(("environ", "port"), [({}, 8088), ({"PORT": "9"}, 9)])
def test_an_application_mode_has_a_port_of_its_own_and_the_environment_wins(environ: dict[str, str], port: int) -> None:
    config = for_program(find_program("codex-cli"), environ).over(Config(host="0.0.0.0", port=9))
    assert (config.host, config.port) == ("127.0.0.1", port)


@pytest.mark.parametrize("url", ["http://localhost:11434/v1", "http://[::1]:11434", "http://127.0.0.1:11434"])
def test_a_backend_that_is_llmux_itself_is_refused(url: str) -> None:
    config = Config(
        host="0.0.0.0",
        port=11434,
        providers={"ollama": Provider(name="ollama", base_url=url)},
        backends=(Backend(name="b", provider="ollama", model="m", protocol="ollama"),),
    )
    assert "every request would come back" in (asks_itself(config) or "")
    assert asks_itself(override(config, port=11435)) is None
