"""What llmux tells of itself: every request is counted once, for whom and where, and nobody else is told."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from llmux.access.gateway_keys import add_key
from llmux.access.vault import open_vault
from llmux.cli import cli
from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from llmux.state.facts_file import FactsFile
from tests.gateway.abuse_given import CHAT, Answer, packed
from tests.gateway.keys_given import key, secret_of
from tests.gateway.living import Live, living

TOKEN = "an-admin-token-of-thirty-two-characters"
CLIENT = "a-client-key-of-thirty-two-characters-or-more"
ADMIN = f'[admin]\ntoken = "{TOKEN}"\n'
TEXT = f"""
[tokens]
laptop = "{CLIENT}"

[state]
path = "state.db"

[endpoints.raw]
target_base = "{{mock}}"

[provider.openai]
base_url = "{{mock}}/one/v1"
api_key = "sk-upstream-0123456789abcdef"

[provider.b]
base_url = "{{mock}}/two/v1"
api_key = "sk-upstream-0123456789abcdef"

[[backend]]
model = "openai:gpt-4o"
max_per_hour = 100

[[backend]]
model = "b:other"
context = 100000
"""


async def chat(live: Live, **fields: Any) -> Answer:
    headers = [("x-api-key", CLIENT), ("user-agent", "claude-cli/2.1"), ("content-type", "application/json")]
    return await live.ask("POST", "/v1/chat/completions", body=packed(CHAT | fields), headers=headers)


async def told(live: Live, path: str, query: str = "") -> Any:
    return (await live.ask("GET", path, query=query, headers=[("x-api-key", TOKEN)])).json


async def scraped(live: Live) -> Callable[..., float]:
    """What reads one sample, by its name and its labels."""
    answer = await live.ask("GET", "/metrics", headers=[("authorization", f"Bearer {TOKEN}")])
    assert answer.status == 200
    families = text_string_to_metric_families(answer.body.decode())
    samples = [(each.name, each.labels, each.value) for family in families for each in family.samples]

    def value(name: str, **labels: str) -> float:
        [found] = [value for each, own, value in samples if each == name and labels.items() <= own.items()]
        return found

    return value


async def test_a_request_is_counted_for_its_backend_client_and_program(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        assert (await chat(live)).status == 200
        found = await told(live, "/api/status")
        [first, second] = found["backends"]
        assert (first["name"], first["state"], first["statistics"]["ok"]) == ("openai:gpt-4o", "ok", 1)
        assert first["statistics"]["input"] > 0
        assert first["statistics"]["cost"] > 0
        assert first["windows"] == [
            {"kind": "requests", "window": 3600.0, "limit": 100, "used": 1, "left": 99}
            | {"reset": first["windows"][0]["reset"]}
        ]
        assert second["statistics"]["requests"] == 0
        assert [(row["name"], row["statistics"]["requests"]) for row in found["clients"]] == [("laptop", 1)]
        assert [row["name"] for row in found["programs"]] == ["claude-code"]


async def test_a_failover_is_told_with_its_attempts(tmp_path: Path) -> None:
    provider = Provider()
    provider.faults.set([Fault(path="/one/", status=529)])
    async with living(tmp_path, ADMIN + TEXT, provider=provider) as live:
        assert (await chat(live)).headers["x-llmux-backend"] == "b:other"
        [row] = (await told(live, "/api/requests"))["requests"]
        assert (row["backend"], row["attempts"], row["client"], row["model"]) == ("b:other", 2, "laptop", CHAT["model"])
        assert row["tried"] == [["openai:gpt-4o", "", "upstream_overloaded"]]
        [first, second] = (await told(live, "/api/status"))["backends"]
        assert (first["state"], first["cause"]) == ("cooling", "overloaded")
        assert first["statistics"] | {"failures": {"upstream_overloaded": 1}, "success": 0.0} == first["statistics"]
        assert second["statistics"]["success"] == 1.0


async def test_what_was_refused_has_no_backend(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        await live.ask("POST", "/v1/chat/completions", body=b"{", headers=[("x-api-key", CLIENT)])
        await live.ask("POST", "/v1/chat/completions", body=packed(CHAT), headers=[("x-api-key", "wrong")])
        await chat(live, model="b:unknown-model")
        rows = (await told(live, "/api/requests"))["requests"]
        assert [(row["outcome"], row["backend"]) for row in rows[:2]] == [("refused", "")] * 2
        assert [row["client"] for row in rows[:2]] == ["laptop", ""]
        assert (await told(live, "/api/status"))["total"]["refused"] >= 2


async def test_what_a_key_may_not_do_counts_for_that_key(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        vault = open_vault(live.house.config)
        add_key(vault, key("reader", permissions=("read",)))
        await live.until(lambda: live.house.issued.callers)
        headers = [("x-api-key", secret_of("reader"))]
        assert (await live.ask("POST", "/v1/chat/completions", body=packed(CHAT), headers=headers)).status == 403
        found = {row["name"]: row["statistics"] for row in (await told(live, "/api/status"))["clients"]}
        assert (found["reader"]["requests"], found["reader"]["refused"]) == (1, 1)


async def test_who_asks_how_llmux_is_is_not_counted_as_under_way(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        await chat(live)
        assert (await scraped(live))("llmux_requests_running") == 0
        assert [worker["running"] for worker in (await told(live, "/api/status"))["workers"]] == [0]


async def test_facts_that_cannot_be_read_are_no_fault_of_llmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:

        def broken(_file: FactsFile) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(FactsFile, "_opened", broken)
        for path in ("/metrics", "/api/status", "/api/requests"):
            answer = await live.ask("GET", path, headers=[("x-api-key", TOKEN)])
            assert (answer.status, "disk I/O error" in answer.json["message"]) == (503, True)


async def test_requests_go_on_after_a_number(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        for _ in range(3):
            await chat(live)
        first = await told(live, "/api/requests", "limit=2")
        assert [row["number"] for row in first["requests"]] == [2, 3]
        assert await told(live, "/api/requests", f"after={first['last']}") == {"requests": [], "last": 3}
        await chat(live)
        again = await told(live, "/api/requests", "after=3")
        assert [row["number"] for row in again["requests"]] == [4]
        assert (await live.ask("GET", "/api/requests", query="after=x", headers=[("x-api-key", TOKEN)])).status == 400


async def test_counters_agree_with_what_was_asked(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        for _ in range(3):
            await chat(live)
        await chat(live, stream=True)
        value = await scraped(live)
        mine = {"backend": "openai:gpt-4o"}
        assert value("llmux_requests_total", **mine, client="laptop", program="claude-code", outcome="ok") == 4
        assert value("llmux_attempts_total", **mine) == 4
        assert value("llmux_request_seconds_count", **mine) == 4
        assert value("llmux_request_seconds_bucket", **mine, le="+Inf") == 4
        assert value("llmux_first_content_seconds_count", **mine) >= 1
        assert value("llmux_tokens_total", **mine, kind="input") > 0
        assert value("llmux_window_used", **mine, kind="requests", window_seconds="3600") == 4
        assert value("llmux_backend_up", **mine) == value("llmux_backend_up", backend="b:other") == 1
        assert value("llmux_workers") == 1


async def test_counters_outlive_the_process(tmp_path: Path) -> None:
    for count in (1, 2):
        async with living(tmp_path, ADMIN + TEXT) as live:
            await chat(live)
            assert (await scraped(live))("llmux_requests_total", outcome="ok") == count


async def test_an_endpoint_counts_under_its_name(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        assert (await live.ask("GET", "/raw/v1/models", headers=[("x-llmux-key", CLIENT)])).status == 200
        [row] = (await told(live, "/api/requests"))["requests"]
        assert (row["backend"], row["client"], row["outcome"]) == ("/raw", "laptop", "ok")
        assert [other["name"] for other in (await told(live, "/api/status"))["others"]] == ["/raw"]


async def test_what_an_endpoint_s_target_answers_is_no_success_because_it_came(tmp_path: Path) -> None:
    provider = Provider()
    async with living(tmp_path, ADMIN + TEXT, provider=provider) as live:
        for status in (200, 404, 429, 503):
            provider.faults.set([Fault(status=status)] if status >= 400 else [])
            answer = await live.ask("GET", "/raw/v1/models", headers=[("x-llmux-key", CLIENT)])
            assert answer.status == status
        assert (await live.ask("GET", "/raw/v1/models", headers=[("x-llmux-key", "wrong")])).status == 401
        [other] = (await told(live, "/api/status"))["others"]
        found = other["statistics"]
        assert (found["ok"], found["refused"], found["failed"], found["attempts"]) == (1, 2, 2, 4)
        assert found["failures"] == {"upstream_limited": 1, "upstream_failed": 1}
        assert found["success"] == 0.3333


async def test_no_words_of_a_client_are_kept(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        await chat(live, messages=[{"role": "user", "content": "canary-of-a-prompt"}], model="m" * 5000)
        await live.porch.facts.flush()
        kept = b"".join(file.read_bytes() for file in tmp_path.glob("state.db.facts.sqlite*"))
        shown = json.dumps([await told(live, "/api/requests"), await told(live, "/api/status")])
        assert b"canary-of-a-prompt" not in kept
        assert "canary-of-a-prompt" not in shown
        assert "m" * 200 not in shown
        assert not [secret for secret in (TOKEN, CLIENT, "sk-upstream") if secret.encode() in kept or secret in shown]


async def test_metrics_without_a_token_are_for_this_machine(tmp_path: Path) -> None:
    async with living(tmp_path, TEXT) as live:
        assert (await live.ask("GET", "/metrics")).status == 200
        told = await live.ask("GET", "/metrics", headers=[("x-forwarded-for", "1.2.3.4")])
        assert (told.status, told.json["status"]) == (403, "error")
        assert "[admin]" in told.json["message"]


async def test_metrics_with_a_token_want_it(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        for key, status in (("", 401), ("wrong", 401), (CLIENT, 403)):
            headers = [("x-api-key", key)] if key else []
            assert (await live.ask("GET", "/metrics", headers=headers)).status == status


async def test_who_has_no_admin_token_is_told_of_it(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        for headers in ([], [("x-api-key", "wrong")]):
            words = (await live.ask("GET", "/api/status", headers=headers)).json["message"]
            assert "send the admin token" in words
            assert "client key" not in words


async def test_the_log_tells_when_a_worker_began_and_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with living(tmp_path, TEXT) as live:
        revision = live.reloader.standing.revision
        live.porch.drain.begin()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["outcome"]) for line in lines] == [
        ("worker", "serving"),
        ("worker", "stopping"),
        ("worker", "stopped"),
    ]
    assert lines[0]["revision"] == revision


async def test_what_is_polled_is_no_line_of_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        capsys.readouterr()
        for path in ("/ready", "/metrics", "/api/status", "/api/requests"):
            assert (await live.ask("GET", path, headers=[("x-api-key", TOKEN)])).status == 200
        assert capsys.readouterr().err == ""
        await live.ask("GET", "/api/status")
        assert "unauthorized" in capsys.readouterr().err


async def test_it_is_ready_until_it_is_stopped(tmp_path: Path) -> None:
    async with living(tmp_path, ADMIN + TEXT) as live:
        assert (await live.ask("GET", "/ready")).json == {"status": "ready"}
        live.porch.drain.begin()
        answer = await live.ask("GET", "/ready")
        assert (answer.status, answer.json) == (503, {"status": "stopping"})


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """The configuration of a llmux that has answered two requests and run into a 429."""
    import asyncio

    async def use() -> None:
        provider = Provider()
        async with living(tmp_path, TEXT, provider=provider) as live:
            await chat(live)
            provider.faults.set([Fault(path="/one/", status=429)])
            await chat(live)

    asyncio.run(use())
    return tmp_path / "config.toml"


def command(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exception is None, result.exception
    return result.output


def test_the_commands_tell_it_from_the_files(used: Path) -> None:
    found = json.loads(command("status", "--config", str(used), "--json"))
    [first, second] = found["backends"]
    assert (first["state"], first["cause"], first["statistics"]["ok"]) == ("cooling", "rate_limit", 1)
    assert second["statistics"]["ok"] == 1
    assert found["workers"] == []
    shown = command("status", "--config", str(used))
    assert "not running" in shown
    assert "openai:gpt-4o" in shown
    lines = [json.loads(line) for line in command("requests", "--config", str(used), "--json").splitlines()]
    assert [line["backend"] for line in lines] == ["openai:gpt-4o", "b:other"]
    assert "tried openai:gpt-4o: upstream_limited" in command("requests", "--config", str(used))
    assert [row["name"] for row in json.loads(command("backends", "list", "--config", str(used), "--json"))] == [
        "openai:gpt-4o",
        "b:other",
    ]


def test_a_backend_that_was_reset_is_well_again(used: Path) -> None:
    command("backends", "reset", "openai:gpt-4o", "--config", str(used))
    [first, _] = json.loads(command("status", "--config", str(used), "--json"))["backends"]
    assert first["state"] == "ok"
