"""A stand-in for the real application: streams, a slow body and the drain, over plain ASGI. Run as a program it serves
the configuration that its arguments spell as JSON: host, port, workers, drain; `factory` names another application,
`told_at_fork`: it and its worker are told to stop once, at the moment of the fork."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from multiprocessing.popen_fork import Popen
from typing import Any

from llmux.config.schema import Config
from llmux.errors import Kind, LlmuxError
from llmux.gateway.drain import Drain
from llmux.gateway.serve import handed, listen_address, serve
from llmux.routing.backend import Timeouts


class App:
    """`/pid` answers with the worker's process id, `/stream?SECONDS` with events, anything else reads its body."""

    def __init__(self, drain: Drain, *, told_early: bool = False) -> None:
        self.drain = drain
        self.told_early = told_early

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        with self.drain.request(asyncio.current_task()) as running:
            try:
                await self._answer(scope, receive, send)
            except asyncio.CancelledError:
                if not running.expired:
                    raise
                asyncio.current_task().uncancel()  # type: ignore[union-attr]
                await send({"type": "http.response.body", "body": b"event: error\n\n", "more_body": False})

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.drain.install()
                if self.told_early:
                    os.kill(os.getpid(), signal.SIGTERM)
            else:
                self.drain.remove()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answer(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            for number in range(int(float(scope["query_string"]) / 0.05)):
                await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
                await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": b"data: end\n\n", "more_body": False})
            return
        while scope["path"] != "/pid" and (await receive()).get("more_body"):
            pass
        body = str(os.getpid()).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def create_app() -> App:
    """What a worker runs."""
    return App(Drain(handed()[0].config.timeouts.drain))


def create_told() -> App:
    """An application that is told to stop when it listens already and the server does not serve yet."""
    return App(Drain(handed()[0].config.timeouts.drain), told_early=True)


def create_refused() -> App:
    """What a wrong configuration comes to in a worker."""
    raise LlmuxError(Kind.config, "the stand-in does not like this")


def create_crashing() -> App:
    """What a fault comes to in a worker."""
    raise RuntimeError("the stand-in\nis broken")


def tell_at_fork() -> None:
    """A worker is told while it has not come to its first line of code, and nobody tells it again."""
    fork = os.fork

    def forked() -> int:
        child = fork()
        if child:
            os.kill(child, signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        return child

    os.fork = forked
    Popen.terminate = lambda _: None  # type: ignore[method-assign]


def main() -> int:
    """Serves until told to stop; prints the port first."""
    given = json.loads(sys.argv[1])
    drain, factory = given.pop("drain"), given.pop("factory", "create_app")
    if given.pop("told_at_fork", False):
        tell_at_fork()
    config = Config(timeouts=Timeouts(drain=drain), **given)
    _, port = listen_address(config)
    print(port, flush=True)
    return serve(Config(timeouts=config.timeouts, **{**given, "port": port}), f"tests.faults.standin:{factory}")


if __name__ == "__main__":
    sys.exit(main())
