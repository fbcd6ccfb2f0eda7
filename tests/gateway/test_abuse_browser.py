"""Web pages that try to spend the user's money through a llmux on loopback that asks for no key."""

from __future__ import annotations

import pytest

from tests.gateway.abuse_given import CHAT, KEY, KEYED, MESSAGES, OPEN, entered, packed

EVIL = "https://evil.example"
POSTS = {"/v1/messages": ("anthropic", MESSAGES), "/v1/chat/completions": ("openai", CHAT)}

LOCAL = ["localhost", "localhost:8082", "127.0.0.1:8082", "127.8.9.1", "[::1]:8082", "[::1]", "LOCALHOST:1"]
FOREIGN = [
    "evil.example", "evil.example:8082", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1.nip.io",
    "evil.example#localhost", "localhost@evil.example", "0.0.0.0:8082", "[::]:8082", "[::ffff:10.0.0.1]", "10.0.0.1",
    "2130706433", "0x7f.1", "localhost.", "", " ", "[", "[::1", "localhost evil.example", "localhost,evil.example",
    "a" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("path", POSTS)
async def test_without_keys_it_answers_under_local_names_only(path: str) -> None:
    dialect, body = POSTS[path]
    async with entered() as gate:
        for host in LOCAL:
            assert (await gate.ask("POST", path, body=packed(body), host=host)).status == 200, host
        gate.provider.requests.clear()
        for host in (*FOREIGN, None):
            answer = await gate.ask("POST", path, body=packed(body), host=host)
            assert answer.status in (400, 403), host
            assert answer.dialect() == dialect, host
            assert len(answer.body) < 1000
        twice = await gate.ask("POST", path, body=packed(body), headers=[("host", "localhost")])
        assert twice.status == 400
        assert len(gate.provider.requests) == 0


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", EVIL)],
        [("origin", EVIL), ("content-type", "text/plain")],
        [("origin", EVIL), ("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-mode", "no-cors")],
        [("origin", "null")],
        [("origin", "")],
        [("origin", "http://localhost.evil.example")],
        [("origin", "http://127.0.0.1.evil.example:8082")],
        [("origin", "http://localhost"), ("origin", EVIL)],
        [("origin", "file://")],
        [("origin", "http://[::1")],
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "cross-site"), ("content-type", "text/plain")],
    ],
)
async def test_a_foreign_page_spends_nothing(headers: list[tuple[str, str]]) -> None:
    async with entered() as gate:
        for path, (dialect, body) in POSTS.items():
            answer = await gate.ask("POST", path, body=packed(body), headers=headers)
            assert (answer.status, answer.dialect()) == (403, dialect)
        assert (await gate.ask("GET", "/v1/models", headers=headers)).status == 403
        assert len(gate.provider.requests) == 0


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:5173", "https://localhost"]
)
async def test_a_local_page_and_a_program_without_origin_may_call(origin: str) -> None:
    async with entered() as gate:
        for headers in ([("origin", origin)], [], [("sec-fetch-site", "same-origin")], [("sec-fetch-site", "none")]):
            assert (await gate.ask("POST", "/v1/messages", body=packed(MESSAGES), headers=headers)).status == 200


async def test_names_that_the_operator_allows_are_local() -> None:
    async with entered(f'{OPEN}\n[network]\nallowed_hosts = ["llm.home.arpa"]\n') as gate:
        for host, status in (("llm.home.arpa", 200), ("LLM.home.arpa:8082", 200), ("x.llm.home.arpa", 403)):
            assert (await gate.ask("POST", "/v1/messages", body=packed(MESSAGES), host=host)).status == status


async def test_a_key_stands_in_for_the_gate() -> None:
    headers = [("origin", EVIL), ("x-api-key", KEY)]
    async with entered(KEYED) as gate:
        answer = await gate.ask("POST", "/v1/messages", body=packed(MESSAGES), headers=headers, host="llm.example")
        assert answer.status == 200
        assert not [name for name in answer.names if name.startswith("access-control")]


async def test_on_an_open_bind_pages_are_still_kept_out() -> None:
    async with entered(f'host = "0.0.0.0"\n{OPEN}') as gate:
        body = packed(MESSAGES)
        assert (await gate.ask("POST", "/v1/messages", body=body, host="10.0.0.1:8082")).status == 200
        assert (await gate.ask("POST", "/v1/messages", body=body, headers=[("origin", EVIL)])).status == 403


PREFLIGHT = [
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "x-api-key,content-type,anthropic-version"),
]


async def test_nobody_is_told_that_pages_may_call_unless_the_operator_says_so() -> None:
    for config in (OPEN, KEYED):
        async with entered(config) as gate:
            for path in (*POSTS, "/v1/models", "/health", "/", "/nothing"):
                for method in ("OPTIONS", "GET", "POST"):
                    answer = await gate.ask(method, path, headers=[("origin", EVIL), *PREFLIGHT])
                    assert not [name for name in answer.names if name.startswith("access-control")], (method, path)
                    assert method != "OPTIONS" or answer.status in (204, 404, 405)  # 204: of the open pages


@pytest.mark.parametrize("config", [OPEN, KEYED])
async def test_a_listed_origin_gets_its_preflight_and_its_answers(config: str) -> None:
    app = "https://app.example"
    async with entered(f'cors_origins = ["{app}"]\n{config}') as gate:
        preflight = await gate.ask("OPTIONS", "/v1/messages", headers=[("origin", app), *PREFLIGHT])
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == app
        assert "x-api-key" in preflight.headers["access-control-allow-headers"]
        headers = [("origin", app), ("x-api-key", KEY)]
        answer = await gate.ask("POST", "/v1/messages", body=packed(MESSAGES), headers=headers)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, app)
        wrong = await gate.ask("POST", "/v1/messages", body=b"{", headers=headers)
        assert (wrong.status, wrong.headers["access-control-allow-origin"]) == (400, app)


@pytest.mark.parametrize("origin", [EVIL, "https://app.example.evil.example", "http://app.example", "null"])
async def test_another_origin_gets_neither(origin: str) -> None:
    async with entered(f'cors_origins = ["https://app.example"]\n{OPEN}') as gate:
        preflight = await gate.ask("OPTIONS", "/v1/messages", headers=[("origin", origin), *PREFLIGHT])
        answer = await gate.ask("POST", "/v1/messages", body=packed(MESSAGES), headers=[("origin", origin)])
        assert (preflight.status, answer.status) == (400, 403)
        for each in (preflight, answer):
            assert "access-control-allow-origin" not in each.headers
        assert len(gate.provider.requests) == 0
