"""The way in: from the head of a request to the end of its answer, whatever happens in between.

Every route goes through `enter`, which reads the head, checks the key and shapes whatever goes wrong: a new route is
refused to strangers unless its row needs nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from litestar.types import Receive, Scope, Send
from msgspec import Struct

from llmux.access.gateway_keys import Permission
from llmux.errors import Kind, LlmuxError
from llmux.gateway import auth, watch
from llmux.gateway.call import Call, ClientGone, Departure, Sink
from llmux.gateway.door import read_headers
from llmux.gateway.journey import identity
from llmux.gateway.observe import log, origin
from llmux.gateway.peer import peer_of
from llmux.gateway.porch import Porch
from llmux.gateway.soon import Soon
from llmux.protocols.base import read_body
from llmux.protocols.events import Broken

Work = Callable[[Porch, Call, Sink], Awaitable[None]]


class Row(Struct, frozen=True):
    """One line of the route table (routes.py).

    protocols: served only while one of these is (empty = always); needs: permissions of which a client needs one (empty
    = open); mount: what continues the path belongs to it too (model names hold slashes, and a path parameter of an
    ASGI route fails in the framework)
    """

    paths: list[str]
    methods: tuple[str, ...]
    work: Work
    protocols: tuple[str, ...] = ()
    needs: tuple[Permission, ...] = ("write",)
    mount: bool = False


async def enter(porch: Porch, row: Row, path: str, scope: Scope, receive: Receive, send: Send) -> None:
    """From the head of a request to the end of its answer, whatever happens in between."""
    call = arrived(porch, path, scope)
    house, soon = call.house, call.soon
    sink = Sink(send, soon.loop)  # type: ignore[arg-type]
    departure: Departure | None = None
    unread = True
    with porch.drain.request(soon.task) as running:
        try:
            headers = read_headers(scope["headers"])
            call.headers = headers
            if "anthropic-version" in headers and call.protocol.name != "anthropic":
                call.protocol = porch.protocol_of(path, headers)
            if house.trusted:
                call.peer = peer_of(call.peer, headers.get("x-forwarded-for", ""), house.trusted)
            call.query = scope["query_string"].decode("latin-1")
            call.allowed = row.methods
            if call.method not in row.methods:
                raise LlmuxError(
                    Kind.method_not_allowed, f"{call.method} {path} is not served; use {' or '.join(row.methods)}"
                )
            if headers.get("upgrade", "").lower() == "websocket":
                raise LlmuxError(Kind.bad_request, "a WebSocket upgrade is not served here; send a plain request")
            if not house.keys:
                auth.guard_browser(headers, house.config)
            call.private = "admin" in row.needs
            running.aside = call.private or not row.needs
            call.client = auth.admit(house, headers, row.needs)
            auth.check_permission(call.client, row.needs)
            if call.method == "POST":
                unread = False
                call.data = await porch.bodies.read(receive, headers, soon)  # type: ignore[arg-type]
                call.body = read_body(call.data) if call.data or not call.private else {}
            departure = Departure(receive, call, sink)  # type: ignore[arg-type]
            await row.work(porch, call, sink)
        except ClientGone:
            call.gone = True
        except LlmuxError as error:
            if unread:
                await porch.bodies.skip(receive, call.headers)  # type: ignore[arg-type]
            await answer_error(call, sink, error)
        except asyncio.CancelledError:
            if running.expired and not call.gone:
                uncancel()
                await answer_error(call, sink, ENDING)
            elif call.gone:
                uncancel()
            else:
                raise
        except RecursionError:  # only what a client nested can lead so deep
            await answer_error(call, sink, LlmuxError(Kind.bad_request, "the request is nested too deep"))
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of an extension module is no Exception
            log().error("internal error", request=f"req_{call.id}", path=path, **origin(error))
            await answer_error(call, sink, LlmuxError(Kind.internal, f"internal error: {type(error).__name__}"))
        finally:
            if departure is not None:
                departure.stop()
            soon.stop()
            porch.bodies.release(call.data)
            porch.ended(call, sink, soon.loop.time() - call.started)
            call.journey = None  # it knows the call: as a ring both would keep the body until the collector comes by


def arrived(porch: Porch, path: str, scope: Scope) -> Call:
    """A request whose head is there, in the house of the moment; its headers are still to be read."""
    house = porch.house
    client = scope.get("client")
    return Call(
        f"{random.getrandbits(96):024x}",
        house,
        porch.spoken_at(path),
        method=scope["method"],  # type: ignore[typeddict-item]
        path=path,
        headers={},
        peer=client[0] if client else "",
        soon=Soon(),
        arrived=house.clock(),
    )


async def answer_error(call: Call, sink: Sink, error: LlmuxError) -> None:
    """Tells the client what went wrong: as an HTTP answer, or in the stream if that is already open."""
    call.error = error
    error.__traceback__ = error.__context__ = None  # its frames hold the body, and the call holds it: a circle
    if sink.ended or call.gone:
        return
    journey = call.journey
    if sink.opened:
        try:
            async with asyncio.timeout(watch.WRITE):
                if sink.broken is not None:
                    await sink.write(sink.broken(error))
                elif journey is not None:
                    await sink.write(call.protocol.writer(journey.asked).write(Broken(error)))
                await sink.end()
        except TimeoutError:
            call.gone = True  # it takes nothing; the server closes the connection without an end
        return
    status, headers, body = call.protocol.write_error(error)
    if error.kind is Kind.method_not_allowed:  # RFC 9110, section 15.5.6: which methods would do
        headers.append(("allow", ", ".join(method for method in call.allowed if method != call.method)))
    headers = [*headers, *identity(call.id), *(journey.error_head() if journey is not None else ())]
    await sink.whole(status, headers, b"" if call.method == "HEAD" else body)


def uncancel() -> None:
    """This task goes on although it was cancelled: the reason is known, and told in another way."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


ENDING = LlmuxError(Kind.overloaded, "llmux is shutting down; ask again", retry_after=1)
"""What is told to whoever outlasts the grace."""
