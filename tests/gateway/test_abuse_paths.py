"""What the framework finds wrong, and what it must not find: paths, methods, upgrades, faults of our own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from llmux.gateway import entry
from tests.gateway.abuse_given import CHAT, KEY, KEYED, MESSAGES, entered, packed

NOWHERE = {
    "/nothing": "openai",
    "/v1": "openai",
    "/v2/chat/completions": "openai",
    "/v1/chat": "openai",
    "/v1/chat/completions/x": "openai",
    "/v1/messages/x": "anthropic",
    "/v1/messages/batches": "anthropic",
    "//v1/messages/x": "anthropic",
    "/anthropic": "anthropic",
    "/anthropic/v1/nothing": "anthropic",
    "/v1/messages%2f": "anthropic",
    "/v1/messages/../messages/x": "anthropic",
    "/v1/audio/speech": "openai",
    "/v1/files/../messages": "openai",
    "/%00": "openai",
    "/\x00": "openai",
    "/..%2f..%2fetc/passwd": "openai",
    "/../../etc/passwd": "openai",
    "/" + "x" * 60_000: "openai",
    "/{path}": "openai",
    "/é": "openai",
    "/v1/mess\udcffages": "openai",
}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_is_404_in_the_words_of_the_path(method: str) -> None:
    async with entered() as gate:
        for path, dialect in NOWHERE.items():
            answer = await gate.ask(method, path, body=b"{}")
            assert answer.status in (404, 405), ascii(path[:60])
            assert answer.dialect() == dialect, ascii(path[:60])
            assert len(answer.body) < 1000
            assert "etc/passwd" not in answer.headers.values()


HINTS = {
    "/v1/v1/messages": ("anthropic", "ANTHROPIC_BASE_URL must not end in /v1"),
    "/messages": ("anthropic", "it is /v1/messages"),
    "/chat/completions": ("openai", "OPENAI_BASE_URL (base_url of OpenAI's SDKs) must end in /v1"),
    "/embeddings": ("openai", "must end in /v1"),
    "/models": ("openai", "must end in /v1"),
    "/responses": ("openai", "must end in /v1"),
    "/v1/v1/chat/completions": ("openai", "/v1 is in it twice"),
    "/completions": ("openai", "must end in /v1"),
    "/v1/responses/resp_1": ("openai", "answers are not kept here"),
    "/v1/conversations": ("openai", "conversations are not kept here"),
    "/nothing": ("openai", "see /v1/models"),
}


async def test_the_commonest_wrong_addresses_are_told_what_to_change() -> None:
    async with entered() as gate:
        for path, (dialect, words) in HINTS.items():
            answer = await gate.ask("POST", path, body=b"{}")
            assert (answer.status, answer.dialect()) == (404, dialect), path
            assert words in answer.json["error"]["message"], path


async def test_what_the_framework_refuses_has_its_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with entered() as gate:
        capsys.readouterr()
        missing = await gate.ask("POST", "/v1/v1/messages", body=b"{}")
        await gate.ask("PUT", "/health")
    told = [msgspec.json.decode(line) for line in capsys.readouterr().err.splitlines()]
    first, second = (line for line in told if line["event"] == "request")
    assert (first["event"], first["level"], first["protocol"]) == ("request", "info", "anthropic")
    assert (first["path"], first["status"], first["error"]) == ("/v1/v1/messages", 404, "not_found")
    assert first["request"] == missing.headers["x-llmux-request-id"]
    assert (second["status"], second["error"]) == (405, "method_not_allowed")


async def test_the_version_header_makes_an_unknown_path_anthropics() -> None:
    async with entered() as gate:
        answer = await gate.ask("GET", "/nothing", headers=[("anthropic-version", "2023-06-01")])
        assert (answer.status, answer.dialect()) == (404, "anthropic")


async def test_a_wrong_method_is_405_in_the_words_of_the_path() -> None:
    posts = {"/v1/messages": "anthropic", "/v1/messages/count_tokens": "anthropic", "/v1/chat/completions": "openai"}
    wrong = ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW", "post", "X" * 500]
    async with entered(KEYED) as gate:
        for path, dialect in posts.items():
            for method in wrong:
                answer = await gate.ask(method, path, headers=[("x-api-key", KEY)])
                assert answer.status == 405, method
                assert (answer.body == b"") if method == "HEAD" else answer.dialect() == dialect
        for path in ("/v1/models", "/v1/models/gpt", "/", "/health"):
            answer = await gate.ask("POST", path, headers=[("x-api-key", KEY)], body=packed(CHAT))
            assert (answer.status, answer.dialect()) == (405, "openai"), path


async def test_slashes_do_not_matter_and_case_does() -> None:
    async with entered() as gate:
        for path in ("/v1/messages", "/v1/messages/", "//v1/messages", "//v1//messages//"):
            answer = await gate.ask("POST", path, body=packed(MESSAGES))
            assert answer.status == 200, path
            wrong = await gate.ask("POST", path, body=b"{")
            assert (wrong.status, wrong.dialect()) == (400, "anthropic"), path
        assert (await gate.ask("POST", "/V1/Messages", body=packed(MESSAGES))).status == 404


async def test_head_has_no_body_and_the_same_status() -> None:
    async with entered() as gate:
        for path in ("/", "/health", "/v1/models", "/v1/models/gpt", "/anthropic/v1/models", "/nothing"):
            whole, head = await gate.ask("GET", path), await gate.ask("HEAD", path)
            assert head.body == b""
            assert head.status in (whole.status, 405), path


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions", "/v1/models", "/v1/route/explain"])
async def test_a_websocket_is_refused_at_once_and_other_upgrades_are_ignored(path: str) -> None:
    method, body = ("GET", b"") if path == "/v1/models" else ("POST", packed(CHAT))
    async with entered() as gate:
        for offered, upgraded in (("websocket", True), ("WebSocket", True), ("h2c", False), ("TLS/1.0", False)):
            headers = [("connection", "upgrade"), ("upgrade", offered), ("sec-websocket-key", "x")]
            answer = await gate.ask(method, path, body=body, headers=headers)
            assert answer.status == (400 if upgraded else 200), offered
        refused = await gate.ask("GET", "/v1/chat/completions", headers=[("upgrade", "websocket")])
        assert refused.status in (400, 405)


@pytest.mark.parametrize(
    "name", ["\x00", "..", "a/b/c", "%2f", "x" * 50_000, "é", "\udcff", "{}", "gpt?x=1", "gpt#x", " "]
)
async def test_any_model_name_is_looked_up_and_none_breaks_the_list(name: str) -> None:
    async with entered() as gate:
        for prefix, dialect in (("/v1/models", "openai"), ("/anthropic/v1/models", "anthropic")):
            answer = await gate.ask("GET", f"{prefix}/{name}")
            assert answer.status in (200, 404), ascii(name[:40])
            if answer.status == 404:
                assert answer.dialect() == dialect
                assert len(answer.body) < 1500


@pytest.mark.parametrize(
    "query", ["beta=true", "=", "&&&", "a" * 50_000, "a=1&" * 10_000, "%", "%ff=%ff", "limit=x", "\x7f"]
)
async def test_queries_change_nothing(query: str) -> None:
    async with entered() as gate:
        for path, body in (("/v1/messages", MESSAGES), ("/v1/chat/completions", CHAT)):
            assert (await gate.ask("POST", path, body=packed(body), query=query)).status == 200
        for path in ("/v1/models", "/anthropic/v1/models"):
            assert (await gate.ask("GET", path, query=query)).status in (200, 400)


@pytest.mark.parametrize("query", ["protocol=nobody", "protocol=", "protocol=__class__", "body=1&protocol=anthropic"])
async def test_explain_takes_any_query(query: str) -> None:
    async with entered() as gate:
        for body in (CHAT, MESSAGES, {}, {"model": "nobody"}, {"model": "gpt", "messages": []}):
            answer = await gate.ask("POST", "/v1/route/explain", body=packed(body), query=query)
            assert answer.status in (200, 400, 404)


class Broken(Exception):
    """A fault of our own."""


@pytest.mark.parametrize("place", ["read_headers", "read_body"])
async def test_a_fault_of_our_own_is_a_500_in_the_words_of_the_path(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> Any:
        raise Broken("the words of a client")

    monkeypatch.setattr(entry, place, fail)
    async with entered() as gate:
        for path, dialect in (("/v1/messages", "anthropic"), ("/v1/chat/completions", "openai")):
            answer = await gate.ask("POST", path, body=packed(CHAT))
            assert (answer.status, answer.dialect()) == (500, dialect)
            assert b"words of a client" not in answer.body
    told = capsys.readouterr().err
    assert told.count('"internal error"') == 2
    assert "words of a client" not in told


@pytest.mark.parametrize(
    "lines", [[("cookie", "x" * 60_000)], [("x-llmux-backend", "forged"), ("x-request-id", "a\tb")]]
)
async def test_headers_of_ours_cannot_be_sent_to_us(lines: list[tuple[str, str]]) -> None:
    async with entered() as gate:
        answer = await gate.ask("POST", "/v1/messages", body=packed(MESSAGES), headers=lines)
        assert answer.status == 200
        assert answer.headers["x-llmux-backend"] == "a:claude"
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.names.count("x-request-id") == 1
