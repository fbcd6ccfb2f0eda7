"""One attempt: stops 6 to 8 for one backend, from the original request to an answer or a verdict."""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Awaitable, Generator
from typing import TypeVar

from msgspec import Struct, structs

from llmux.errors import Kind, LlmuxError
from llmux.gateway import watch as deadlines
from llmux.gateway.call import ClientGone, Sink
from llmux.gateway.decide import prepare
from llmux.gateway.house import House
from llmux.gateway.journey import Journey, told
from llmux.gateway.observe import log, tells
from llmux.gateway.pump import REPLY_LIMIT, Pump
from llmux.gateway.upstream import Unsent, UpstreamError, UpstreamReply
from llmux.gateway.watch import Late, Watch
from llmux.protocols.base import HeaderList, write_body
from llmux.protocols.dialog import Usage
from llmux.routing.accounts import Seat
from llmux.routing.backend import Backend
from llmux.routing.needs import Want
from llmux.routing.verdict import Verdict, of_detour, of_error, of_guess, of_login, of_stream, of_token, of_transport
from llmux.state.store import Outcome, Reservation

ERROR_LIMIT = 64 * 1024
"""Bytes of an upstream's error answer that are read."""

ERROR_SECONDS = 5.0
"""Seconds that are waited for the body of an error answer: its status says enough."""

_JSON = "application/json"
_T = TypeVar("_T")


class Ending(Struct, frozen=True):
    """How an attempt ended. verdict None: the client has its answer; committed: the client saw part of one."""

    verdict: Verdict | None
    committed: bool
    outcome: Outcome


class Attempt:
    """One try at one backend, as one account where its provider has several (`seat`). Making it translates the request;
    that raises LlmuxError for content that this backend cannot carry, before anything is reserved or sent."""

    def __init__(self, house: House, journey: Journey, sink: Sink, backend: Backend, seat: Seat | None = None) -> None:
        self._house = house
        self._journey = journey
        self._sink = sink
        self._backend = backend
        call = journey.call
        self._seat = seat
        self._account = seat.account if seat is not None else ""
        self._bearer = ""
        self._target = house.target(backend, seat)
        self._translator = house.translator(call.protocol, backend)
        self._prepared = prepare(house, call.protocol, call.body, call.headers, backend, journey.decision)
        self._body = write_body(self._prepared.body)
        self._asked = structs.replace(journey.asked, origin=backend.provider)
        self._now = call.soon.loop.time
        self._place = Reservation(0, backend.name)
        self._started = 0.0
        self._pump: Pump | None = None
        self._whole_sent = False
        self._usage: Usage | None = None
        self._sent = False
        self._status = 0
        self._first: float | None = None

    async def run(self, place: Reservation, *, last: bool) -> Ending:
        """Sends, and carries the answer to the client. `last`: nobody else is left, so no first-token deadline.

        Raises CancelledError or ClientGone when the client has left; `outcome()` then says what to settle.
        """
        self._place = place
        self._started = self._now()
        self._journey.attempts += 1
        self._journey.last = (self._backend.name, self._account)
        watch = self._watch(last)
        try:
            verdict = await self._timed(watch)
            if verdict is not None:
                self._house.mask(verdict.error, self._bearer)
        except (asyncio.CancelledError, ClientGone):
            self._log("abandoned")
            raise
        finally:
            watch.stop()
        if verdict is not None and self._journey.decision.needs.embeddings and self._backend.embeddings is None:
            verdict = of_guess(verdict)
        self._log("answered" if verdict is None else "failed", verdict)
        return Ending(verdict, self._committed, self.outcome(verdict, answered=verdict is None))

    def outcome(self, verdict: Verdict | None = None, *, answered: bool = False) -> Outcome:
        """What the attempt means for limits and cooldown; without a verdict: it was cut off by the client's leaving."""
        usage = self._usage or (self._pump.usage if self._pump is not None else None)
        self._journey.usage = usage or self._journey.usage
        estimate = self._journey.estimate
        measured, used = None, None
        if usage is not None and usage.input:  # some servers report zeros, which is no report
            used = usage.input + usage.output
            if not answered:  # the report of an answer that was cut off leaves out what was still said
                used = used if used > self._place.tokens else None
            if estimate.rung != "bound":  # a bound says nothing about the provider's tokenizer
                measured = (estimate.point, usage.input)
        return Outcome(
            refund=verdict.refund if verdict is not None else not self._sent,
            tokens=used,
            ok=answered or (verdict is None and self._committed),
            failure=verdict.failure if verdict is not None else None,
            latency=self._first,
            measured=measured,
        )

    @property
    def _committed(self) -> bool:
        return self._whole_sent or (self._pump is not None and self._pump.committed)

    async def _timed(self, watch: Watch) -> Verdict | None:
        """Runs under the deadlines; one that passes becomes a verdict."""
        try:
            return await self._send(watch)
        except UpstreamError as error:
            if self._pump is not None and self._pump.settled:  # all was said: the end of the transport is the end
                return await self._finished(self._pump, watch)
            verdict = of_transport(
                *(error.phase, error.sent, error.timed_out), detail=error.detail, provider=self._backend.provider
            )
            return await self._broken(verdict, watch)
        except asyncio.CancelledError as cancelled:
            self._sent = self._sent and not isinstance(cancelled, Unsent)
            late = watch.late
            if late is None or self._journey.call.gone:
                raise
            if self._journey.call.soon.task.uncancel() > 0:  # something else ends it as well
                raise
            return await self._late(late, watch)

    async def _late(self, late: Late, watch: Watch) -> Verdict | None:
        """What a deadline that has passed means."""
        if late.why == "client":
            raise ClientGone(late.error.detail)
        if late.why == "settled" and self._pump is not None:
            return await self._finished(self._pump, watch)
        verdict = structs.replace(of_stream(late.error), refund=not self._sent)
        seconds = self._now() - self._started
        if late.why == "total" and (self._committed or seconds < self._backend.timeouts.first_token):
            verdict = structs.replace(verdict, failure=None)  # it was answering, or was given what others had left
        return await self._broken(verdict, watch)

    async def _send(self, watch: Watch) -> Verdict | None:
        call = self._journey.call
        if self._seat is not None:
            try:
                self._bearer = await self._house.bearer(self._seat)
            except LlmuxError as error:
                return of_login(error)
        request = self._target.request(
            self._body,
            call.headers,
            stream=self._journey.asked.stream,
            inbound=self._translator.inbound,
            bearer=self._bearer,
        )
        await _turn()
        self._sent = True
        reply = await self._house.upstream.open(request)
        try:
            watch.heard()
            self._status = reply.status
            if not 200 <= reply.status < 300:
                return await self._refused(reply)
            kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
            if self._journey.asked.stream:
                return await self._stream(reply, kind, watch)
            return await self._whole(reply, kind, watch)
        finally:
            await reply.aclose()

    async def _refused(self, reply: UpstreamReply) -> Verdict:
        """The verdict on an answer whose status says no."""
        try:
            async with asyncio.timeout(ERROR_SECONDS):
                body = await reply.read(ERROR_LIMIT)
        except (UpstreamError, TimeoutError):
            body = b""
        error = self._translator.upstream.read_error(reply.status, reply.headers, body)
        verdict = of_error(error, reply.status)
        if self._bearer and self._seat is not None and reply.status == 401:
            self._house.doubt(self._seat, self._bearer)
            verdict = of_token(verdict)
        if self._house.detour(self._journey.call.protocol, self._backend):
            verdict = of_detour(verdict, reply.status)
        return verdict

    async def _whole(self, reply: UpstreamReply, kind: str, watch: Watch) -> Verdict | None:
        """A whole answer to the client; an upstream that streams although none was asked is gathered."""
        if kind not in ("", _JSON, self._translator.upstream.media_type):
            return _strange(kind)
        read = self._translator.reply if kind in ("", _JSON) else self._translator.reply_of_stream
        await _turn()
        data = await reply.read(REPLY_LIMIT)
        try:
            body, self._usage = read(data, self._prepared, self._asked, self._backend)
        except LlmuxError as error:
            return of_stream(error)
        await _turn()
        watch.stop()  # it goes out in one piece, and from here on nobody else may answer
        head = self._opening(_JSON)
        self._whole_sent = True
        await self._sink.whole(reply.status, head, body)
        return None

    async def _stream(self, reply: UpstreamReply, kind: str, watch: Watch) -> Verdict | None:
        """A stream to the client; an upstream that answers whole although a stream was asked is streamed by us."""
        if kind == _JSON:
            data = await reply.read(REPLY_LIMIT)
            try:
                text, self._usage = self._translator.stream_of_reply(data, self._prepared, self._asked, self._backend)
            except LlmuxError as error:
                return of_stream(error)
            watch.content()
            head = self._opening()
            await watch.still()
            if not self._sink.opened:
                await self._sink.open(head)
            self._whole_sent = True
            await self._sink.write(text)
            await watch.still()
            await self._sink.end()
            return None
        if kind not in ("", self._translator.upstream.media_type):
            return _strange(kind)
        stream = self._translator.stream(self._prepared, self._asked, self._backend)
        self._pump = pump = Pump(stream, self._sink, watch, self._opening)
        broken = await pump.run(reply)
        return None if broken is None else await self._broken(of_stream(broken), watch)

    async def _finished(self, pump: Pump, watch: Watch) -> Verdict | None:
        """The orderly end of an answer whose upstream did not end it in order."""
        watch.stop()
        error = await self._last_words(pump.finish())
        return None if error is None else await self._broken(of_stream(error), watch)

    async def _broken(self, verdict: Verdict, watch: Watch) -> Verdict:
        """After the gate the client is told in its protocol; before it the verdict alone decides."""
        self._house.mask(verdict.error, self._bearer)
        watch.stop()
        await watch.still()
        if self._pump is not None and self._pump.committed and not self._sink.ended:
            await self._last_words(self._pump.fail(verdict.error))
        return verdict

    async def _last_words(self, work: Awaitable[_T]) -> _T:
        """Writes when the deadlines are over. Raises ClientGone when the client does not take it."""
        try:
            async with asyncio.timeout(deadlines.WRITE):
                return await work
        except TimeoutError:
            raise ClientGone(deadlines.CLIENT_STUCK.error.detail) from None

    def _opening(self, media_type: str = "") -> HeaderList:
        """The head of an answer, at the moment it goes out."""
        if self._first is None:
            now = self._now()
            self._first = now - self._started
            self._journey.first = now - self._journey.call.started
        return self._head(media_type or self._journey.call.protocol.media_type)

    def _head(self, media_type: str) -> HeaderList:
        self._journey.backend = self._backend
        self._journey.losses = self._prepared.losses
        return self._journey.head(media_type, self._backend, self._prepared.losses, self._place.left)

    def _watch(self, last: bool) -> Watch:
        timeouts, streamed = self._backend.timeouts, self._journey.asked.stream
        thinks = self._journey.decision.needs.thinking is not Want.no and self._backend.thinking
        first = max(timeouts.first_token, timeouts.thinking) if thinks else timeouts.first_token
        return Watch(
            self._sink,
            self._journey.call.soon,
            first=first if streamed and not last else None,
            idle=timeouts.idle if streamed else None,
            until=self._journey.call.started + timeouts.total,
            beat=self._beat if streamed else None,
        )

    async def _beat(self) -> None:
        """Tells a waiting client that we are still there; opens its stream when nothing has come for long."""
        protocol = self._journey.call.protocol
        data = protocol.writer(self._journey.asked).keepalive()
        if not data or self._sink.ended:
            return
        if not self._sink.opened:
            await self._sink.open(self._head(protocol.media_type))
        await self._sink.write(data)

    def _log(self, outcome: str, verdict: Verdict | None = None) -> None:
        if verdict is None and not tells(logging.INFO):
            return
        fields: dict[str, object] = {
            "request": f"req_{self._journey.call.id}",
            "backend": self._backend.name,
            **({"account": self._account} if self._account else {}),
            "attempt": self._journey.attempts,
            "outcome": outcome,
            "status": self._status or None,
            "seconds": round(self._now() - self._started, 4),
        }
        if verdict is None:
            log().info("attempt", **fields)
            return
        fields |= {"kind": verdict.error.kind.value, "failover": verdict.next or verdict.larger}
        fields |= told(verdict.error, details=self._house.config.log.request_details)
        level = log().error if verdict.error.kind is Kind.upstream_auth else log().warning
        level("attempt", **fields)


def _strange(kind: str) -> Verdict:
    return of_stream(LlmuxError(Kind.upstream_failed, f"the provider answered with {kind[:80]!r}, which is no answer"))


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Lets the others go first: those that have come to the same part of a request then do it one after another, with
    its code in the caches, and the server's threads take theirs together (−15 % at 64 connections)."""
    yield  # what asyncio.sleep(0) comes to, for a third of its price
