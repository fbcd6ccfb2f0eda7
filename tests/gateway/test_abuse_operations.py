"""Accounts, gateway keys, endpoints, administration and statistics under attack: nobody gets in, no secret gets out,
and what clients make up does not pile up."""

from __future__ import annotations

import base64
import json
import random
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from llmux.access.gateway_keys import add_key
from llmux.access.overrides import write_override
from llmux.access.stored_accounts import StoredAccount, add_account
from llmux.access.vault import open_vault
from llmux.config.changes import put_first, set_provider
from llmux.config.schema import Account, Secret
from llmux.gateway.routes import TABLE
from llmux.gateway.standing import standing
from llmux.mock.provider import Provider
from llmux.state.fact import Fact, Worker
from llmux.state.facts import Facts
from llmux.state.facts_file import KEPT, FactsFile
from tests.gateway.abuse_given import CHAT, KEY, MESSAGES, Answer, packed, said
from tests.gateway.keys_given import key, secret_of
from tests.gateway.living import Live, living
from tests.gateway.test_abuse_credentials import WRONG

TOKEN = "an-admin-token-canary-of-thirty-two-characters"
ACCOUNT = "sk-account-canary-in-the-vault-01"
OVERRIDE = "sk-override-canary-in-the-vault-01"
PROMPT = "prompt-canary-that-nobody-may-keep"
OURS = {
    "client": KEY,
    "admin": TOKEN,
    "gateway": secret_of("team"),
    "boss": secret_of("boss"),
    "disabled": secret_of("off"),
}
"""llmux's own credentials, which never travel."""
THEIRS = ("sk-upstream-canary-0123456789", "sk-header-canary-0123456789", ACCOUNT, OVERRIDE, "proxy-canary-password")
"""What llmux keeps for providers, which nobody is shown."""

TEXT = f"""
log_level = "DEBUG"
max_retries = 0

[admin]
token = "{TOKEN}"

[tokens]
laptop = "{KEY}"

[state]
path = "state/s.db"

[provider.o]
base_url = "{{mock}}/v1"
api_key = "sk-upstream-canary-0123456789"
headers = {{ x-secret = "sk-header-canary-0123456789" }}

[provider.a]
base_url = "{{mock}}"
protocol = "anthropic"
api_key = "env:LLMUX_TEST_KEY"

[provider.p]
base_url = "http://127.0.0.1:9/v1"
api_key = "sk-upstream-canary-0123456789"
proxy = "http://user:proxy-canary-password@127.0.0.1:9"

[[backend]]
model = "o:gpt"
context = 100000
model_match = ["gpt*"]

[[backend]]
model = "a:claude"
context = 100000
model_match = ["claude*"]

[[backend]]
model = "p:away"
context = 1000
model_match = ["away*"]

[endpoints.through]
target_base = "{{mock}}/v1"
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMUX_TEST_KEY", "sk-environment-canary-0123456789")
    monkeypatch.delenv("LLMUX_MASTER_KEY", raising=False)


async def stocked(live: Live) -> None:
    """Puts gateway keys, an account and a provider key into the vault, and waits until they count."""
    vault = open_vault(live.house.config)
    add_key(vault, key("team"))
    add_key(vault, key("boss", permissions=("admin",)))
    add_key(vault, key("off", enabled=False, permissions=("read", "write", "admin")))
    add_key(vault, key("reader", permissions=("read",)))
    add_account(vault, StoredAccount(account=Account(provider="o", name="b", api_key=Secret(ACCOUNT))))
    write_override(vault, "a", Secret(OVERRIDE))
    vault.close()
    await live.until(lambda: len(live.house.issued.callers) == 4 and live.house.kept.accounts)
    await live.until(lambda: live.house.config.providers["a"].api_key.reveal() == OVERRIDE)


# Nobody gets in


async def test_every_row_of_the_table_refuses_every_wrong_credential(tmp_path: Path) -> None:
    more: dict[str, list[tuple[str, str | bytes]]] = {
        "a disabled key": [("x-api-key", secret_of("off"))],
        "a gateway key's digest": [("x-api-key", key("team").digest.hex())],
        "the prefix of gateway keys": [("authorization", "Bearer llmx_")],
        "a gateway key too short by one": [("authorization", f"Bearer {secret_of('team')[:-1]}")],
        "a key of the endpoints' header": [("x-llmux-key", secret_of("team"))],
        "two keys": [("x-api-key", secret_of("team")), ("authorization", f"Bearer {secret_of('off')}")],
        "the admin token too short by one": [("x-api-key", TOKEN[:-1])],
    }
    provider = Provider()
    async with living(tmp_path, TEXT, provider=provider) as live:
        await stocked(live)
        before = live.file.read_bytes()
        rows = [(row.methods[-1], path, row.needs) for row in TABLE for path in row.paths]
        rows = [(method, path, needs) for method, path, needs in rows if needs or path == "/metrics"]
        for method, path, needs in rows:
            wrong = WRONG | more | ({} if "admin" not in needs else {"nothing of an administrator": []})
            for name, headers in wrong.items():
                answer = await live.ask(method, path, body=b"{}" if method == "POST" else b"", headers=headers)
                assert answer.status == 401, f"{path}, {name}: {answer.status}"
                assert b"canary" not in said(answer)
                assert KEY[:12].encode() not in said(answer)
        admin = [row.paths[0] for row in TABLE if "admin" in row.needs]
        for path in (*admin, "/metrics"):
            method = next(row.methods[0] for row in TABLE if path in row.paths)
            for name in ("team", "reader"):
                answer = await live.ask(method, path, body=b"{}", headers=[("x-api-key", secret_of(name))])
                assert (answer.status, answer.json["status"]) == (403, "error"), (path, name)
            assert (await live.ask(method, path, body=b"{}", headers=[("x-api-key", KEY)])).status in (401, 403)
        assert not provider.requests
        assert live.file.read_bytes() == before


async def test_an_endpoint_refuses_strangers_and_keeps_our_keys(tmp_path: Path) -> None:
    provider = Provider()
    own = [("x-llmux-key", secret_of("team"))]
    async with living(tmp_path, TEXT, provider=provider) as live:
        await stocked(live)

        async def ask(headers: Any, query: str = "") -> Answer:
            sent = [*headers, ("content-length", "2"), ("content-type", "application/json")]
            return await live.ask("POST", "/through/chat/completions", body=b"{}", headers=sent, query=query)

        for name in ("", "stranger", secret_of("off"), secret_of("team")[:-1], TOKEN):
            for header in ("x-llmux-key", "x-api-key", "authorization"):
                answer = await ask([(header, f"Bearer {name}" if header == "authorization" else name)])
                assert answer.status == 401, (name, header)
        for header in ("api-key", "x-goog-api-key", "cookie"):
            assert (await ask([(header, secret_of("team"))])).status == 401
        assert (await ask([("x-llmux-key", secret_of("reader"))])).status == 403
        assert not provider.requests
        for secret in OURS.values():
            for query in (f"key={secret}", f"alt=sse&key={secret.replace('-', '%2D')}&x=1", f"api_key={secret}"):
                answer = await ask(own, query)
                assert (answer.status, b"key of llmux stands in the query" in answer.body) == (400, True)
                assert secret.encode() not in said(answer)
        assert not provider.requests
        for secret in OURS.values():
            for header in ("x-api-key", "authorization", "api-key", "x-goog-api-key"):
                for shape in ("{}", "Bearer {}", "bearer  {}", "Token {}", "{}\t"):
                    await ask([*own, (header, shape.format(secret))])
        assert (await ask([*own, ("x-api-key", "sk-of-the-client")], "key=sk-of-the-client")).status < 500
        assert len(provider.requests) > 10
        for one in provider.requests:
            assert not [
                secret for secret in OURS.values() if secret in f"{one.request.target}{one.headers}{one.body!r}"
            ]
        assert "sk-of-the-client" in repr(provider.requests[-1].headers)
        assert provider.requests[-1].request.target.endswith("?key=sk-of-the-client")


async def test_metrics_are_told_to_no_web_page(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT.replace(f'[admin]\ntoken = "{TOKEN}"\n', "")) as live:
        assert (await live.ask("GET", "/metrics")).status == 200
        page = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]
        for headers in ([page[0]], [page[1]]):
            assert (await live.ask("GET", "/metrics", headers=headers)).status == 403
        rebound = await live.ask("GET", "/metrics", host="evil.example:8082")
        assert (rebound.status, b"llmux_requests" in rebound.body) == (403, False)


# No secret gets out


def requests_of(chance: random.Random, number: int) -> Iterator[tuple[str, str, str, list[tuple[str, str]], bytes]]:
    """Requests that carry secrets where clients put them: method, path, query, headers, body."""
    paths = [path for row in TABLE for path in row.paths if "update" not in path and "switch" not in path]
    paths += ["/through/chat/completions", "/through", "/nowhere", "/", "/health", "/v1/models/gpt", "/v1/files"]
    paths += ["/v1/chat/completions", "/v1/messages", "/through/chat/completions"] * 10
    secrets = [*OURS.values(), "stranger", ""]
    models = ["gpt", "claude", "away", "a:claude", KEY, secret_of("team"), f"gpt-{TOKEN}", "x" * 200]
    bodies: list[Any] = [CHAT, MESSAGES, {"provider": "o"}, {"input": PROMPT}, {"prompt": PROMPT}, [], "nothing", {}]
    for _ in range(number):
        secret, path = chance.choice(secrets), chance.choice(paths)
        elsewhere = "zed" if path.startswith("/through") else secret  # an endpoint looks at credentials alone
        headers = [
            ("x-api-key", secret),
            ("authorization", f"Bearer {secret}"),
            ("x-llmux-key", secret),
            ("x-goog-api-key", secret),
            ("x-client", elsewhere),
            ("user-agent", chance.choice(["claude-cli/2", elsewhere, "a\tb"])),
            ("cookie", "a=b"),
            ("content-type", "application/json"),
        ]
        body = chance.choice(bodies)
        if isinstance(body, dict) and chance.random() < 0.8:
            body = body | {"messages": [{"role": "user", "content": PROMPT}], "model": chance.choice(models)}
            body |= {"stream": chance.random() < 0.3}
        data = packed(body)[: chance.choice([None, None, None, 20])]
        chosen = [headers[0], *chance.sample(headers[1:], 3)] if chance.random() < 0.7 else chance.sample(headers, 2)
        chosen.append(("content-length", str(len(data))))
        query = chance.choice(["", f"key={secret}", "beta=true", f"since={secret}", "after=-1", "limit=1e9"])
        yield (
            chance.choice(["POST", "POST", "POST", "GET", "HEAD", "DELETE"]),
            path,
            query,
            chosen,
            data,
        )


async def test_two_thousand_requests_at_debug_bring_no_secret_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    provider, answers, statuses = Provider(), b"", set()
    own = [("x-api-key", TOKEN)]
    async with living(tmp_path, TEXT, provider=provider) as live:
        await stocked(live)
        for method, path, query, headers, body in requests_of(random.Random(66), 2000):
            answer = await live.ask(method, path, body=body, headers=headers, query=query)
            statuses.add(answer.status)
            names = KEY.encode() in body or TOKEN.encode() in body or secret_of("team").encode() in body
            if not (names or path.startswith(("/v1/chat", "/v1/messages", "/v1/resp", "/api/chat", "/through"))):
                answers += said(answer)
        for path in ("/metrics", "/api/status", "/api/requests", "/api/info", "/api/config/current", "/api/health"):
            answer = await live.ask("GET", path, headers=own, query="limit=1000" if "requests" in path else "")
            assert answer.status == 200, path
            assert PROMPT.encode() not in answer.body
            answers += said(answer)
    assert {200, 400, 401, 403, 404, 405} <= statuses
    assert not {status for status in statuses if status >= 500} - {501, 502, 503, 504}
    logged = capfd.readouterr().err
    assert logged.count("\n") > 1500
    for line in logged.splitlines():
        json.loads(line)
    kept = {file.name: file.read_bytes() for file in (tmp_path / "state").iterdir() if not file.name.endswith(".key")}
    assert {name for name in kept if name.startswith("s.db")} > {"s.db", "s.db.access.sqlite", "s.db.facts.sqlite"}
    for secret in (*OURS.values(), *THEIRS, "sk-environment-canary-0123456789"):
        for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")):
            assert form not in logged, secret
            assert form.encode() not in answers, secret
            assert not [name for name, data in kept.items() if form.encode() in data], secret
    assert PROMPT not in logged
    assert not [name for name, data in kept.items() if PROMPT.encode() in data]
    sent = [f"{one.request.target} {one.headers}" for one in provider.requests]
    assert len(sent) > 50
    assert not [secret for secret in OURS.values() for one in sent if secret in one]


async def test_a_key_in_the_place_of_a_model_is_kept_nowhere(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        for model in (KEY, f"{'x' * 70}{KEY}", secret_of("anybody"), "claude" + "x" * 1000):
            await live.ask(
                "POST", "/v1/messages", body=packed(MESSAGES | {"model": model}), headers=[("x-api-key", KEY)]
            )
        told = await live.ask("GET", "/api/requests", headers=[("x-api-key", TOKEN)])
        models = [row["model"] for row in told.json["requests"]]
        assert len(models) == 4
        assert not [model for model in models if KEY[:12] in model or secret_of("anybody") in model]
        assert max(map(len, models)) == 100


# What is written into the file says what was meant and nothing else

TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp", "Cf", "Co", "Cn")), min_size=1, max_size=30
)
NASTY = st.sampled_from(
    [
        'a"b',
        "a'''b",
        'a"""b',
        "a]\n[admin]",
        "${HOME}",
        "$${X}",
        "a\\",
        "#x",
        "a=b",
        "[x]",
        "]]",
        "\\u0022",
        "{",
        "é\u202e",
    ]
)


@settings(max_examples=150)
@given(
    model=TEXTS | NASTY,
    url=TEXTS | NASTY,
    api_key=TEXTS | NASTY,
    name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,9}", fullmatch=True),
)
def test_no_value_breaks_out_of_its_place_in_the_file(model: str, url: str, api_key: str, name: str) -> None:
    text = TEXT.replace("{mock}", "http://127.0.0.1:9")
    before = tomllib.loads(text)
    changed = put_first(set_provider(text, name, {"api_key": api_key, "base_url": url}), [1], new=f"{name}:{model}")
    after = tomllib.loads(changed)
    table = after["provider"].pop(name)
    assert (table["api_key"], table["base_url"]) == (api_key.replace("${", "$${"), url.replace("${", "$${"))
    assert after["backend"].pop(0) == {"model": f"{name}:{model}".replace("${", "$${")}
    before["provider"].pop(name, None)
    assert after["backend"] == [before["backend"][number] for number in (1, 0, 2)]
    after["backend"] = before["backend"]
    assert after == before


@pytest.mark.parametrize(
    "field",
    [
        {"provider": 'o"]\n[admin]\ntoken = "mine"\n[x."y'}, {"provider": "../o"}, {"provider": "o\x00"},
        {"provider": ""}, {"model": 'x"\n[admin]\n"'}, {"model": "a\tb"}, {"model": "a\x00b"}, {"model": "a\u2028b"},
        {"base_url": "http://h/v1\n[admin]"}, {"base_url": "http://h\r\nx: y/v1"}, {"base_url": "http://u:p@h/v1"},
        {"base_url": "http://h\x00/v1"}, {"base_url": "javascript:alert(1)"}, {"base_url": "http://[::1/v1"},
        {"api_key": "sk-a\r\nx-evil: 1"}, {"api_key": "sk-a\x00b-0123456"}, {"api_key": "sk-\u00e9-0123456789"},
    ],
)  # fmt: skip
async def test_line_breaks_and_strange_addresses_change_nothing(tmp_path: Path, field: dict[str, str]) -> None:
    async with living(tmp_path, TEXT.replace('headers = { x-secret = "sk-header-canary-0123456789" }', "")) as live:
        before = live.file.read_bytes(), live.house
        for path in ("update-key", "switch-provider", "update", "validate-key"):
            body = {
                "provider": "o",
                "model": "gpt",
                "api_key": "sk-new-0123456789",
                "base_url": "http://127.0.0.1:9/v1",
            }
            answer = await live.ask(
                "POST", f"/api/config/{path}", body=packed(body | field), headers=[("x-api-key", TOKEN)]
            )
            assert answer.status in (400, 409), (path, answer.body)
            assert (answer.json["status"], "evil" in answer.body.decode()) == ("error", False)
        assert (live.file.read_bytes(), live.house) == before


# What clients make up does not pile up


async def test_no_word_of_a_client_becomes_a_label(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        for number in range(60):
            made_up = f"made-up-{number}"
            headers = [("x-client", made_up), ("user-agent", f"{made_up}/1.0"), ("x-api-key", KEY)]
            for body in (CHAT | {"model": made_up}, CHAT | {"model": f"gpt-{made_up}", "user": made_up}):
                await live.ask("POST", "/v1/chat/completions", body=packed(body), headers=headers)
            await live.ask("POST", f"/{made_up}/chat", body=b"{}", headers=headers)
            await live.ask("POST", "/v1/chat/completions", body=b"{}", headers=[("x-api-key", made_up)])
        told = await live.ask("GET", "/metrics", headers=[("x-api-key", TOKEN)])
        standing = await live.ask("GET", "/api/status", headers=[("x-api-key", TOKEN)])
    samples = [each for family in text_string_to_metric_families(told.body.decode()) for each in family.samples]
    assert b"made-up" not in told.body + standing.body
    assert sum(each.value for each in samples if each.name == "llmux_requests_total") == 180
    assert len([each for each in samples if each.name == "llmux_requests_total"]) <= 4


def test_a_flood_of_strangers_leaves_the_others_to_be_read(tmp_path: Path) -> None:
    file = FactsFile(tmp_path / "f.sqlite")

    def fact(number: int, error: str) -> Fact:
        return Fact(
            float(number), str(number), "openai", 401 if error else 200, "refused" if error else "ok", 0.1, error=error
        )

    for second in range(20):
        flood = [fact(number, "unauthorized") for number in range(2000)]
        file.add([fact(second, ""), *flood], Worker(1, float(second), 0))
    listed = [one for _, one in file.requests(limit=KEPT)]
    assert len([one for one in listed if not one.error]) == 20
    assert len(listed) == 20 * 11
    assert file.totals(())[0].requests == 20 * 2001
    file.close()


async def test_a_thousand_backends_are_told_of_at_once(tmp_path: Path) -> None:
    many = "".join(
        f'[[backend]]\nname = "b{n}"\nmodel = "o:m{n}"\ncontext = 9\nmax_per_hour = 5\n' for n in range(1000)
    )
    async with living(tmp_path, TEXT + many) as live:
        facts = Facts(FactsFile(None))
        for number in range(1000):
            facts.note(
                Fact(time.time(), "r", "openai", 200, "ok", 0.1, "laptop", "", "", "m", f"b{number}", attempts=1)
            )
        told = await standing(live.house, facts)
        assert len(told["backends"]) == 1003
        assert told["backends"][-1]["statistics"]["requests"] == 1
        await facts.aclose()
