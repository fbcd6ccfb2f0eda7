"""`llmux oauth`: log in against a real OAuth server, see how it stands, renew it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from llmux.__main__ import main
from tests.oauth_server import OAuthServer, oauth_server

FILE = '[[backend]]\nmodel = "acme:m"\ncontext = 1000\n[provider.acme]\nbase_url = "http://127.0.0.1:9/v1"\n'


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server() as found:
        yield found


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LLMUX_CONFIG", "CONFIG_PATH", "LLMUX_MASTER_KEY", "LLMUX_UPSTREAM_KEY"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "config.toml"
    file.write_text(FILE + '[state]\npath = "state/llmux.sqlite"\n')
    return file


def run(capsys: pytest.CaptureFixture[str], config: Path, *words: str) -> tuple[int, str]:
    code = main([*words, "-c", str(config)])
    said = capsys.readouterr()
    return code, said.out + said.err


def add(capsys: pytest.CaptureFixture[str], config: Path, server: OAuthServer, grant: str, *more: str) -> None:
    urls = ["--token-url", f"{server.url}/token", "--authorize-url", f"{server.url}/authorize"]
    urls += ["--device-url", f"{server.url}/device_authorization"]
    words = ["upstream", "add", "--type", "oauth", "--provider", "acme", "--name", "sso", "--grant", grant]
    code, said = run(capsys, config, *words, *urls, *more)
    assert (code, "llmux oauth start acme:sso" in said) == (0, True), said


def browse(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A browser in which somebody allows everything; the addresses it was sent to."""
    seen: list[str] = []

    def visit(address: str) -> bool:
        seen.append(address)
        threading.Thread(target=lambda: urlopen(address).read()).start()
        return True

    monkeypatch.setattr("webbrowser.open", visit)
    return seen


def test_a_login_by_browser_stands_is_renewed_and_ends(
    config: Path, server: OAuthServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(capsys, config, server, "pkce", "--client-id", "public", "--scope", "models")
    code, said = run(capsys, config, "oauth", "status")
    assert (code, "it has not logged in" in said) == (1, True)
    seen = browse(monkeypatch)
    code, said = run(capsys, config, "oauth", "start", "sso")
    assert code == 0, said
    assert "code_challenge_method=S256" in seen[0]
    assert "acme:sso: logged in; its token is good for another 60 min and is renewed by itself" in said
    first = server.access
    assert run(capsys, config, "oauth", "refresh", "sso")[0] == 0
    assert server.access.isdisjoint(first)
    code, said = run(capsys, config, "oauth", "status", "sso", "--json")
    told = json.loads(said)
    assert (code, told["needs_login"], told["renewable"], told["scopes"]) == (0, False, True, ["models"])
    assert not any(token in said for token in server.access)
    server.revoke()
    code, said = run(capsys, config, "oauth", "refresh", "sso")
    assert (code, "llmux oauth start acme:sso" in said) == (1, True)
    assert run(capsys, config, "oauth", "status")[0] == 1


def test_a_login_by_device_prints_the_code(
    config: Path, server: OAuthServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def allow(seconds: float) -> None:
        server.allowed.update({device["user_code"]: True for device in server._devices.values()})

    monkeypatch.setattr("llmux.access.oauth.INTERVAL", 0.01)
    monkeypatch.setattr("llmux.access.oauth.await_device.__kwdefaults__", {"sleep": allow})
    add(capsys, config, server, "device", "--client-id", "public")
    code, said = run(capsys, config, "oauth", "start", "sso")
    assert code == 0, said
    (device,) = server._devices.values()
    assert device["user_code"] in said
    assert f"{server.url}/device" in said


def test_nobody_allows_it_in_time(config: Path, server: OAuthServer, capsys: pytest.CaptureFixture[str]) -> None:
    add(capsys, config, server, "pkce", "--client-id", "public")
    code, said = run(capsys, config, "oauth", "start", "sso", "--no-browser", "--timeout", "0.1")
    assert (code, "nobody has allowed it" in said) == (1, True)


def test_a_client_by_itself_is_tried(
    config: Path, server: OAuthServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "s3cret&more=%2B")
    add(capsys, config, server, "client_credentials", "--client-id", "secret", "--client-secret", "env:CLIENT_SECRET")
    assert run(capsys, config, "oauth", "status")[0] == 0
    code, said = run(capsys, config, "oauth", "start", "sso")
    assert (code, server.answers["client_credentials"]) == (0, 1), said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["upstream", "add", "--type", "oauth"], "needs --grant, --client-id, --token-url"),
        (
            ["upstream", "add", "--type", "oauth", "--grant", "device", "--client-id", "c", "--token-url", "x"],
            "--device-url",
        ),
        (["upstream", "add", "--type", "oauth", "--key", "k"], "--key: not with"),
        (["upstream", "add", "--key", "k", "--grant", "pkce"], "--grant: only with"),
    ],
)
def test_an_oauth_client_that_is_not_whole_is_refused(
    words: list[str], said: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, heard = run(capsys, config, *words, "--provider", "acme", "--name", "sso")
    assert (code, said in heard) == (2, True), heard
    assert not (config.parent / "state").exists()


def test_an_account_with_a_key_has_no_login(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, config, "upstream", "add", "--provider", "acme", "--name", "b", "--key", "sk-canary-canary-01")
    for verb in ("start", "refresh", "status"):
        code, said = run(capsys, config, "oauth", verb, "b")
        assert (code, "no OAuth client" in said) == (2, True)
