"""Gateway keys: who gets in, what for, how much, and how soon a change counts."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from llmux.access.clients import Issued, of_keys
from llmux.access.gateway_keys import add_key, enable_key, read_keys
from llmux.access.stored_accounts import StoredAccount, add_account
from llmux.access.vault import Vault
from llmux.config.load import load_text
from llmux.config.overrides import Overrides, settle
from llmux.config.schema import Account, Client, Config, Secret
from llmux.errors import Kind, LlmuxError
from llmux.gateway import auth, observe
from llmux.gateway.auth import Keys
from llmux.gateway.vault_watch import VaultWatch
from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from llmux.routing.backend import Limit
from tests.gateway.abuse_given import CHAT, KEY, KEYED, MESSAGES, OPEN, UPSTREAM_KEY, Answer, packed, said
from tests.gateway.inside import config, inside
from tests.gateway.keys_given import Keyed, key, keyed, secret_of

HOUR = 3600.0


async def until(answers: int, keys: Keyed, name: str) -> Answer:
    """Asks until the status is this, for a second at most."""
    deadline = time.monotonic() + 1.0
    while (answer := await keys.ask("GET", "/v1/models", name)).status != answers:
        assert time.monotonic() < deadline, f"{answer.status} after a second"
        await asyncio.sleep(0.02)
    return answer


# Who gets in


async def test_a_gateway_key_and_a_client_of_the_configuration_both_get_in(tmp_path: Path) -> None:
    async with keyed(tmp_path, key("team"), config=KEYED) as keys:
        assert (await keys.chat("team")).status == 200
        assert (await keys.gate.ask("GET", "/v1/models", headers=[("x-api-key", KEY)])).status == 200
        upstream = repr(keys.gate.provider.requests)
        assert secret_of("team") not in upstream


async def test_a_key_even_a_disabled_one_turns_authentication_on(tmp_path: Path) -> None:
    async with keyed(tmp_path, key("off", enabled=False)) as keys:
        assert (await keys.gate.ask("GET", "/v1/models")).status == 401
        assert b"the key of off is disabled" in (await keys.ask("GET", "/v1/models", "off")).body


async def test_a_gateway_key_that_a_client_writes_into_its_request_is_masked_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detailed = f"{OPEN}\n[log]\nrequest_details = true\n"
    async with keyed(tmp_path, key("team"), config=detailed) as keys:
        said = f"my key is {secret_of('team')}"
        assert (await keys.chat("team", messages=[{"role": "user", "content": said}])).status == 200
    told = capsys.readouterr().err
    assert "my key is llmx…" in told
    assert secret_of("team") not in told


# What for


@pytest.mark.parametrize(
    ("permissions", "models", "chat", "count", "explain"),
    [
        (("read",), 200, 403, 200, 200),
        (("write",), 403, 200, 200, 403),
        (("read", "write"), 200, 200, 200, 200),
        (("admin",), 200, 200, 200, 200),
    ],
)
async def test_a_key_opens_what_its_permissions_name(
    tmp_path: Path, permissions: tuple[str, ...], models: int, chat: int, count: int, explain: int
) -> None:
    async with keyed(tmp_path, key("k", permissions=permissions)) as keys:
        answers = (
            await keys.ask("GET", "/v1/models", "k"),
            await keys.chat("k"),
            await keys.ask("POST", "/v1/messages/count_tokens", "k", MESSAGES),
            await keys.ask("POST", "/v1/route/explain", "k", CHAT),
        )
        assert tuple(answer.status for answer in answers) == (models, chat, count, explain)
        for answer in answers:
            if answer.status == 403:
                assert b"the key of k may " in answer.body
                assert b"llmux apikey add --permissions" in answer.body


async def test_a_key_reaches_the_models_of_its_globs_and_no_others(tmp_path: Path) -> None:
    named = OPEN + '[[backend]]\nname = "big"\nmodel = "o:haiku-no"\nmodel_match = ["never"]\ncontext = 1000\n'
    async with keyed(tmp_path, key("k", models=("claude*", "*:gpt")), config=named) as keys:
        for allowed in ("claude-haiku", "CLAUDE", "o:gpt"):
            assert (await keys.chat("k", allowed)).status == 200, allowed
        sent = len(keys.gate.provider.requests)
        for forbidden in ("gpt", "big", "o:haiku-no", "a:claude", "a:claude-x", "never", "x", "x/gpt"):
            answer = await keys.chat("k", forbidden)
            assert answer.status == 403, forbidden
            assert b"it may ask for: claude*, *:gpt" in answer.body
        assert len(keys.gate.provider.requests) == sent


async def test_lists_show_what_the_key_may_ask_for(tmp_path: Path) -> None:
    async with keyed(tmp_path, key("k", models=("o:*",)), key("all")) as keys:
        listed = (await keys.ask("GET", "/v1/models", "k")).json["data"]
        assert [model["id"] for model in listed] == ["o:gpt"]
        tags = (await keys.ask("GET", "/api/tags", "k")).json["models"]
        assert [model["model"] for model in tags] == ["o:gpt"]
        assert len((await keys.ask("GET", "/v1/models", "all")).json["data"]) == 2
        hidden = await keys.ask("GET", "/v1/models/a:claude", "k")
        assert hidden.status == 404
        assert b"what can be asked for: o:gpt" in hidden.body
        assert (await keys.ask("POST", "/api/show", "k", {"model": "a:claude"})).status == 404
        assert (await keys.ask("POST", "/v1/route/explain", "k", CHAT | {"model": "a:claude"})).status == 403


# How much


async def test_a_key_is_held_to_its_own_limit_and_told_when_it_opens(tmp_path: Path) -> None:
    limited = key("k", limits=(Limit(window=HOUR, requests=2),))
    async with keyed(tmp_path, limited, key("free")) as keys:
        first = await keys.chat("k")
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert (await keys.chat("k")).status == 200
        refused = await keys.chat("k")
        assert refused.status == 429
        assert b"the key of k is at its own limit: the limit of 2 requests per 1h is used up" in refused.body
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert "x-ratelimit-limit-requests" not in (await keys.chat("free")).headers
    async with keyed(tmp_path) as keys:  # after a restart, or in another worker
        assert (await keys.chat("k")).status == 429


async def test_what_was_never_sent_or_answered_429_takes_nothing_of_a_limit(tmp_path: Path) -> None:
    provider = Provider()
    provider.faults.set([Fault(status=429, path="/v1/chat")])
    async with keyed(tmp_path, key("k", limits=(Limit(window=HOUR, requests=1),)), provider=provider) as keys:
        assert [(await keys.chat("k", model)).status for model in ("nobody-takes-this", "o:gpt")] == [404, 429]
        assert (await keys.ask("POST", "/v1/messages/count_tokens", "k", MESSAGES)).status == 200
        assert [(await keys.chat("k", "claude")).status for _ in range(2)] == [200, 429]


async def test_tokens_are_settled_to_what_was_used(tmp_path: Path) -> None:
    async with keyed(tmp_path, key("k", limits=(Limit(window=HOUR, tokens=5000),))) as keys:
        answer = await keys.chat("k", max_tokens=4000)
        used = answer.json["usage"]["total_tokens"]
        again = await keys.chat("k", max_tokens=4000)  # the reservation of the first has been corrected
        assert again.status == 200
        left = int(again.headers["x-ratelimit-remaining-tokens"])
        assert 5000 - used - 4000 - 100 < left < 5000 - used - 4000
        never = await keys.chat("k", max_tokens=4000, messages=[{"role": "user", "content": "word " * 3000}])
        assert never.status == 400
        assert b"can never fit in the limit of 5000 tokens per 1h" in never.body


async def test_only_so_many_at_once(tmp_path: Path) -> None:
    async with keyed(tmp_path, key("k", max_concurrent=1)) as keys:
        statuses = [answer.status for answer in await asyncio.gather(*(keys.chat("k") for _ in range(4)))]
        assert 200 in statuses
        assert 429 in statuses
        assert (await keys.chat("k")).status == 200  # every place has come back


async def test_an_endpoint_is_no_way_around_what_a_key_may(tmp_path: Path) -> None:
    hourly = (Limit(window=HOUR, requests=1),)
    names = (
        key("globbed", models=("*haiku*",)),
        key("named", models=("*haiku*", "through")),
        key("reader", permissions=("read",)),
        key("counted", limits=(Limit(window=HOUR, tokens=10**6),)),
        key("off", enabled=False),
        key("hourly", limits=hourly),
    )
    through = OPEN + '[endpoints.through]\ntarget_base = "{mock}/v1"\n'
    async with keyed(tmp_path, *names, config=through) as keys:

        async def ask(name: str) -> int:
            headers = [("x-llmux-key", secret_of(name)), ("content-type", "application/json")]
            body = packed(CHAT)
            headers.append(("content-length", str(len(body))))
            answer = await keys.gate.ask("POST", "/through/chat/completions", body=body, headers=headers)
            assert secret_of(name).encode() not in said(answer)
            return answer.status

        refused = {name: await ask(name) for name in ("globbed", "reader", "counted", "off", "a stranger")}
        assert list(refused.values()) == [403, 403, 403, 401, 401], refused
        assert not keys.gate.provider.requests
        assert await ask("named") == 200
        assert [await ask("hourly") for _ in range(2)] == [200, 429]
        assert "llmx_" not in repr([recorded.headers for recorded in keys.gate.provider.requests])


# How soon


async def test_what_a_command_changes_counts_within_a_second(tmp_path: Path) -> None:
    async with keyed(tmp_path) as keys:
        assert (await keys.gate.ask("GET", "/v1/models")).status == 200
        add_key(keys.vault, key("k", limits=(Limit(window=HOUR, requests=1),)))
        await until(401, keys, "a stranger")
        assert [(await keys.chat("k")).status for _ in range(2)] == [200, 429]
        enable_key(keys.vault, "k", enabled=False)
        await until(401, keys, "k")


async def test_an_account_that_a_command_adds_is_used_within_a_second(tmp_path: Path) -> None:
    kept = Secret("sk-kept-in-the-vault-0123456789")
    async with keyed(tmp_path, config=OPEN.replace(f'api_key = "{UPSTREAM_KEY}"\n', "", 1)) as keys:
        assert (await keys.chat("anybody")).status == 200
        add_account(keys.vault, StoredAccount(account=Account(provider="o", name="b", api_key=kept)))
        deadline = time.monotonic() + 1.0
        while kept.reveal() not in repr(keys.gate.provider.requests[-1].headers):
            assert time.monotonic() < deadline, "not after a second"
            await asyncio.sleep(0.05)
            await keys.chat("anybody")


async def test_a_vault_that_breaks_changes_nothing_and_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = Vault(tmp_path / "v")
    add_key(vault, key("k"))
    seen: list[int] = []

    async def follow(vault: Vault) -> None:
        seen.append(len(read_keys(vault)))

    observe.set_up(Config())
    watch = VaultWatch(vault, (follow,), period=0.01)
    await watch.begin()
    whole = vault.path.read_bytes()
    vault.path.write_bytes(b"x" * 5000)
    await asyncio.sleep(0.1)
    vault.path.write_bytes(whole)
    add_key(vault, key("l"))
    await asyncio.sleep(0.1)
    await watch.aclose()
    assert seen == [1, 2]
    told = [line for line in capsys.readouterr().err.splitlines() if '"event":"vault"' in line]
    assert len(told) == 1
    assert "is damaged" in told[0]


async def test_llmux_does_not_start_on_a_vault_that_others_can_read(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "v")
    add_key(vault, key("k"))
    vault.path.chmod(0o644)
    with pytest.raises(LlmuxError, match="others can read"):
        await VaultWatch(vault, ()).begin()


async def test_a_house_that_follows_another_knows_the_same_keys() -> None:
    async with inside(config("a")) as mux:
        mux.house.issued.replace(of_keys([key("k")]))
        after = mux.house.successor(mux.house.config)
        caller = after.keys.client({"x-api-key": secret_of("k")})
        assert caller is not None
        mux.house.issued.replace({})
        assert after.keys.find(secret_of("k")) is None


def test_a_reload_that_says_loopback_does_not_open_what_other_machines_reach() -> None:
    asked = Overrides().over(Config(host="0.0.0.0", clients=(Client("c", Secret(KEY)),)))
    assert asked.require_key
    after, later = settle(Overrides().over(Config(host="127.0.0.1")), asked, asked)
    assert (after.host, after.require_key, later) == ("0.0.0.0", True, ("host",))


def test_losing_its_last_key_opens_nothing() -> None:
    issued = Issued()
    keys = Keys((), issued)
    assert keys.client({}) is None
    issued.replace(of_keys([key("k")]))
    issued.replace({})
    with pytest.raises(LlmuxError) as raised:
        keys.client({"x-api-key": secret_of("k")})
    assert raised.value.kind is Kind.unauthorized


def test_other_machines_are_never_let_in_without_a_key() -> None:
    keys = Keys((), required=True)
    assert keys
    with pytest.raises(LlmuxError) as raised:
        keys.client({})
    assert raised.value.kind is Kind.unauthorized


def test_a_lookup_costs_the_same_among_a_hundred_thousand_keys() -> None:
    def seconds(count: int) -> float:
        issued = Issued()
        issued.replace(of_keys(key(f"k{number}") for number in range(count)))
        keys, headers = Keys((), issued), {"x-api-key": secret_of("k7")}
        begun = time.perf_counter()
        for _ in range(2000):
            assert keys.client(headers) is not None
        return time.perf_counter() - begun

    assert min(seconds(20_000) for _ in range(2)) < 5 * min(seconds(10) for _ in range(3))


# Administration


class _House:
    def __init__(self, admin: str, *, permissions: tuple[str, ...] = ("read", "write")) -> None:
        issued = Issued()
        issued.replace(of_keys([key("k", permissions=permissions)]))
        self.config = Config(admin=Secret(admin))
        self.keys = Keys((Client("c", Secret(KEY)),), issued)


@pytest.mark.parametrize(
    ("house", "sent", "outcome"),
    [
        (_House("t" * 40), "t" * 40, "admin"),
        (_House("t" * 40), "t" * 39, Kind.unauthorized),
        (_House("t" * 40), "", Kind.unauthorized),
        (_House("t" * 40), KEY, Kind.forbidden),
        (_House("t" * 40), secret_of("k"), Kind.forbidden),
        (_House("t" * 40, permissions=("admin",)), secret_of("k"), "k"),
        (_House("", permissions=("admin",)), secret_of("k"), "k"),
        (_House(""), "", Kind.forbidden),
        (_House(""), "anything-at-all", Kind.forbidden),
        (_House(""), KEY, Kind.forbidden),
    ],
)
def test_who_may_administrate(house: _House, sent: str, outcome: object) -> None:
    for headers in ({"x-api-key": sent}, {"authorization": f"Bearer {sent}"}) if sent else ({},):
        try:
            found: object = auth.require_admin(house, headers)  # type: ignore[arg-type]
        except LlmuxError as error:
            found = error.kind
        assert found == outcome


def test_without_an_admin_token_the_answer_says_how_to_set_one() -> None:
    with pytest.raises(LlmuxError, match=r"no admin token is set.*LLMUX_ADMIN_TOKEN"):
        auth.require_admin(_House(""), {})  # type: ignore[arg-type]


def test_the_admin_token_opens_no_client_route() -> None:
    settings = load_text(KEYED.replace("{mock}", "http://127.0.0.1:1") + '[admin]\ntoken = "' + "t" * 40 + '"\n')
    with pytest.raises(LlmuxError) as raised:
        Keys(settings.clients).client({"x-api-key": "t" * 40})
    assert raised.value.kind is Kind.unauthorized
