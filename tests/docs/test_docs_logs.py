"""Every field of a log line that llmux writes is explained, with and without trouble."""

from __future__ import annotations

import json

import httpx
import pytest

from llmux.mock.faults import Fault
from llmux.mock.provider import Provider
from tests.docs.pages import read
from tests.support import log_of, mocked

CONFIG = """
[provider.one]
base_url = "{mock}/v1"
protocol = "openai"

[[backend]]
name = "shaky"
model = "one:mock-shaky"
context = 32000

[[backend]]
name = "steady"
model = "one:mock-steady"
context = 32000

[log]
request_details = {details}
"""


@pytest.fixture(scope="module")
def explained() -> dict[str, str]:
    """The parts of the page: of an attempt's line, and of a request's."""
    _, attempt, request = read("docs/logs.md").split("\n## ")[:3]
    return {"attempt": attempt, "request": request}


@pytest.mark.parametrize("details", ["true", "false"])
async def test_every_field_is_explained(explained: dict[str, str], details: str) -> None:
    faults = [
        Fault(model="mock-shaky", status=529, times=1),
        Fault(model="mock-steady", status=400, about="context", skip=1),
    ]
    body = {"model": "any", "max_tokens": 50, "speed": "fast", "messages": [{"role": "user", "content": "hello"}]}
    async with mocked(CONFIG.replace("{details}", details), Provider(faults=faults)) as llmux:
        async with httpx.AsyncClient(base_url=llmux.url, timeout=10, trust_env=False) as client:
            answers = [
                await client.post("/v1/messages", json=body),
                await client.post("/v1/messages", json={**body, "messages": 5}),
                await client.post("/v1/messages", json=body),
            ]
        log = await log_of(llmux)
    assert [answer.status_code for answer in answers] == [200, 400, 400]
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    fields = {event: {key for line in lines if line["event"] == event for key in line} for event in explained}
    assert fields["attempt"] >= {"kind", "failover", "outcome", "detail" if details == "true" else "code"}
    assert fields["request"] >= {"skipped", "dropped", "detail", "input"}
    common = read("docs/logs.md").rpartition("\nEvery line also has ")[2]
    for event, part in explained.items():
        assert [field for field in sorted(fields[event]) if f"`{field}`" not in part + common] == []
