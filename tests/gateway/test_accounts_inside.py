"""Several accounts of one provider: who is taken, who comes next, and what is held against whom."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from llmux.gateway.explain import explain
from llmux.mock.faults import Fault
from llmux.protocols.base import read_body
from tests.gateway.inside import Mux, config, inside
from tests.oauth_server import OAuthServer, oauth_server

NAMES = ("default", "team-b", "team-c")


def accounts(*names: str, limits: str = "") -> str:
    return "".join(
        f'\n[[account]]\nprovider = "a"\nname = "{name}"\napi_key = "sk-upstream-a-{name}"\n{limits}' for name in names
    )


def keys(mux: Mux, name: str = "") -> list[str]:
    """The account of every call, in order."""
    sent = [dict(call.headers).get("authorization", "") for call in mux.calls(name)]
    return ["default" if key.endswith("0001") else key.rpartition("sk-upstream-a-")[2] for key in sent]


def only(mux: Mux, account: str, fault: Fault) -> None:
    key = "sk-upstream-a-0001" if account == "default" else f"sk-upstream-a-{account}"
    mux.provider.faults.set([replace(fault, key=key)])


async def seat(mux: Mux, account: str, backend: str = "a") -> Any:
    name = f"{backend}\t{account}"
    return mux.house.store.health((name,))[name]


async def test_conversations_spread_over_the_accounts_and_each_stays_with_its_own() -> None:
    async with inside(config("a") + accounts("team-b", "team-c")) as mux:
        for _ in range(3):
            for number in range(12):
                await mux.ask(text=f"talk {number}")
        used = keys(mux)
        assert set(used) == set(NAMES)
        assert used[:12] == used[12:24] == used[24:]


@pytest.mark.parametrize(
    "named",
    [
        {"metadata": {"user_id": "one"}},
        {"prompt_cache_key": "one"},
        {"headers": {"x-claude-code-session-id": "one"}},
        {"headers": {"session-id": "one"}},
    ],
)
async def test_a_conversation_that_has_a_name_stays_whatever_it_says(named: dict[str, Any]) -> None:
    async with inside(config("a") + accounts("team-b", "team-c")) as mux:
        for number in range(6):
            await mux.ask(text=f"talk {number}", **named)
        assert len(set(keys(mux))) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "cause"), [(429, "rate_limit"), (401, "auth"), (403, "auth"), (402, "billing")])
async def test_a_failure_of_the_account_goes_on_to_the_next_and_cools_only_its_seat(
    status: int, cause: str, stream: bool
) -> None:
    async with inside(config("a", "b") + accounts("team-b")) as mux:
        await mux.ask(text="talk")
        (mine,) = keys(mux)
        only(mux, mine, Fault(status=status))
        answer = await mux.ask(text="talk", stream=stream)
        assert (answer.status, answer.headers["x-llmux-backend"], answer.headers["x-llmux-attempts"]) == (200, "a", "2")
        assert keys(mux)[1] == mine != keys(mux)[2]
        assert not (await mux.health("a")).until
        assert (await seat(mux, mine)).cause == cause
        await mux.ask(text="talk")
        assert keys(mux)[3] != mine
        mux.provider.faults.set([])
        mux.clock.ahead = 4000
        await mux.ask(text="talk")
        assert keys(mux)[4] == mine, "a conversation comes back to its own"


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(status=529), Fault(hangup="close"), Fault(status=404)])
async def test_a_failure_of_the_provider_goes_on_to_the_next_backend(fault: Fault) -> None:
    async with inside(config("a", "b") + accounts("team-b")) as mux:
        mux.provider.faults.set([replace(fault, times=1)])
        answer = await mux.ask()
        assert (answer.headers["x-llmux-backend"], len(mux.calls("a"))) == ("b", 1)
        assert (await mux.health("a")).until
        assert not any([(await seat(mux, name)).until for name in NAMES])


async def test_when_every_account_is_at_its_limit_the_words_name_each() -> None:
    async with inside(config("a", top="max_retries = 1") + accounts("team-b"), Fault(status=429)) as mux:
        answer = await mux.ask()
        assert answer.status == 429
        assert "a (account default)" in answer.error["message"]  # type: ignore[index]
        again = await mux.ask()
        assert again.status == 429
        assert "account default: cooling down after a 429" in again.error["message"]  # type: ignore[index]
        assert "account team-b: cooling down after a 429" in again.error["message"]  # type: ignore[index]
        assert 1 <= int(again.headers["retry-after"]) <= 60


async def test_max_retries_bounds_the_accounts_too() -> None:
    async with inside(config("a", "b", top="max_retries = 1") + accounts("team-b", "team-c"), Fault(status=429)) as mux:
        assert (await mux.ask()).status == 429
        assert (len(mux.calls("a")), len(mux.calls("b"))) == (2, 0)


async def test_another_model_of_a_limited_account_is_still_asked() -> None:
    """Providers limit each model by itself: what is left of the others is not given away."""
    text = (
        config("a") + '\n[[backend]]\nname = "small"\nmodel = "a:gpt-4o-mini"\ncontext = 200000\n' + accounts("team-b")
    )
    async with inside(text, Fault(status=429, times=2)) as mux:
        answer = await mux.ask()
        assert answer.headers["x-llmux-backend"] == "small"
        assert len(mux.calls()) == 3


async def test_an_accounts_own_limit_holds_over_all_its_backends() -> None:
    text = config("a") + '\n[[backend]]\nname = "small"\nmodel = "a:gpt-4o-mini"\ncontext = 200000\n'
    text = text.replace('api_key = "sk-upstream-a-0001"', 'headers = { "x-team" = "1" }')
    limits = 'limits = [{ requests = 3, window = "1h" }]\n'
    async with inside(text + accounts("team-b", "team-c", limits=limits)) as mux:
        answers = [await mux.ask(text=f"talk {number}", model=("a", "small")[number % 2]) for number in range(8)]
        assert [answer.status for answer in answers] == [200] * 6 + [429] * 2
        assert Counter(keys(mux)) == {"team-b": 3, "team-c": 3}
        assert "account team-b: limits: full" in answers[-1].error["message"]  # type: ignore[index]


async def test_a_crowd_never_exceeds_an_accounts_limit() -> None:
    limits = 'limits = [{ requests = 5, window = "1h" }]\n'
    async with inside(config("a", "b") + accounts("team-b", limits=limits)) as mux:
        await asyncio.gather(*(mux.ask(text=f"talk {number}") for number in range(30)))
        used = Counter(keys(mux, "a"))
        assert (used["team-b"], used["default"]) == (5, 25)


async def test_tokens_of_an_account_are_settled_to_what_was_reported() -> None:
    limits = 'limits = [{ tokens = 50000, window = "1h" }]\n'
    text = config("a").replace('api_key = "sk-upstream-a-0001"', "") + accounts("team-b", limits=limits)
    async with inside(text) as mux:
        answer = await mux.ask()
        usage = answer.json["usage"]
        (slot,) = mux.house._slots[1:]
        (left,) = await mux.house.store.left(slot)
        assert left.used == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_one_further_account_alone_is_simply_the_key() -> None:
    text = config("a").replace('api_key = "sk-upstream-a-0001"', "") + accounts("team-b")
    async with inside(text) as mux:
        await mux.ask()
        assert keys(mux) == ["team-b"]
        assert not mux.house.seated


async def test_explain_names_the_accounts_in_the_order_of_the_next_request() -> None:
    async with inside(config("a") + accounts("team-b")) as mux:
        await mux.ask(text="talk")
        (mine,) = keys(mux)
        only(mux, mine, Fault(status=429))
        await mux.ask(text="talk")
        body = read_body(b'{"model":"m","messages":[{"role":"user","content":"talk"}]}')
        told = await explain(mux.house, mux.house.protocol("openai"), body, {}, show_body=False)
        first, second = told["backends"][0]["accounts"]
        assert (first["fits"], second["fits"], second["name"]) == (True, False, mine)
        assert "429" in second["detail"]


async def test_neighbours_of_a_group_share_the_conversations() -> None:
    async with inside(config("a", "b", "c", a_group='"g"', b_group='"g"')) as mux:
        for _ in range(2):
            for number in range(10):
                await mux.ask(text=f"talk {number}")
        used = [call.path[1] for call in mux.calls()]
        assert set(used) == {"a", "b"}
        assert used[:10] == used[10:]


async def test_round_robin_takes_turns_and_passes_over_who_rests() -> None:
    text = config("a", "b", a_group='"g"', b_group='"g"', a_balance='"round_robin"', b_balance='"round_robin"')
    async with inside(text) as mux:
        for _ in range(4):
            await mux.ask(text="talk")
        used = [call.path[1] for call in mux.calls()]
        assert used in (list("abab"), list("baba"))
        mux.provider.faults.set([Fault(status=500, path="/a/", times=1)])
        answers = [await mux.ask(text="talk") for _ in range(4)]
        assert all(answer.status == 200 for answer in answers)
        assert {answer.headers["x-llmux-backend"] for answer in answers[1:]} == {"b"}


def oauth_account(server: OAuthServer, grant: str = "client_credentials", client: str = "secret") -> str:
    own = f'client_id = "{client}", client_secret = "s3cret&more=%2B", token_url = "{server.url}/token"'
    own += f', authorize_url = "{server.url}/authorize"'
    return f'\n[[account]]\nprovider = "a"\nname = "sso"\noauth = {{ grant = "{grant}", {own} }}\n'


async def test_an_oauth_account_sends_its_token_and_renews_one_that_is_refused() -> None:
    with oauth_server() as server:
        text = config("a", "b").replace('api_key = "sk-upstream-a-0001"', "") + oauth_account(server)
        async with inside(text, Fault(status=401, path="/a/", skip=2, times=1)) as mux:
            for _ in range(2):
                assert (await mux.ask()).headers["x-llmux-backend"] == "a"
            first = [dict(call.headers)["authorization"].removeprefix("Bearer ") for call in mux.calls("a")]
            assert first[0] == first[1]
            assert set(first) == server.access
            refused = await mux.ask()
            assert (refused.status, refused.headers["x-llmux-backend"]) == (200, "b")
            mux.clock.ahead = 10
            assert (await mux.ask()).headers["x-llmux-backend"] == "a"
            last = dict(mux.calls("a")[-1].headers)["authorization"].removeprefix("Bearer ")
            assert last in server.access - set(first)


async def test_an_oauth_server_in_trouble_costs_the_provider_nothing() -> None:
    with oauth_server() as server:
        server.down = True
        async with inside(config("a", "b") + oauth_account(server)) as mux:
            answers = [await mux.ask(text=f"talk {number}") for number in range(6)]
            assert {answer.headers["x-llmux-backend"] for answer in answers} == {"a"}
            assert {call.status for call in mux.calls("a")} == {200}
            assert (await seat(mux, "sso")).cause == "login"
            assert not (await mux.health("a")).until


async def test_an_account_that_needs_a_login_is_passed_over_and_says_so() -> None:
    with oauth_server() as server:
        text = config("a").replace('api_key = "sk-upstream-a-0001"', "") + oauth_account(server, "pkce", "public")
        async with inside(text) as mux:
            answer = await mux.ask()
            assert (answer.status, len(mux.calls())) == (503, 0)
            assert "account sso: it needs a login: llmux oauth start a:sso" in answer.error["message"]  # type: ignore[index]
