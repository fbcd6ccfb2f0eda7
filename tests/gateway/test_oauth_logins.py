"""OAuth accounts against Authlib's server: every grant, one renewal for all who need it, and logins that end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from msgspec.structs import replace

from llmux.access import oauth
from llmux.access.logins import Logins, NeedsLogin, usable
from llmux.access.oauth import Post, Refused, Tokens
from llmux.access.stored_tokens import read_tokens
from llmux.access.vault import Vault
from llmux.config.schema import Account, OAuth, Secret
from llmux.errors import LlmuxError
from llmux.gateway.http_upstream import HttpUpstream
from llmux.gateway.redirect import awaiting
from llmux.gateway.token_post import post_through
from tests.oauth_server import DEVICE, OAuthServer, oauth_server

SECRET = "s3cret&more=%2B"


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with oauth_server() as found:
        yield found


@pytest.fixture
async def post() -> Any:
    upstream = HttpUpstream()
    yield post_through(upstream, "")
    await upstream.aclose()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "state" / "x.access.sqlite", "a" * 64)


def client(server: OAuthServer, grant: Any = "pkce", name: str = "public") -> OAuth:
    return OAuth(
        grant=grant,
        client_id=name,
        client_secret=Secret("" if name == "public" else SECRET),
        token_url=f"{server.url}/token",
        authorize_url=f"{server.url}/authorize",
        device_url=f"{server.url}/device_authorization",
        scopes=("models", "write"),
    )


def account(own: OAuth) -> Account:
    return Account(provider="acme", name="sso", oauth=own)


async def logged_in(server: OAuthServer, post: Post, own: OAuth, *, deny: bool = False) -> Tokens:
    """What `llmux oauth start` does, with a browser that allows everything."""
    verifier, state = oauth.new_verifier(), oauth.new_verifier()
    async with awaiting(0, state) as redirect:
        address = oauth.authorize_address(own, redirect=redirect.address, state=state, verifier=verifier)
        assert urlsplit(address).netloc == urlsplit(server.url).netloc
        page = await asyncio.to_thread(lambda: urlopen(address + ("&deny=1" if deny else "")).read())
        assert b"llmux" in page or deny
        code = await redirect.code(5.0)
        return await oauth.redeem(post, own, code, redirect=redirect.address, verifier=verifier, now=time.time())


@pytest.mark.parametrize("name", ["public", "secret", "posted"])
async def test_a_browser_logs_in_and_the_tokens_are_renewed_with_rotation(
    server: OAuthServer, post: Post, vault: Vault, name: str
) -> None:
    own = client(server, name=name)
    logins = Logins(vault)
    first = await logged_in(server, post, own)
    await logins.keep(account(own), first)
    assert await logins.token(account(own), post) == first.access
    second = await logins.renew(account(own), post)
    third = await logins.renew(account(own), post)
    assert len({first.refresh, second.refresh, third.refresh}) == 3
    assert third.access in server.access
    assert usable(vault) == {"acme:sso": oauth.fingerprint(own)}


async def test_a_denied_login_says_so(server: OAuthServer, post: Post) -> None:
    with pytest.raises(LlmuxError, match="not allowed"):
        await logged_in(server, post, client(server), deny=True)


async def test_a_code_without_its_verifier_is_worth_nothing(server: OAuthServer, post: Post) -> None:
    own, verifier = client(server), oauth.new_verifier()
    async with awaiting(0, "state") as redirect:
        address = oauth.authorize_address(own, redirect=redirect.address, state="state", verifier=verifier)
        await asyncio.to_thread(lambda: urlopen(address).read())
        code = await redirect.code(5.0)
        with pytest.raises(Refused, match="invalid_grant"):
            await oauth.redeem(post, own, code, redirect=redirect.address, verifier="x" * 43, now=0.0)


async def test_a_redirect_with_another_state_changes_nothing() -> None:
    async with awaiting(0, "mine") as redirect:
        for query in ("code=x&state=theirs", "code=x", "error=access_denied", ""):
            assert "Nothing was changed" in redirect.take(f"{redirect.address}?{query}")
        with pytest.raises(LlmuxError, match="nobody"):
            await redirect.code(0.01)
        redirect.take(f"{redirect.address}?code=good&state=mine")
        assert await redirect.code(1.0) == "good"


class Watch:
    """A clock and a sleep in our hands."""

    def __init__(self) -> None:
        self.now = time.time()
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_a_device_login_waits_slows_down_and_ends(server: OAuthServer, post: Post) -> None:
    own, watch = client(server, "device"), Watch()
    device = await oauth.ask_device(post, own, watch())
    assert device.user_code in device.complete
    server.hurried = 2

    async def sleep(seconds: float) -> None:
        await watch.sleep(seconds)
        if len(watch.slept) == 5:
            server.allowed[device.user_code] = True

    tokens = await oauth.await_device(post, own, device, clock=watch, sleep=sleep)
    assert tokens.access in server.access
    assert watch.slept == [1.0, 6.0, 11.0, 11.0, 11.0]
    assert server.answers[DEVICE] == 1


async def test_a_device_login_that_is_denied_or_forgotten_says_so(server: OAuthServer, post: Post) -> None:
    own, watch = client(server, "device"), Watch()
    device = await oauth.ask_device(post, own, watch())
    server.allowed[device.user_code] = False
    with pytest.raises(Refused, match="access_denied"):
        await oauth.await_device(post, own, device, clock=watch, sleep=watch.sleep)
    forgotten = replace(await oauth.ask_device(post, own, watch()), until=watch() + 3)
    with pytest.raises(Refused, match="begin anew"):
        await oauth.await_device(post, own, forgotten, clock=watch, sleep=watch.sleep)


@pytest.mark.parametrize("name", ["secret", "posted"])
async def test_a_client_by_itself_gets_tokens_without_a_login(
    server: OAuthServer, post: Post, vault: Vault, name: str
) -> None:
    own, logins = client(server, "client_credentials", name), Logins(vault)
    token = await logins.token(account(own), post)
    assert token in server.access
    assert await logins.token(account(own), post) == token
    assert server.answers == {"client_credentials": 1}
    wrong = replace(own, client_secret=Secret("wrong"))
    with pytest.raises(LlmuxError, match="invalid_client"):
        await Logins(None).token(account(wrong), post)


async def test_a_hundred_who_need_it_cause_one_renewal(server: OAuthServer, post: Post, vault: Vault) -> None:
    """Over two workers, and although some of them stop waiting."""
    own = client(server)
    await Logins(vault).keep(account(own), replace(await logged_in(server, post, own), expires=time.time() - 1))
    workers = [Logins(vault), Logins(Vault(vault.path, "a" * 64))]
    server.slow = 0.1
    asking = [asyncio.create_task(workers[n % 2].token(account(own), post)) for n in range(100)]
    await asyncio.sleep(0.03)
    for task in asking[:10]:
        task.cancel()
    tokens = {task for task in await asyncio.gather(*asking, return_exceptions=True) if isinstance(task, str)}
    assert len(tokens) == 1
    assert tokens <= server.access
    assert server.answers["refresh_token"] == 1


async def test_a_token_that_is_due_is_used_while_it_is_renewed(server: OAuthServer, post: Post, vault: Vault) -> None:
    own, watch = client(server), Watch()
    logins = Logins(vault, clock=watch)
    old = await logged_in(server, post, own)
    await logins.keep(account(own), old)
    watch.now = old.expires - 301
    assert await logins.token(account(own), post) == old.access
    assert server.answers["refresh_token"] == 0
    watch.now = old.expires - 299
    assert await logins.token(account(own), post) == old.access
    await logins.aclose()
    assert server.answers["refresh_token"] == 1
    assert await logins.token(account(own), post) != old.access


@pytest.mark.parametrize(("life", "early"), [(3600.0, 300.0), (60.0, 6.0), (100_000.0, 300.0)])
def test_tokens_are_due_five_minutes_or_a_tenth_of_their_life_before_the_end(life: float, early: float) -> None:
    tokens = Tokens("a", expires=1_000_000.0, life=life)
    assert not tokens.due(1_000_000.0 - early - 0.01)
    assert tokens.due(1_000_000.0 - early + 0.01)
    assert not Tokens("a").due(1e12)


async def test_a_server_in_trouble_does_not_take_away_what_is_good(
    server: OAuthServer, post: Post, vault: Vault
) -> None:
    own, watch = client(server), Watch()
    logins = Logins(vault, clock=watch)
    old = await logged_in(server, post, own)
    await logins.keep(account(own), old)
    server.down = True
    watch.now = old.expires - 100
    for _ in range(5):
        assert await logins.token(account(own), post) == old.access
        await asyncio.sleep(0.02)
    watch.now = old.expires + 1
    with pytest.raises(LlmuxError, match="503"):
        await logins.token(account(own), post)
    server.down = False
    watch.now += 11
    assert await logins.token(account(own), post) in server.access


async def test_a_withdrawn_login_is_noted_for_all_until_somebody_logs_in(
    server: OAuthServer, post: Post, vault: Vault
) -> None:
    own, watch = client(server), Watch()
    logins = Logins(vault, clock=watch)
    await logins.keep(account(own), await logged_in(server, post, own))
    server.revoke()
    watch.now += 9999
    for worker in (logins, Logins(Vault(vault.path, "a" * 64), clock=watch)):
        with pytest.raises(NeedsLogin, match="llmux oauth start acme:sso"):
            await worker.token(account(own), post)
    assert usable(vault) == {}
    assert server.answers["refresh_token"] == 0
    watch.now = time.time()
    fresh = await logged_in(server, post, own)
    await logins.keep(account(own), fresh)
    assert await logins.token(account(own), post) == fresh.access


async def test_tokens_of_another_client_are_none(server: OAuthServer, post: Post, vault: Vault) -> None:
    own, logins = client(server), Logins(vault)
    await logins.keep(account(own), await logged_in(server, post, own))
    with pytest.raises(NeedsLogin, match="has not logged in"):
        await Logins(vault).token(account(replace(own, client_id="secret")), post)


async def test_tokens_that_could_not_be_stored_are_not_lost(
    server: OAuthServer, post: Post, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, logins = client(server), Logins(vault)
    await logins.keep(account(own), await logged_in(server, post, own))

    def refuse(*given: Any, **more: Any) -> bool:
        raise LlmuxError("overloaded", "the disk is full")  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("llmux.access.logins.write_tokens", refuse)
        second = await logins.renew(account(own), post)
        third = await logins.renew(account(own), post)
        assert second.refresh != third.refresh
    fourth = await logins.renew(account(own), post)
    kept = read_tokens(vault, "acme", "sso")
    assert kept is not None
    assert oauth.tokens_of(kept.text) == fourth


async def test_no_token_lies_in_the_clear(server: OAuthServer, post: Post, vault: Vault) -> None:
    own = client(server)
    tokens = await logged_in(server, post, own)
    await Logins(vault).keep(account(own), tokens)
    assert tokens.access not in repr(tokens)
    for file in vault.path.parent.iterdir():
        held = file.read_bytes()
        assert tokens.access.encode() not in held
        assert tokens.refresh.encode() not in held
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"{}", "no tokens"),
        (200, b"<html>", "no tokens"),
        (500, b"", "500"),
        (400, b'{"error":"invalid_scope","error_description":"a\\nb"}', "invalid_scope: a b"),
    ],
)
async def test_strange_answers_are_said(server: OAuthServer, status: int, body: bytes, said: str) -> None:
    async def post(url: str, form: dict[str, str], basic: tuple[str, str] | None) -> tuple[int, bytes]:
        return status, body

    with pytest.raises(LlmuxError, match=said):
        await oauth.by_credentials(post, client(server, "client_credentials", "secret"), 0.0)


@pytest.mark.parametrize(
    ("raw", "life"), [(b"3600", 3600.0), (b'"60"', 60.0), (b"1e999", 0.0), (b"-5", 0.0), (b"null", 0.0)]
)
async def test_the_life_of_a_token_is_read_as_servers_write_it(server: OAuthServer, raw: bytes, life: float) -> None:
    async def post(url: str, form: dict[str, str], basic: tuple[str, str] | None) -> tuple[int, bytes]:
        return 200, b'{"access_token":"x","expires_in":' + raw + b"}"

    tokens = await oauth.by_credentials(post, client(server, "client_credentials", "secret"), 1000.0)
    assert (tokens.life, tokens.expires) == (life, 1000.0 + life if life else 0.0)
