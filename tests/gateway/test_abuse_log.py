"""The log under attack: one line an event, every one of them JSON, short, and without what is secret."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from llmux.config.load import load_text
from llmux.errors import LlmuxError
from llmux.gateway import observe
from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.gateway import abuse_bodies
from tests.gateway.abuse_given import CHAT, KEY, KEYED, MESSAGES, OPEN, UPSTREAM_KEY, entered, packed, said

NASTY = [
    "a\nb", "a\r\nb", '","level":"critical","x":"', '"}\n{"event":"forged"}', "\x1b[2J\x1b[31mred", "\x9b31m", "\0",
    "\u2028\u2029\x85", "\x7f\b\b", "\u202eevil", "x" * 1_000_000, "é" * 500_000, "\x01" * 100_000, "😀" * 100_000,
    "{}", "%s%n",
]  # fmt: skip


class Out:
    """What the program has written to standard error."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self._text = ""

    def getvalue(self) -> str:
        """All of it."""
        self._text += self._captured.readouterr().err
        return self._text


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Out:
    return Out(capsys)


def lines_of(out: Out) -> list[dict[str, Any]]:
    """The log, read by a strict reader; every line is checked to be one for every other reader too."""
    text = out.getvalue()
    lines = text.split("\n")
    assert lines.pop() == ""
    assert lines == text.splitlines(), "something in a line ends it for some readers"
    for line in lines:
        assert len(line.encode()) <= 8 * 1024 + 200
        assert line.isprintable() or not {letter for letter in line if ord(letter) < 32 or 126 < ord(letter) < 160}
    return [json.loads(line) for line in lines]


async def test_what_clients_send_stays_in_its_line(out: Out) -> None:
    async with entered() as gate:
        for text in NASTY:
            for body in (
                CHAT | {"model": text},
                MESSAGES | {"model": f"gpt{text}"},
                CHAT | {text: 1, "model": "claude"},
            ):
                await gate.ask("POST", "/v1/chat/completions", body=packed(body))
                await gate.ask("POST", "/v1/messages", body=packed(body))
            for path in (f"/v1/models/{text}", f"/{text}", f"/v1/messages/{text}"):
                await gate.ask("GET", path)
            await gate.ask(text.replace("\0", "")[:50] or "GET", "/v1/models")
            await gate.ask("GET", "/v1/models", headers=[("user-agent", text.encode()), ("host", text.encode())])
    told = lines_of(out)
    assert len(told) > 5 * len(NASTY)
    assert {line["event"] for line in told} <= {"request", "attempt", "worker"}
    assert {line["level"] for line in told} <= {"info", "warning"}


@pytest.mark.parametrize("style", ["json", "text"])
def test_any_value_in_any_field_is_one_line(out: Out, style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # the test runner's own cannot pass on half a character
    observe.set_up(load_text(f'[log]\nformat = "{style}"\n{OPEN}'.replace("{mock}", "http://127.0.0.1:9")))
    values = [*NASTY, "\ud800", 2**70, b"\xff", {"a": ["\n"]}, ["x" * 5000] * 100, {"x" * 5000: 1}, None, object, 1.5]
    for value in values:
        observe.log().info("request", detail=value)
        observe.log().info("request", **{f"field{number}": value for number in range(40)})
        logging.getLogger("library").warning("said %s", value)
    text = out.getvalue()
    assert len(text.splitlines()) == 3 * len(values)
    assert not {letter for letter in text if ord(letter) < 32 and letter != "\n"}
    assert style == "text" or len(lines_of(out)) == 3 * len(values)


class Panic(BaseException):
    """As an extension module panics: no Exception."""


def secrets() -> dict[str, str]:
    names = ["client", "provider", "header", "proxy", "admin", "prompt"]
    return {name: f"canary-{name}-{number}7f3a9c5d21e8-of-some-length" for number, name in enumerate(names)}


LEAKY = """
log_level = "DEBUG"
max_retries = 0

[state]
kind = "memory"

[admin]
token = "{admin}"

[tokens]
mine = "{client}"

[provider.o]
base_url = "{{mock}}/v1"
api_key = "{provider}"
headers = {{ x-secret = "{header}" }}

[provider.p]
base_url = "http://127.0.0.1:9/v1"
api_key = "{provider}"
proxy = "http://user:{proxy}@127.0.0.1:9"

[[backend]]
model = "o:gpt"
vision = true
thinking = true
model_match = ["gpt*"]

[[backend]]
model = "p:claude"
model_match = ["claude*"]
"""


@pytest.mark.parametrize("details", [False, True])
async def test_no_secret_gets_out_and_no_prompt_either(out: Out, details: bool) -> None:
    canaries = secrets()
    log = "[log]\nrequest_details = true" if details else ""
    config = LEAKY.format(**canaries).replace("{{", "{").replace("}}", "}") + f"\n{log}\n"
    key = canaries["client"]
    prompt = canaries["prompt"]
    told = " ".join(value for name, value in canaries.items() if name != "prompt")
    faults = [None, *(Fault(status=status, message=told) for status in (400, 401, 404, 429, 500)), Fault(end="error")]
    seen = b""
    for fault in faults:
        async with entered(config, Provider(faults=[fault] if fault else [])) as gate:
            for path, body in (("/v1/messages", MESSAGES), ("/v1/chat/completions", CHAT)):
                for change in (
                    {}, {"stream": True}, {"model": "claude"}, {"messages": prompt}, {"tools": prompt},
                    {"model": f"gpt{key}"}, {"user": canaries["provider"]},
                ):  # fmt: skip
                    spoken = {"messages": [{"role": "user", "content": prompt}]} | change
                    for headers in ([("x-api-key", key)], [("x-api-key", f"{key}x")], [("authorization", key)]):
                        answer = await gate.ask("POST", path, body=packed(body | spoken), headers=headers)
                        if "user" not in change and key not in str(change):
                            seen += said(answer)
    logged = out.getvalue()
    assert len(logged.splitlines()) > 200
    for name in ("client", "provider", "header", "proxy", "admin"):
        assert canaries[name] not in logged, name
        assert canaries[name].encode() not in seen, name
    assert (prompt in logged) is details


@pytest.mark.parametrize("raised", [ValueError, KeyError, RuntimeError, MemoryError, Panic, AssertionError, OSError])
async def test_our_own_faults_are_told_without_their_words(out: Out, raised: type[BaseException]) -> None:
    class Broken:
        """An upstream whose every use fails with the client's words in the exception."""

        async def open(self, request: Any) -> Any:
            prompt = request.body.decode()
            raise raised(f"failed at {prompt} {request.headers}")

        async def aclose(self) -> None:
            return None

    prompt = secrets()["prompt"]
    async with entered(KEYED, upstream=Broken()) as gate:
        for path, body in (("/v1/messages", MESSAGES), ("/v1/chat/completions", CHAT)):
            spoken = body | {"messages": [{"role": "user", "content": prompt}]}
            answer = await gate.ask("POST", path, body=packed(spoken), headers=[("x-api-key", KEY)])
            assert answer.status == 500
            assert answer.dialect() == ("anthropic" if path == "/v1/messages" else "openai")
            assert answer.headers["x-request-id"].startswith("req_")
            for secret in (prompt, KEY, UPSTREAM_KEY, "Traceback"):
                assert secret.encode() not in said(answer)
                assert secret not in out.getvalue()
    faults = [line for line in lines_of(out) if line["event"] == "internal error"]
    assert [line["raised"] for line in faults] == [raised.__name__] * 2
    assert any("open" in place for place in faults[0]["where"])


def test_a_secret_cut_in_half_is_no_way_out(out: Out) -> None:
    observe.set_up(load_text(KEYED.replace("{mock}", "http://127.0.0.1:9")))
    for size in range(960, 1030):
        observe.log().info("request", detail="x" * size + KEY)
        observe.log().info("request", **{f"f{number}": "x" * (size % 300) + KEY + "é" * 900 for number in range(20)})
    assert KEY[:12] not in out.getvalue()


@pytest.mark.parametrize("text", [abuse_bodies.CHAT, abuse_bodies.MESSAGES])
async def test_details_are_logged_only_where_they_are_asked_for(out: Out, text: dict[str, Any]) -> None:
    words = "the-words-of-the-user"
    body = packed(text | {"messages": [{"role": "user", "content": words}]})
    for log, found in (("", False), ("[log]\nrequest_details = true\n", True)):
        async with entered(f"{OPEN}\n{log}") as gate:
            already = out.getvalue().count(words)
            await gate.ask("POST", "/v1/chat/completions", body=body)
            assert (out.getvalue().count(words) > already) is found


def test_errors_show_no_secret_in_their_repr() -> None:
    config = load_text(KEYED.replace("{mock}", "http://127.0.0.1:9"))
    assert KEY not in repr(config)
    assert UPSTREAM_KEY not in repr(config)
    assert UPSTREAM_KEY not in str(config.providers)
    assert isinstance(LlmuxError, type)
