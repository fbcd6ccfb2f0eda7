"""`llmux demo` shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import sys

from llmux.mock.demo import CONFIG, SHOWS
from llmux.routing.selector import Reason


async def test_every_request_reaches_the_backend_it_should():
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "llmux", "demo", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(45):
            told, wrong = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    assert (process.returncode, wrong.decode()) == (0, "")
    rows = json.loads(told)
    assert [row["backend"] for row in rows] == [show.backend for show in SHOWS]
    assert [row["wrong"] for row in rows] == [[]] * len(SHOWS)


def test_every_protocol_is_shown_as_json_and_as_a_stream():
    assert {(show.protocol, show.stream) for show in SHOWS} == {
        (protocol, stream) for protocol in ("anthropic", "openai") for stream in (False, True)
    }


def test_every_reason_is_one_of_the_selector():
    reasons = {reason for show in SHOWS for reason in show.skips.values()}
    assert {Reason.model, Reason.vision, Reason.context, Reason.thinking, Reason.limit, Reason.cooldown} <= reasons
    assert reasons <= set(Reason)


def test_the_configuration_names_every_backend_that_answers():
    assert [show.backend for show in SHOWS if f'name = "{show.backend}"' not in CONFIG] == []
