"""What a request knows goes with its answer: no ring of objects keeps its body until the garbage collector comes by."""

from __future__ import annotations

import asyncio
import gc

import pytest

from llmux.gateway.attempt import Attempt
from llmux.gateway.call import Call, Departure, Sink
from llmux.gateway.journey import Journey
from llmux.gateway.pump import Pump
from llmux.gateway.watch import Watch
from tests.gateway.inside import MATRIX, config, inside

KINDS = (Attempt, Call, Departure, Journey, Pump, Sink, Watch)


@pytest.mark.parametrize(("inbound", "upstream", "stream"), MATRIX)
async def test_a_request_leaves_nothing_to_collect(inbound: str, upstream: str, stream: bool) -> None:
    async with inside(config("a", protocol=upstream)) as mux:
        gc.collect()
        gc.disable()
        try:
            answer = await mux.ask(inbound, stream=stream)
            assert answer.status == 200
            for _ in range(5):  # the tasks that were cancelled with it end on turns of their own
                await asyncio.sleep(0)
            assert [type(each).__name__ for each in gc.get_objects() if isinstance(each, KINDS)] == []
        finally:
            gc.enable()
