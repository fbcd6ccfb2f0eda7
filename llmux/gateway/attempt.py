"""One attempt: stops 6 to 8 for one backend, from the original request to an answer or a verdict."""

from __future__ import annotations

import asyncio

from msgspec import Struct, structs

from llmux.errors import Kind, LlmuxError
from llmux.gateway.call import Sink
from llmux.gateway.house import House
from llmux.gateway.journey import Journey
from llmux.gateway.observe import log
from llmux.gateway.pump import REPLY_LIMIT, Pump
from llmux.gateway.upstream import UpstreamError, UpstreamReply
from llmux.gateway.watch import SETTLED_END, Watch
from llmux.protocols.base import HeaderList, write_body
from llmux.protocols.dialog import Usage
from llmux.protocols.stream import Stream
from llmux.routing import tokens
from llmux.routing.backend import Backend
from llmux.routing.cooldown import Failure
from llmux.routing.needs import Want
from llmux.routing.rewrite import rewrite
from llmux.routing.verdict import Verdict, of_error, of_stream, of_transport
from llmux.state.store import Left, Outcome

ERROR_LIMIT = 64 * 1024
"""Bytes of an upstream's error answer that are read."""


class Ending(Struct, frozen=True):
    """How an attempt ended. verdict None: the client has its answer; committed: the client saw part of one."""

    verdict: Verdict | None
    committed: bool
    outcome: Outcome


class Attempt:
    """One try at one backend. Making it translates the request; that raises LlmuxError for content that this backend
    cannot carry, before anything is reserved or sent."""

    def __init__(self, house: House, journey: Journey, sink: Sink, backend: Backend) -> None:
        self._house = house
        self._journey = journey
        self._sink = sink
        self._backend = backend
        call, needs = journey.call, journey.decision.needs
        self._target = house.targets[backend.name]
        self._translator = house.translator(call.protocol, self._target.protocol)
        factor = journey.decision.health[backend.name].factor
        room = tokens.room(backend, needs.tokens, factor)
        self._prepared = self._translator.request(call.body, call.headers, backend, room)
        body = rewrite(self._prepared.body, backend.rewrites)
        self._body = write_body(body)
        self._asked = structs.replace(journey.asked, origin=backend.provider)
        self._pump: Pump | None = None
        self._sent = False
        self._usage: Usage | None = None
        self._first: float | None = None
        self.left: tuple[Left, ...] = ()

    async def run(self, *, last: bool) -> Ending:
        """Sends, and carries the answer to the client. `last`: nobody else is left, so no first-token deadline."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        watch = self._watch(last)
        verdict = await self._timed(watch)
        committed = self._pump is not None and self._pump.committed
        self._log(verdict, loop.time() - started)
        return Ending(verdict, committed, self.outcome(verdict, answered=verdict is None))

    def outcome(self, verdict: Verdict | None = None, *, answered: bool = False) -> Outcome:
        """What the attempt means for limits and cooldown; without a verdict: it was cut off by the client's leaving."""
        usage = self._reported()
        estimate = self._journey.estimate
        measured = None
        if usage is not None and estimate.rung != "bound":  # a bound says nothing about the provider's tokenizer
            measured = (estimate.point, usage.input)
        return Outcome(
            refund=verdict.refund if verdict is not None else not self._sent and not answered,
            tokens=None if usage is None else usage.input + usage.output,
            ok=answered,
            failure=self._failure(verdict) if verdict is not None else None,
            latency=self._first,
            measured=measured,
        )

    def _failure(self, verdict: Verdict) -> Failure | None:
        """What the verdict says against the backend. Embeddings that were only tried there prove nothing by not being
        served: chat goes on."""
        failure = verdict.failure
        tried = self._journey.decision.needs.embeddings and self._backend.embeddings is None
        return None if tried and failure is not None and failure.cause in ("missing", "auth") else failure

    async def _timed(self, watch: Watch) -> Verdict | None:
        """Runs under the deadlines; one that passes becomes a verdict."""
        task = asyncio.current_task()
        try:
            return await self._send(watch)
        except UpstreamError as error:
            return await self._broken(of_transport(error.phase, sent=error.sent, timed_out=error.timed_out), watch)
        except asyncio.CancelledError:
            late = watch.reason
            if late is None or task is None or self._journey.call.gone:
                raise
            task.uncancel()
            if late is SETTLED_END and self._pump is not None:
                pumped = await self._pump.finish()
                return None if pumped.error is None else await self._broken(of_stream(pumped.error), watch)
            return await self._broken(of_stream(late), watch)
        finally:
            watch.stop()

    async def _send(self, watch: Watch) -> Verdict | None:
        call = self._journey.call
        request = self._target.request(
            self._body, call.headers, stream=self._journey.asked.stream, inbound=call.protocol
        )
        self._sent = True
        reply = await self._house.upstream.open(request)
        try:
            watch.heard()
            if not 200 <= reply.status < 300:
                return await self._refused(reply)
            if self._journey.asked.stream:
                return await self._stream(reply, watch)
            return await self._whole(reply, watch)
        finally:
            await reply.aclose()

    async def _refused(self, reply: UpstreamReply) -> Verdict:
        """The verdict on an answer whose status says no."""
        try:
            body = await reply.read(ERROR_LIMIT)
        except UpstreamError:
            body = b""
        error = self._target.protocol.read_error(reply.status, reply.headers, body)
        return of_error(error, reply.status)

    async def _whole(self, reply: UpstreamReply, watch: Watch) -> Verdict | None:
        """A whole answer to the client."""
        data = await reply.read(REPLY_LIMIT)
        try:
            body, self._usage = self._translator.reply(data, self._prepared, self._asked, self._backend)
        except LlmuxError as error:
            return of_stream(error)
        watch.content()
        self._seen()
        self._answering()
        await self._sink.whole(reply.status, self._head("application/json"), body)
        return None

    async def _stream(self, reply: UpstreamReply, watch: Watch) -> Verdict | None:
        """A stream to the client; an upstream that answers whole although a stream was asked is streamed by us."""
        stream: Stream
        if reply.headers.get("content-type", "").startswith("application/json"):
            data = await reply.read(REPLY_LIMIT)
            try:
                text, self._usage = self._translator.stream_of_reply(data, self._prepared, self._asked, self._backend)
            except LlmuxError as error:
                return of_stream(error)
            self._seen()
            self._answering()
            if not self._sink.opened:
                await self._sink.open(self._head(self._journey.call.protocol.media_type))
            await self._sink.write(text)
            await self._sink.end()
            return None
        stream = self._translator.stream(self._prepared, self._asked, self._backend)
        self._pump = pump = Pump(stream, self._sink, watch, self._opening)
        pumped = await pump.run(reply)
        if pumped.error is None:
            return None
        return await self._broken(of_stream(pumped.error), watch)

    async def _broken(self, verdict: Verdict, watch: Watch) -> Verdict:
        """After the gate the client is told in its protocol; before it the verdict alone decides."""
        pump = self._pump
        if pump is not None and pump.committed and not self._sink.ended:
            watch.stop()
            await watch.still()
            await pump.fail(verdict.error)
        return verdict

    def _opening(self) -> HeaderList:
        """The head of a stream, at the moment it goes out."""
        self._seen()
        self._answering()
        return self._head(self._journey.call.protocol.media_type)

    def _head(self, media_type: str) -> HeaderList:
        return self._journey.head(media_type, self._backend, self._prepared.losses, self.left)

    def _answering(self) -> None:
        self._journey.backend = self._backend
        self._journey.losses = self._prepared.losses

    def _seen(self) -> None:
        if self._first is None:
            self._first = asyncio.get_running_loop().time() - self._journey.call.started
            self._journey.first = self._first

    def _reported(self) -> Usage | None:
        usage = self._usage or (self._pump.usage if self._pump is not None else None)
        self._journey.usage = usage or self._journey.usage
        return usage

    def _watch(self, last: bool) -> Watch:
        deadlines, streamed = self._backend.timeouts, self._journey.asked.stream
        thinks = self._journey.decision.needs.thinking is not Want.no and self._backend.thinking
        first = max(deadlines.first_token, deadlines.thinking) if thinks else deadlines.first_token
        watch = Watch(
            first=first if streamed and not last else None,
            idle=deadlines.idle if streamed else None,
            until=self._journey.call.started + deadlines.total,
            beat=self._beat if streamed else None,
        )
        watch.sending = self._sink.since
        return watch

    async def _beat(self) -> None:
        """Tells a waiting client that we are still there; opens its stream when nothing has come for long."""
        data = self._journey.call.protocol.writer(self._journey.asked).keepalive()
        if not data or self._sink.ended:
            return
        if not self._sink.opened:
            self._answering()
            await self._sink.open(self._head(self._journey.call.protocol.media_type))
        await self._sink.write(data)

    def _log(self, verdict: Verdict | None, seconds: float) -> None:
        fields = {
            "request": f"req_{self._journey.call.id}",
            "backend": self._backend.name,
            "attempt": len(self._journey.tried) + 1,
            "seconds": round(seconds, 4),
        }
        if verdict is None:
            log().info("attempt", outcome="answered", **fields)
            return
        level = log().error if verdict.error.kind is Kind.upstream_auth else log().warning
        level(
            "attempt",
            outcome="failed",
            kind=verdict.error.kind.value,
            detail=verdict.error.detail,
            failover=verdict.next,
            **fields,
        )
