"""The log of requests: one line for each attempt and each request, for machines, without prompts and secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from llmux.mock.faults import Fault
from tests.gateway.inside import MATRIX, config, inside

PROMPT = "CANARY-prompt the secret plan of the user"
KEY = "sk-upstream-a-0001"
CLIENT_KEY = "client-canary-key-0123456789abcdef"
TOP = f'[tokens]\nme = "{CLIENT_KEY}"\n'
HEAD = {"x-api-key": CLIENT_KEY}
ECHO = f"cannot read {PROMPT!r} with key {KEY} at https://provider.test/v1?key={KEY}"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("llmux.routing.verdict._BACKOFF_FIRST", 0.01)
    return


class Lines:
    """What was logged since it was asked last."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def read(self) -> list[dict[str, Any]]:
        """Every line, read as JSON."""
        text = self._capsys.readouterr().err
        assert CLIENT_KEY not in text
        assert KEY not in text
        return [msgspec.json.decode(line) for line in text.splitlines()]


FAULTS = {
    "healthy": ((), 1),
    "a is down": ((Fault(path="/a/", status=503),), 2),
    "all are down": ((Fault(status=503),), 3),
    "rejected": ((Fault(status=400, message=ECHO),), 1),
    "too long": ((Fault(status=400, about="context", message=ECHO),), 1),
    "unauthorized": ((Fault(status=401, message=ECHO),), 2),
    "cut": ((Fault(end="cut", after=2),), 1),
}


async def test_lines_for_a_person_hold_what_there_is_and_the_id_last(capsys: pytest.CaptureFixture[str]) -> None:
    async with inside(config("a", top='[log]\nformat = "text"\n')) as mux:
        capsys.readouterr()
        await mux.ask("openai", PROMPT)
        lines = capsys.readouterr().err.splitlines()
    assert [line.split()[2:4] for line in lines] == [["[info", "]"]] * 2
    assert "None" not in "".join(lines)
    assert all(line.split()[-1].startswith("request=req_") for line in lines)


async def test_a_backend_that_is_asked_while_it_rests_was_not_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    async with inside(config("a", "b", b_enabled="false"), Fault(path="/a/", status=500, times=3)) as mux:
        await mux.ask("openai", PROMPT)
        capsys.readouterr()
        await mux.ask("openai", PROMPT)
        request = msgspec.json.decode(capsys.readouterr().err.splitlines()[-1])
    assert (request["backend"], request["skipped"]) == ("a", {"b": "disabled"})


@pytest.mark.parametrize(("inbound", "upstream", "stream"), MATRIX)
@pytest.mark.parametrize("named", FAULTS)
async def test_one_line_for_each_attempt_and_one_for_the_request(
    inbound: str, upstream: str, stream: bool, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    faults, attempts = FAULTS[named]
    if named == "cut" and not stream:
        attempts = 3
    async with inside(config("a", "b", protocol=upstream, top=TOP), *faults) as mux:
        lines = Lines(capsys)
        answer = await mux.ask(inbound, PROMPT, stream=stream, headers=HEAD)
        logged = lines.read()
    assert [line["event"] for line in logged] == ["attempt"] * attempts + ["request"]
    assert {line["request"] for line in logged} == {answer.headers["x-request-id"]}
    assert [line["attempt"] for line in logged[:-1]] == list(range(1, attempts + 1))
    request = logged[-1]
    assert (request["status"], request["attempts"], request["client"]) == (answer.status, attempts, "me")
    assert (request["protocol"], request["stream"], request["model"]) == (inbound, stream, "gpt-4o")
    assert ("error" in request) == (answer.error is not None)
    if answer.error is None:
        assert request["backend"] == answer.headers["x-llmux-backend"]
        # a chat client that wants no usage in its stream gets none, and nothing is asked for behind its back
        silent = (inbound, upstream, stream) == ("openai", "openai", True)
        assert silent or min(request["input"], request["output"]) > 0
        assert 0 <= request["first"] <= request["seconds"]
    assert PROMPT[:12] not in str(logged)
    assert "provider.test" not in str(logged)


async def test_a_request_that_nobody_could_answer_tells_why(capsys: pytest.CaptureFixture[str]) -> None:
    async with inside(config("a", "b", a_context="1000", b_model_match='["x"]')) as mux:
        lines = Lines(capsys)
        await mux.ask(text="word " * 3000)
        [request] = lines.read()
        assert request["skipped"] == {"a": "context", "b": "model"}
        assert (request["error"], request["attempts"], request["backend"]) == ("context_overflow", 0, None)
        assert "a: context 1000 < " in request["detail"]


async def test_a_request_that_is_none_is_logged_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    async with inside(config("a", top=TOP)) as mux:
        lines = Lines(capsys)
        for raw, status in ((b"{", 400), (b"\xff", 400), (PROMPT.encode(), 400), (b'{"messages": 1}', 400)):
            assert (await mux.ask(raw=raw, headers=HEAD)).status == status
        assert (await mux.ask(headers={"x-api-key": "wrong"})).status == 401
        logged = lines.read()
        assert [line["event"] for line in logged] == ["request"] * 5
        assert "CANARY" not in str(logged)
        assert "wrong" not in str(logged)


async def test_an_abandoned_attempt_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with inside(config("a"), Fault(wait=9)) as mux:
        lines = Lines(capsys)
        leave = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, leave.set)
        await mux.ask(leave=leave)
        attempt, request = lines.read()
        assert (attempt["outcome"], request["gone"], request["attempts"]) == ("abandoned", True, 1)


async def test_request_details_show_bodies_and_still_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    top = f"{TOP}[log]\nrequest_details = true\n"
    async with inside(config("a", top=top), Fault(status=400, message=ECHO)) as mux:
        lines = Lines(capsys)
        await mux.ask(text=f"{PROMPT} {CLIENT_KEY} {KEY}", headers=HEAD)
        attempt, request = lines.read()
        assert PROMPT in request["body"]
        assert "cannot read" in attempt["detail"]


@pytest.mark.parametrize(
    "evil", ['new\nline {"level":"x"}', "\x1b[31mred", 'quote" \\ end', "\u2028\x00", "x" * 1_000_000]
)
async def test_no_name_breaks_out_of_its_line(evil: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with inside(config("a", model_match='["gpt"]')) as mux:
        await mux.ask(model=evil)
        text = capsys.readouterr().err
        [line] = text.rstrip("\n").split("\n")
        assert msgspec.json.decode(line)["model"][:20] == evil[:20]
        assert len(line) <= 8192
        assert "\x1b" not in line


@pytest.mark.parametrize(("trusted", "peer"), [('["127.0.0.1"]', "203.0.113.9"), ("[]", "127.0.0.1")])
async def test_a_trusted_proxy_says_whose_request_it_is(
    trusted: str, peer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with inside(config("a", top=f"trusted_proxies = {trusted}\n{TOP}")) as mux:
        await mux.ask("openai", headers={**HEAD, "x-forwarded-for": "6.6.6.6, 203.0.113.9"})
    [line] = [line for line in Lines(capsys).read() if line["event"] == "request"]
    assert line["peer"] == peer
