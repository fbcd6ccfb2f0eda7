"""Accounts that come, change and go while llmux serves: used within a moment, and kept over a reload."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from llmux.access.oauth import Tokens, fingerprint
from llmux.access.stored_accounts import StoredAccount, add_account, enable_account, remove_account
from llmux.access.stored_tokens import write_tokens
from llmux.access.vault import open_vault
from llmux.config.schema import Account, OAuth, Secret
from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.gateway.abuse_given import CHAT, packed
from tests.gateway.living import Live, living

TEXT = """
[state]
path = "state/llmux.sqlite"
[provider.o]
base_url = "{mock}/v1"
[[backend]]
model = "o:gpt"
context = 100000
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmux.gateway.vault_watch.PERIOD", 0.02)
    monkeypatch.setenv("LLMUX_MASTER_KEY", "m" * 64)


async def used(live: Live) -> str:
    """The credential of one more request."""
    assert (await live.ask("POST", "/v1/chat/completions", body=packed(CHAT))).status == 200
    *_, last = live.provider.requests
    return dict(last.headers).get("authorization", "")


async def test_an_account_is_used_once_it_is_there_and_no_longer_when_it_is_off(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        assert await used(live) == ""
        vault = open_vault(live.house.config)
        add_account(vault, StoredAccount(account=Account(provider="o", name="b", api_key=Secret("sk-vault-1"))))
        await live.until(lambda: live.house.kept.accounts)
        assert await used(live) == "Bearer sk-vault-1"
        live.write(TEXT + '[[account]]\nprovider = "o"\nname = "file"\napi_key = "sk-file-1"\n')
        await live.until(lambda: live.house.config.accounts)
        assert {seat.account for seat in live.house.seated["o:gpt"].seats} == {"file", "b"}
        enable_account(vault, "o", "b", enabled=False)
        await live.until(lambda: live.house.kept.accounts[0].away)
        assert {await used(live) for _ in range(4)} == {"Bearer sk-file-1"}
        remove_account(vault, "o", "b")
        await live.until(lambda: not live.house.kept.accounts)
        assert not live.house.seated


async def test_a_login_counts_at_once_and_a_renewal_moves_nobody(tmp_path: Path) -> None:
    own = OAuth(grant="pkce", client_id="c", token_url="http://127.0.0.1:9/t", authorize_url="http://127.0.0.1:9/a")
    async with living(tmp_path, TEXT) as live:
        vault = open_vault(live.house.config)
        add_account(vault, StoredAccount(account=Account(provider="o", name="sso", oauth=own)))
        await live.until(lambda: live.house.seated)
        assert (await live.ask("POST", "/v1/chat/completions", body=packed(CHAT))).status == 503
        tokens = Tokens("access-1", "refresh-1", time.time() + 3600, 3600, "", fingerprint(own))
        write_tokens(vault, "o", "sso", tokens.text())
        await live.until(lambda: live.house.kept.logins)
        assert await used(live) == "Bearer access-1"
        house = live.house
        write_tokens(vault, "o", "sso", Tokens("access-2", client=fingerprint(own)).text())
        await live.passes()
        assert live.house is house


ADMIN = "an-admin-token-of-thirty-two-characters"


async def test_the_admin_lifts_a_cooldown_with_that_of_the_accounts(tmp_path: Path) -> None:
    more = "".join(f'[[account]]\nprovider = "o"\nname = "{name}"\napi_key = "sk-{name}"\n' for name in "bc")
    provider = Provider()
    provider.faults.set([Fault(status=429)])
    async with living(tmp_path, f'[admin]\ntoken = "{ADMIN}"\n{TEXT}{more}', provider=provider) as live:
        assert (await live.ask("POST", "/v1/chat/completions", body=packed(CHAT))).status == 429
        bearer = [("authorization", f"Bearer {ADMIN}")]
        assert (await live.ask("POST", "/api/backends/o:gpt/reset")).status in (401, 403)
        unknown = await live.ask("POST", "/api/backends/o:gp/reset", headers=bearer)
        assert (unknown.status, "did you mean" in unknown.json["message"]) == (404, True)
        lifted = await live.ask("POST", "/api/backends/o:gpt/reset", headers=bearer)
        assert lifted.json["lifted"] == ["account b", "account c"]
        provider.faults.set([])
        assert await used(live) in ("Bearer sk-b", "Bearer sk-c")
