"""llmux as a child process: started on a free port, waited for, ended for sure.

The demo, the examples and the end-to-end tests run the real program this way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

_START = 20.0
"""Seconds that llmux has until it answers /health."""
_END = 5.0
"""Seconds between SIGTERM and SIGKILL, beyond the drain."""
_STRAY = frozenset({"CONFIG_PATH", "PORT"})
"""Environment of the caller that would change the child, besides LLMUX_*."""


class ChildFailed(Exception):
    """llmux did not start; the message holds the end of what it said."""


class Child:
    """A running llmux. url: where it answers, without a slash at the end; config: its configuration file."""

    def __init__(self, url: str, config: Path, log: Path, process: Process) -> None:
        self.url = url
        self.config = config
        self.process = process
        self._log = log

    def log(self) -> str:
        """Everything it has written so far, standard error and output alike."""
        return self._log.read_text("utf-8", "replace")

    @property
    def code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self.process.returncode

    async def stop(self, seconds: float = _END) -> int:
        """Asks it to end, makes it end after `seconds`, and gives its exit code."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                async with asyncio.timeout(seconds):
                    await self.process.wait()
            except TimeoutError:
                self._kill()
                await self.process.wait()
        assert self.process.returncode is not None
        return self.process.returncode

    def _kill(self) -> None:
        """Ends the process and its workers, without asking."""
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()


@contextlib.asynccontextmanager
async def running(
    config: str,
    *,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    https: bool = False,
    verify: bool | ssl.SSLContext = True,
) -> AsyncIterator[Child]:
    """`llmux start` with this configuration (TOML text), ready to answer; it has ended when the context closes.

    It runs on a free port of 127.0.0.1, in a directory of its own that holds its configuration, state and log.
    `environment` is added to the caller's. `https` serves with a certificate made for it unless the configuration
    names one; `verify` is how that is checked. Raises ChildFailed.
    """
    with tempfile.TemporaryDirectory(prefix="llmux-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        path = directory / "config.toml"
        path.touch(0o600)
        state = "" if "[state]" in config else f"\n[state]\npath = {json.dumps(str(directory / 'state.db'))}\n"
        path.write_text(config + state, "utf-8")
        port = free_port()
        more = ["--host", "127.0.0.1", "--port", str(port), *(["--https"] if https else []), *arguments]
        with _ended_by_sigterm():
            child = await _start(f"{'https' if https else 'http'}://127.0.0.1:{port}", path, more, environment or {})
            try:
                await _ready(child, verify)
                yield child
            finally:
                await asyncio.shield(child.stop())


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM cancels this task while the context is open, as Ctrl-C does, so that the child is not left behind."""
    task = asyncio.current_task()
    if task is None or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    except (NotImplementedError, ValueError, RuntimeError):  # Windows; not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _start(url: str, path: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> Child:
    inherited = {name: value for name, value in os.environ.items() if not (name.startswith("LLMUX_") or name in _STRAY)}
    log = path.parent / "llmux.log"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llmux", "start", "--config", str(path)),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=path.parent,
            env={**inherited, **environment},
            start_new_session=True,
        )
    return Child(url, path, log, process)


async def _ready(child: Child, verify: bool | ssl.SSLContext) -> None:
    async with httpx.AsyncClient(verify=verify, trust_env=False) as client:
        try:
            async with asyncio.timeout(_START):
                while child.code is None:
                    with contextlib.suppress(httpx.TransportError):
                        if (await client.get(f"{child.url}/health")).status_code == 200:
                            return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise ChildFailed(f"llmux did not answer within {_START:.0f} s:\n{child.log()[-4000:]}") from None
    raise ChildFailed(f"llmux ended with exit code {child.code}:\n{child.log()[-4000:]}")
