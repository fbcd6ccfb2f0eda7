"""Who may call: every route, every way to get a key wrong. Nobody gets in, nobody is told more than that."""

from __future__ import annotations

import pytest

from llmux.gateway.routes import TABLE
from tests.gateway.abuse_given import CHAT, KEY, KEYED, MESSAGES, entered, packed, said

ROUTES = [
    ("POST", "/v1/messages", "anthropic", MESSAGES),
    ("POST", "/anthropic/v1/messages", "anthropic", MESSAGES),
    ("POST", "/v1/messages/count_tokens", "anthropic", MESSAGES),
    ("POST", "/anthropic/v1/messages/count_tokens", "anthropic", MESSAGES),
    ("POST", "/v1/chat/completions", "openai", CHAT),
    ("POST", "/v1/completions", "openai", {"model": "gpt", "prompt": "hello"}),
    ("POST", "/v1/embeddings", "openai", {"model": "gpt", "input": "hello"}),
    ("POST", "/v1/route/explain", "openai", CHAT),
    ("GET", "/v1/models", "openai", None),
    ("GET", "/v1/models/o:gpt", "openai", None),
    ("GET", "/anthropic/v1/models", "anthropic", None),
]

WRONG: dict[str, list[tuple[str, str | bytes]]] = {
    "no key": [],
    "empty x-api-key": [("x-api-key", "")],
    "empty Authorization": [("authorization", "")],
    "no key after Bearer": [("authorization", "Bearer")],
    "blank after Bearer": [("authorization", "Bearer ")],
    "another key": [("x-api-key", "another-key-of-thirty-two-characters-or-more")],
    "another bearer": [("authorization", "Bearer another-key-of-thirty-two-characters")],
    "a prefix of the key": [("x-api-key", KEY[:-1])],
    "the key and more": [("x-api-key", f"{KEY}x")],
    "the key in capitals": [("x-api-key", KEY.upper())],
    "the key and a tab": [("x-api-key", f"{KEY}\t")],
    "a tab after Bearer": [("authorization", f"Bearer\t{KEY}")],
    "two blanks after Bearer": [("authorization", f"Bearer  {KEY}")],
    "lower-case bearer": [("authorization", f"bearer {KEY}")],
    "Basic": [("authorization", f"Basic {KEY}")],
    "no scheme": [("authorization", KEY)],
    "a scheme in x-api-key": [("x-api-key", f"Bearer {KEY}")],
    "a megabyte": [("x-api-key", KEY * 24_000)],
    "a megabyte of bearer": [("authorization", f"Bearer {KEY * 24_000}")],
    "not ASCII": [("x-api-key", "schlüssel-schlüssel-schlüssel".encode())],
    "not UTF-8": [("authorization", b"Bearer \xff\xfe\xfd")],
    "NUL": [("x-api-key", f"{KEY}\0")],
    "two x-api-keys": [("x-api-key", KEY), ("x-api-key", "x")],
    "x-api-key twice": [("x-api-key", KEY), ("x-api-key", KEY)],
    "Authorization twice": [("authorization", f"Bearer {KEY}"), ("Authorization", f"Bearer {KEY}")],
    "both, and they differ": [("x-api-key", KEY), ("authorization", "Bearer another-key-of-thirty-two")],
    "both, one empty": [("x-api-key", ""), ("authorization", f"Bearer {KEY}")],
    "the other way": [("x-api-key", "another"), ("authorization", f"Bearer {KEY}")],
    "an SQL injection": [("authorization", "Bearer ' OR 1=1 --")],
    "another header": [("api-key", KEY), ("x-goog-api-key", KEY), ("cookie", f"key={KEY}")],
}


async def test_every_route_refuses_every_wrong_credential() -> None:
    async with entered(KEYED) as gate:
        for method, path, dialect, body in ROUTES:
            for name, headers in WRONG.items():
                answer = await gate.ask(method, path, body=packed(body) if body else b"", headers=headers)
                assert answer.status == 401, f"{path}, {name}: {answer.status}"
                assert answer.dialect() == dialect, f"{path}, {name}"
                assert answer.headers["x-should-retry"] == "false"
                assert KEY[:12].encode() not in said(answer)
                assert b"another-key" not in said(answer)
        assert len(gate.provider.requests) == 0


@pytest.mark.parametrize(
    "headers",
    [
        [("x-api-key", KEY)],
        [("authorization", f"Bearer {KEY}")],
        [("Authorization", f"Bearer {KEY}"), ("X-Api-Key", KEY)],
    ],
)
async def test_every_route_takes_the_key_in_each_right_place(headers: list[tuple[str, str]]) -> None:
    async with entered(KEYED) as gate:
        for method, path, _, body in ROUTES:
            answer = await gate.ask(method, path, body=packed(body) if body else b"", headers=headers)
            assert answer.status != 401, path
            assert answer.status != 500, path


async def test_a_key_in_the_query_opens_nothing() -> None:
    async with entered(KEYED) as gate:
        for query in (f"key={KEY}", f"api_key={KEY}", f"x-api-key={KEY}"):
            assert (await gate.ask("GET", "/v1/models", query=query)).status == 401


async def test_the_body_of_a_stranger_is_taken_in_up_to_a_bound_and_never_looked_at() -> None:
    pieces = iter([b"{" * 100_000] * 100)
    async with entered(f"max_body = 100000\n{KEYED}") as gate:
        answer = await gate.ask("POST", "/v1/messages", body=pieces, headers=[("content-length", "10000000")])
        waiting = [("content-length", "10"), ("expect", "100-continue")]
        assert (await gate.ask("POST", "/v1/messages", body=[b"{"] * 9, headers=waiting)).status == 401
    assert answer.status == 401
    assert 90 <= len(list(pieces)) <= 97


async def test_no_way_to_write_a_path_goes_around_the_key() -> None:
    paths = [
        "//v1/models",
        "/v1//models",
        "/v1/models/",
        "/v1/models//",
        "/./v1/models",
        "/v1/../v1/models",
        "/V1/models",
    ]
    async with entered(KEYED) as gate:
        for path in paths:
            answer = await gate.ask("GET", path)
            assert answer.status in (401, 404), path
            assert answer.dialect() == "openai"


async def test_only_health_and_the_root_are_open_and_tell_nothing() -> None:
    async with entered(KEYED) as gate:
        for method in ("GET", "HEAD"):
            for path in ("/", "/health"):
                answer = await gate.ask(method, path)
                assert answer.status == 200
                for secret in (KEY, "gpt", "claude", gate.url):
                    assert secret.encode() not in said(answer)


async def test_a_route_that_is_new_is_refused_to_strangers_too() -> None:
    async with entered(KEYED) as gate:
        for row in TABLE:
            for path in row.paths:
                answer = await gate.ask(row.methods[0], path, body=b"{}")
                assert answer.status == (403 if "admin" in row.needs else 401 if row.needs else 200), path
                assert answer.status != 401 or answer.headers["x-should-retry"] == "false"
        open_ = {path for row in TABLE if not row.needs for path in row.paths}
        assert open_ == {"/api/health", "/ready", "/metrics", "/ollama"}  # the last one looks by itself
