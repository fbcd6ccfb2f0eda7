"""Each fault does on the socket what it says."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from urllib.parse import urlsplit

import pytest

from llmux.mock.faults import Fault, read_faults
from llmux.mock.profiles import PROFILES
from llmux.mock.provider import Provider, serving

DIALOG = {"model": "gpt-4o", "messages": [{"role": "user", "content": "WORDS[[20]]"}]}
STREAM = {**DIALOG, "stream": True}
END = b"0\r\n\r\n"


def posted(body: object, path: str = "/v1/chat/completions", extra: str = "") -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: mock\r\nContent-Length: {len(data)}\r\n{extra}Connection: close\r\n\r\n"
    return head.encode() + data


async def talk(url: str, data: bytes, patience: float = 2.0) -> tuple[bytes, str]:
    """What comes back for these bytes, and how it ended: `end`, `reset`, or `open` when it did not."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(data)
    got = b""
    try:
        async with asyncio.timeout(patience):
            while chunk := await reader.read(65536):
                got += chunk
        return got, "end"
    except ConnectionResetError:
        return got, "reset"
    except TimeoutError:
        return got, "open"
    finally:
        writer.close()


async def faulty(fault: object, body: object = STREAM, patience: float = 2.0) -> tuple[bytes, str]:
    async with serving(Provider(faults=read_faults(fault, PROFILES))) as url:
        return await talk(url, posted(body), patience)


def contents(got: bytes) -> int:
    return got.count(b'"delta":{"content":"')


async def test_a_healthy_stream_has_both_its_terminators():
    got, ending = await faulty("healthy")
    assert ending == "end"
    assert b"data: [DONE]\n\n" in got
    assert got.endswith(END)


@pytest.mark.parametrize(
    ("profile", "ending", "complete"),
    [("close", "end", True), ("cut", "end", False), ("reset", "reset", False), ("half_chunk", "end", False)],
)
async def test_a_stream_ends_after_three_pieces(profile, ending, complete):
    got, how = await faulty(profile)
    assert how == ending
    assert b"[DONE]" not in got
    assert got.endswith(END) is complete
    assert contents(got) == 3


async def test_half_a_chunk_is_shorter_than_it_says():
    got, _ = await faulty("half_chunk")
    size, _, rest = got.rpartition(b"\r\ndata: ")
    assert len(b"data: " + rest) < int(size.rpartition(b"\r\n")[2], 16)


@pytest.mark.parametrize(
    ("profile", "pieces", "opening"), [("stall", 3, True), ("stall_first", 0, True), ("stall_bare", 0, False)]
)
async def test_a_stalled_stream_stays_open(profile, pieces, opening):
    got, ending = await faulty(profile, patience=0.2)
    assert ending == "open"
    assert contents(got) == pieces
    assert (b'"role":"assistant"' in got) is opening


async def test_a_stream_without_its_terminator_has_its_finish():
    got, _ = await faulty("no_done")
    assert b'"finish_reason":"stop"' in got
    assert b"[DONE]" not in got
    assert got.endswith(END)


async def test_heartbeats_go_on_after_the_finish():
    got, ending = await faulty({"profile": "heartbeats", "beat": 0.02}, patience=0.3)
    assert ending == "open"
    assert b'"finish_reason":"stop"' in got
    assert got.count(b": mock keeps you waiting") > 3


async def test_only_pings_come():
    got, _ = await faulty("pings")
    assert (got.count(b": mock"), contents(got), got.endswith(END)) == (3, 0, True)


async def test_an_empty_stream_has_no_byte_of_a_body():
    got, _ = await faulty("empty")
    assert got.partition(b"\r\n\r\n")[2] == END


async def test_a_malformed_event_is_followed_by_the_rest():
    got, _ = await faulty("malformed")
    before, bad, after = got.partition(b'"delta":{"content":"ha\n\n')
    assert bad
    assert contents(before) == 3
    assert b"[DONE]" in after


@pytest.mark.parametrize(("profile", "ending"), [("hangup", "end"), ("hangup_reset", "reset")])
async def test_a_hangup_says_nothing(profile, ending):
    assert await faulty(profile) == (b"", ending)


@pytest.mark.parametrize(
    ("profile", "body"),
    [
        ("html", b"<!doctype html>"),
        ("wrong_type", b"data: "),
        ("bad_key", b"invalid api key"),
        ("early_hints", b"data: "),
    ],
)
async def test_what_comes_instead_of_an_answer(profile, body):
    got, _ = await faulty(profile)
    head, _, rest = got.rpartition(b"HTTP/1.1")[2].partition(b"\r\n\r\n")
    assert body in rest
    types = {"html": b"text/html", "wrong_type": b"text/plain", "bad_key": b"application/json"}
    assert types.get(profile, b"text/event-stream") in head
    assert got.count(b"HTTP/1.1 103") == (9 if profile == "early_hints" else 0)


async def test_headers_of_a_refusal_travel():
    got, _ = await faulty("rate_limited", DIALOG)
    assert got.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: 2\r\n" in got


async def test_waits_are_where_they_belong():
    began = time.monotonic()
    got, _ = await faulty({"wait": 0.1, "first": 0.1, "pace": 0.01})
    assert time.monotonic() - began > 0.2 + 0.01 * contents(got)


async def test_gzip_comes_unasked_for_json_and_stream():
    got, _ = await faulty("gzip", DIALOG)
    assert json.loads(gzip.decompress(got.partition(b"\r\n\r\n")[2]))["object"] == "chat.completion"
    got, _ = await faulty("gzip", STREAM)
    assert b"content-encoding: gzip" in got
    assert gzip.decompress(_unchunked(got)).endswith(b"data: [DONE]\n\n")


async def test_bytes_may_come_one_by_one():
    got, _ = await faulty("bytewise")
    assert _unchunked(got).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(("end", "ending"), [("close", "end"), ("cut", "end"), ("reset", "reset"), ("stall", "open")])
async def test_half_of_a_json_answer_comes_through(end, ending):
    got, how = await faulty({"end": end}, DIALOG, patience=0.3)
    head, _, body = got.partition(b"\r\n\r\n")
    assert how == ending
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    said = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert said == (len(body) if end == "close" else said)
    assert (said == len(body)) is (end == "close")


async def test_an_error_in_a_json_answer_has_status_200():
    got, _ = await faulty("error_first", DIALOG)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert b'"message":"overloaded"' in got


async def test_usage_comes_in_variants():
    body = {**STREAM, "stream_options": {"include_usage": True}}
    counts = {}
    for name in ("normal", "none", "zero", "every"):
        got, _ = await faulty({"usage": name}, body)
        counts[name] = (got.count(b'"total_tokens":'), got.count(b'"total_tokens":0'))
    assert (counts["normal"], counts["none"], counts["zero"]) == ((1, 0), (0, 0), (1, 1))
    assert counts["every"][0] > 10


async def test_a_client_that_leaves_is_noticed_at_once():
    provider = Provider(faults=[Fault(end="stall", after=1)])
    async with serving(provider) as url:
        await talk(url, posted(STREAM), patience=0.1)
        await _until(lambda: provider.requests[-1].done)
    assert 0.05 < provider.requests[-1].left < 1.0


async def test_a_request_is_recorded_byte_for_byte():
    provider = Provider()
    async with serving(provider) as url:
        await talk(url, posted(DIALOG, "/b1/v1/chat/completions?beta=true", "X-Odd-CASE: ä\r\nX-odd-case: 2\r\n"))
        shown, _ = await talk(url, b"GET /__mock/requests HTTP/1.1\r\nconnection: close\r\n\r\n")
    recorded = provider.requests[0]
    assert recorded.request.target == "/b1/v1/chat/completions?beta=true"
    assert recorded.body == json.dumps(DIALOG).encode()
    assert [name for name, _ in recorded.headers] == [
        "Host",
        "Content-Length",
        "X-Odd-CASE",
        "X-odd-case",
        "Connection",
    ]
    [listed] = json.loads(shown.partition(b"\r\n\r\n")[2])["requests"]
    assert (listed["target"], listed["status"], listed["body"]) == (
        recorded.request.target,
        200,
        recorded.body.decode(),
    )


async def test_faults_are_set_and_healed_while_it_runs():
    async with serving(Provider()) as url:
        got, _ = await talk(url, posted([{"profile": "down", "times": 1}], "/__mock/faults"))
        assert b'"status":503' in got
        statuses = [(await talk(url, posted(DIALOG)))[0][9:12] for _ in range(2)]
        assert statuses == [b"503", b"200"]
        await talk(url, posted("down", "/__mock/faults"))
        await talk(url, b"DELETE /__mock/faults HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert (await talk(url, posted(DIALOG)))[0][9:12] == b"200"
        assert (await talk(url, posted("no such", "/__mock/faults")))[0][9:12] == b"400"


async def test_a_connection_serves_several_requests_and_chunked_bodies():
    data = json.dumps(DIALOG).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: %b\r\n\r\n"
    chunked = head + b"%x\r\n%b\r\n0\r\n\r\n"
    async with serving(Provider()) as url:
        got, _ = await talk(url, chunked % (b"keep-alive", len(data), data) + chunked % (b"close", len(data), data))
    assert got.count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\r\n\r\n", b"GET / SPDY/3\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -x\r\n\r\n"]
)
async def test_what_is_no_http_gets_400(data):
    async with serving(Provider()) as url:
        got, ending = await talk(url, data)
    assert (got[:13], ending) == (b"HTTP/1.1 400 ", "end")


@pytest.mark.parametrize(
    "body", [[], 7, {"model": 1}, {"model": "m", "messages": [[]]}, {"model": "m", "messages": "x"}]
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_wrong_shape_gets_400(path, body):
    async with serving(Provider()) as url:
        got, _ = await talk(url, posted(body, path, "anthropic-version: 2023-06-01\r\n"))
    assert got[9:12] == b"400"


@pytest.mark.parametrize(
    ("line", "status"), [("GET /nothing", b"404"), ("POST /v1/models", b"405"), ("PUT /v1/messages", b"405")]
)
async def test_what_it_does_not_serve_it_says(line, status):
    async with serving(Provider()) as url:
        got, _ = await talk(url, f"{line} HTTP/1.1\r\nconnection: close\r\n\r\n".encode())
    assert got[9:12] == status


async def _until(condition, patience: float = 2.0) -> None:
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.005)


def _unchunked(got: bytes) -> bytes:
    rest = got.partition(b"\r\n\r\n")[2]
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return body
