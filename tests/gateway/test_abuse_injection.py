"""What a client writes stays where it was written: in no header, no log line, no address, no credential."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.gateway import abuse_bodies
from tests.gateway.abuse_given import CHAT, KEY, KEYED, MESSAGES, OPEN, UPSTREAM_KEY, Gate, entered, packed, said

BREAKS = ["a\r\nx-injected: 1", "a\nx-injected: 1", "a\rx-injected: 1", "a\0x-injected: 1", "a\r\n\r\nHTTP/1.1 200 OK"]
ROUTES = {"/v1/messages": abuse_bodies.MESSAGES, "/v1/chat/completions": abuse_bodies.CHAT}
PLAIN = {"/v1/messages": MESSAGES, "/v1/chat/completions": CHAT}
UPSTREAMS = ("gpt", "claude")


def injected(gate: Gate) -> list[tuple[str, str]]:
    """Headers that reached the provider and are not ours."""
    return [pair for one in gate.provider.requests for pair in one.headers if "injected" in f"{pair}".lower()]


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("text", BREAKS)
async def test_line_breaks_in_a_body_make_no_header(path: str, upstream: str, text: str) -> None:
    body = ROUTES[path] | {"model": upstream}
    fields: list[dict[str, Any]] = [
        {"model": text},
        {"model": f"{upstream}-{text}"},
        {"user": text},
        {"metadata": {"user_id": text, text: text}},
        {"prompt_cache_key": text},
        {text: text},
        {text: {text: [text]}},
        {"tools": [{"name": text, "input_schema": {}}]},
        {"tools": [{"type": "function", "function": {"name": text, "parameters": {}}}]},
        {"stop": [text], "stop_sequences": [text]},
        {"service_tier": text},
        {"stream": True, text: 1},
    ]
    async with entered() as gate:
        for field in fields:
            answer = await gate.ask("POST", path, body=json.dumps(body | field).encode())
            assert answer.status in (200, 400, 404), answer.body[:300]
            assert not [name for name in answer.names if "injected" in name], field
            assert not [value for value in answer.headers.values() if set(value) & set("\r\n\0")], field
        assert injected(gate) == []


async def test_what_an_upstream_says_makes_no_header_either() -> None:
    async with entered(provider=Provider(faults=[Fault(status=400, message=BREAKS[0])])) as gate:
        for path, body in ROUTES.items():
            answer = await gate.ask("POST", path, body=packed(body | {"model": "gpt"}))
            assert answer.status == 400
            assert not [value for value in answer.headers.values() if set(value) & set("\r\n\0")]


ELSEWHERE = "http://127.0.0.1:9/evil"
STEERING: dict[str, Any] = {
    "api_base": ELSEWHERE, "base_url": ELSEWHERE, "url": ELSEWHERE, "endpoint": ELSEWHERE, "proxy": ELSEWHERE,
    "api_key": "sk-client-canary-000000", "api_version": "2020-01-01", "organization": "org-evil",
    "custom_llm_provider": "evil", "deployment_id": "evil", "extra_headers": {"authorization": "Bearer evil"},
    "headers": {"authorization": "Bearer evil", "x-evil": "1"}, "extra_body": {"model": "evil"},
    "extra_query": {"key": "evil"}, "fallbacks": [{"model": "evil", "api_base": ELSEWHERE}],
    "provider": {"only": ["x"]},
}  # fmt: skip
STEERING_HEADERS = [
    ("x-api-base", ELSEWHERE), ("x-base-url", ELSEWHERE), ("x-portkey-config", ELSEWHERE), ("x-evil", "1"),
    ("openai-organization", "org-evil"), ("openai-project", "proj-evil"), ("x-goog-api-key", "evil"),
    ("api-key", "evil"),
    ("cookie", "session=evil"), ("proxy-authorization", "Basic evil"), ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-host", "evil.example"), ("forwarded", "for=6.6.6.6"), ("te", "trailers"), ("via", "evil"),
    ("x-http-method-override", "DELETE"), ("x-original-url", "/evil"), ("referer", ELSEWHERE),
]  # fmt: skip


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("key", [True, False])
async def test_no_field_or_header_says_where_a_request_goes_or_who_pays(path: str, upstream: str, key: bool) -> None:
    body = PLAIN[path] | {"model": upstream}
    config = KEYED if key else KEYED.replace(f'api_key = "{UPSTREAM_KEY}"', "")
    mine = [("authorization", f"Bearer {KEY}"), ("x-api-key", KEY)]
    async with entered(config) as gate:
        for name, value in STEERING.items():
            await gate.ask("POST", path, body=packed(body | {name: value}), headers=mine)
        answer = await gate.ask("POST", path, body=packed(body), headers=[*mine, *STEERING_HEADERS])
        assert answer.status == 200
        assert len(gate.provider.requests) > 1
        for one in gate.provider.requests:
            assert one.path == ("/v1/messages" if upstream == "claude" else "/v1/chat/completions")
            headers = {name.lower(): value for name, value in one.headers}
            assert headers["host"] in gate.url
            assert not {"evil", "6.6.6.6", "http://127.0.0.1:9"} & set(" ".join(headers.values()).split("=" and " "))
            assert "evil" not in " ".join(headers.values())
            assert not headers.keys() & {
                "cookie",
                "openai-organization",
                "openai-project",
                "via",
                "forwarded",
                "referer",
            }
            assert KEY not in f"{one.headers}{one.body.decode()}"
            sent = headers.get("authorization", headers.get("x-api-key", ""))
            assert sent.removeprefix("Bearer ") == (UPSTREAM_KEY if key else "")


async def test_pictures_are_never_fetched_here() -> None:
    there = Provider()
    async with entered() as gate, entered(provider=there) as trap:
        for scheme in (
            f"{trap.url}/latest/meta-data",
            "http://169.254.169.254/",
            "file:///etc/passwd",
            "http://[::1]/",
        ):
            part = {"type": "image_url", "image_url": {"url": scheme}}
            source = {"type": "image", "source": {"type": "url", "url": scheme}}
            for model in UPSTREAMS:
                chat = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": [part]}]}
                message = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": [source]}]}
                assert (await gate.ask("POST", "/v1/chat/completions", body=packed(chat))).status in (200, 400)
                assert (await gate.ask("POST", "/v1/messages", body=packed(message))).status in (200, 400)
        assert len(there.requests) == 0


async def test_no_answer_shows_a_key_or_where_the_provider_lives() -> None:
    mine = [("x-api-key", KEY)]
    words = f"{UPSTREAM_KEY} at http://10.1.2.3/"
    faults = [Fault(status=status, message=words) for status in (400, 401, 429, 500)]
    for fault in faults:
        async with entered(f"max_retries = 0\n{KEYED}", Provider(faults=[fault])) as gate:
            for path, body in ROUTES.items():
                for stream in (False, True):
                    whole = said(await gate.ask("POST", path, body=packed(body | {"stream": stream}), headers=mine))
                    for secret in (UPSTREAM_KEY, KEY, "10.1.2.3", gate.url.removeprefix("http://")):
                        assert secret.encode() not in whole, (path, fault.status)


async def test_an_open_llmux_never_sends_a_credential_on() -> None:
    canary = "sk-ant-client-canary-0000000000000000"
    config = OPEN.replace(f'api_key = "{UPSTREAM_KEY}"', "")
    async with entered(config) as gate:
        for path, body in ROUTES.items():
            for model in UPSTREAMS:
                for name, value in (("authorization", f"Bearer {canary}"), ("x-api-key", canary), ("cookie", canary)):
                    await gate.ask("POST", path, body=packed(body | {"model": model}), headers=[(name, value)])
        assert len(gate.provider.requests) >= 6
        for one in gate.provider.requests:
            assert canary not in f"{one.headers}{one.body!r}{one.request.target}"
            assert not {"authorization", "x-api-key"} & {name.lower() for name, _ in one.headers}
