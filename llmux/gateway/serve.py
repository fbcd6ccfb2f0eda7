"""The server process: granian with the options that a gateway needs, and the configuration handed to its workers.

    llmux start ── serve(config) ─┬─ worker 1 ── create_app() ── handed() ── Handover, Link
                                  └─ worker 2 …

Workers inherit the configuration: in memory where they are forked, through the pipe of `multiprocessing` where they
are spawned. Nothing of it is in an argument list, an environment variable or a file.
"""

from __future__ import annotations

import errno
import gc
import importlib
import importlib.util
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_start_method, parent_process
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from llmux.config.load import sources
from llmux.config.overrides import Overrides
from llmux.config.schema import Config
from llmux.config.watch import look
from llmux.errors import Kind, LlmuxError
from llmux.gateway import observe, stop
from llmux.gateway.link import Failed, Handover, Link
from llmux.gateway.tokenizer import encoding

BACKLOG = 1024
CONCURRENT = 4096
"""Requests that a worker takes at a time; the next ones wait in the backlog. Streams are long and cost little."""

GARBAGE = 20_000
"""Objects that are made before the garbage collector looks at them: about a millisecond's look."""

OLLAMA_PORT = 11434
"""Where Ollama listens, and where its clients look for it."""

DETAIL = 1000
"""Characters that the reason of a failed start may have."""

_NOTHING = Overrides()
_HANDED: list[tuple[Handover, Link]] = []


def handed() -> tuple[Handover, Link]:
    """What this worker starts with, and its line to the parent. Raises LlmuxError(config) in a process that `serve`
    did not start."""
    if not _HANDED:
        raise LlmuxError(Kind.config, "this process is no worker of llmux; start the server with `llmux start`")
    return _HANDED[-1]


def give_up(error: Exception) -> None:
    """Ends this worker, because it cannot serve for this reason; the parent says so, once for all workers, and ends
    with 2 for LlmuxError(config) and 1 for anything else. Does nothing in a process that `serve` did not start."""
    if not _HANDED:
        return
    wrong = isinstance(error, LlmuxError)
    detail = str(error)[:DETAIL] if wrong else f"{type(error).__name__}: {error}"[:DETAIL]
    fields = {} if wrong else observe.origin(error)
    code = 2 if isinstance(error, LlmuxError) and error.kind is Kind.config else 1
    _HANDED[-1][1].fail(Failed(code, {"detail": detail, **fields}))
    stop.leave(code)


def listen_address(config: Config) -> tuple[str, int]:
    """The address to bind, the host as a number; port 0 becomes a free one. Raises LlmuxError(config) with a hint when
    it cannot be had. The server itself would share a busy port with its owner (SO_REUSEPORT) without a word."""
    host, port = config.host, config.port
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError):
        raise LlmuxError(Kind.config, f"host {host!r} is no address of this machine") from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # elsewhere the option would let two programs share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            probe.listen()
        except OSError as error:
            raise LlmuxError(Kind.config, _bind_hint(error, host, port)) from None
        return str(where[0]), probe.getsockname()[1]


def check_tls(config: Config) -> None:
    """Raises LlmuxError(config) when the certificate files cannot be used."""
    if not config.https_enabled:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(config.ssl_cert_file, config.ssl_key_file, password=_no_password)
    except OSError as error:  # SSLError is one
        strange = isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH"
        reason = "they do not belong together" if strange else error.strerror or str(error)
        raise LlmuxError(
            Kind.config, f"ssl_cert_file {config.ssl_cert_file} and ssl_key_file {config.ssl_key_file}: {reason}"
        ) from None
    if config.ssl_ca_file:
        try:
            context.load_verify_locations(config.ssl_ca_file)
        except OSError as error:
            raise LlmuxError(Kind.config, f"ssl_ca_file {config.ssl_ca_file}: no certificate ({error})") from None


def serve(
    config: Config,
    target: str = "llmux.app:create_app",
    *,
    asked: Config | None = None,
    overrides: Overrides = _NOTHING,
    verbose: bool = False,
) -> int:
    """Runs the server until it is told to stop, and returns its exit code. `target` names the factory of the
    application; `config` has passed `listen_address` and `check_tls`. asked: the configuration before those changed it;
    overrides: what of it came from the command line."""
    from granian.constants import HTTPModes, Interfaces, Loops, SSLProtocols
    from granian.log import LogLevels

    from llmux.gateway.parent import patience, server_class

    if config.log.format == "text":
        importlib.import_module("structlog.dev")
    importlib.import_module(target.partition(":")[0])  # forked workers share what is imported and loaded here,
    if get_start_method() == "fork" and any(backend.context is not None for backend in config.backends):
        encoding()
    gc.freeze()  # as long as nobody writes to it: a look of the collector does, at 18 MB in 30 ms for each worker
    _raise_descriptor_limit()
    files = config.ssl_cert_file, config.ssl_key_file, config.ssl_ca_file
    cert, key, ca = (Path(file) if file and config.https_enabled else None for file in files)
    server = server_class()(
        target,
        address=config.host,
        port=config.port,
        interface=Interfaces.ASGI,
        workers=config.workers,
        loop=Loops.uvloop if importlib.util.find_spec("uvloop") else Loops.asyncio,
        http=HTTPModes.http1,  # an idle HTTP/2 connection would hold up every stop until the grace is over
        websockets=False,
        backlog=BACKLOG,
        backpressure=CONCURRENT,
        log_level=LogLevels.info if verbose else LogLevels.warning,
        log_dictconfig=_logging(config.log.format),
        log_access=False,
        ssl_cert=cert,
        ssl_key=key,
        ssl_ca=ca,
        ssl_client_verify=ca is not None,
        ssl_protocol_min=SSLProtocols.tls12,
        respawn_failed_workers=True,
        workers_kill_timeout=patience(config),
    )
    server.handover = _handover(config, asked or config, overrides)
    try:
        server.serve(target_loader=partial(_worker_app, target), wrap_loader=False)
    except SystemExit as leaving:
        # A worker that heard Ctrl-C before its parent did counts as failed there; being told to stop is no failure.
        return 0 if server.interrupt_signal else int(leaving.code or 0)
    failed: Failed | None = server.failed
    if failed is None:
        return 0
    observe.set_up(config)
    observe.log().critical("cannot start", **failed.fields)
    return failed.code


def _handover(config: Config, asked: Config, overrides: Overrides) -> Handover:
    seen = look(sources(config.path), None, time.time()) if config.path else None
    if seen is not None and seen.young:  # they may have changed since they were read
        seen = None
    return Handover(
        config=config,
        asked=asked,
        overrides=overrides,
        seen=seen,
        instance=int(time.time()),
        pid=os.getpid(),
        salt=os.urandom(16),
    )


def _worker_app(target: str, handover: Handover, line: Connection) -> Any:
    """The application, made in a worker."""
    stop.take_over()
    Finalize(None, observe.flush, exitpriority=0)  # a forked process ends without what `atexit` knows
    link = Link(line)
    link.listen()
    _HANDED.append((handover, link))
    _follow_parent()
    module, _, name = target.partition(":")
    try:
        factory: Callable[[], Any] = getattr(importlib.import_module(module), name)
        app = factory()
    except Exception as error:
        give_up(error)
        raise
    _calm_collector()
    return app


def _calm_collector() -> None:
    """Lets the garbage collector look less often, and never again at what was there before the first request.

    A request makes no cycles but a few hundred objects, and its neighbours keep theirs: with the interpreter's own
    thresholds an eighth of the CPU time under load goes into looking at them in vain.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 20, 50)


def _follow_parent() -> None:
    """Ends this worker when its parent has died without a word: nobody else would."""
    parent = parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True, name="llmux-parent").start()


def _raise_descriptor_limit() -> None:
    """Takes all file descriptors that this process may have: each stream needs two."""
    try:
        import resource
    except ImportError:
        return  # not a POSIX system
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            return  # the system knows better


def _bind_hint(error: OSError, host: str, port: int) -> str:
    where = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
    if error.errno == errno.EADDRINUSE and port == OLLAMA_PORT:
        return (
            f"{where} is in use by another program, probably Ollama. Stop it, or start it elsewhere "
            f"(OLLAMA_HOST=127.0.0.1:{port + 1}), or take another port for llmux (--port {port + 1}) and tell "
            "the client: `llmux setup zed`, or OLLAMA_HOST"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use by another program, maybe another llmux. "
            f"Stop it, or take another port: --port {port + 1}"
        )
    if error.errno == errno.EACCES:
        return f"{where}: ports below 1024 are for privileged programs. Take another one: --port 8082"
    if error.errno == errno.EADDRNOTAVAIL:
        return f'{where} is no address of this machine; host = "127.0.0.1" or "0.0.0.0" is'
    return f"cannot listen on {where}: {error.strerror or error}"


def _no_password() -> str:
    raise OSError(errno.EACCES, "the key is protected by a password; give one without")


class LogLine:
    """Formats the server's own messages as the rest of the log is formatted."""

    def __init__(self, style: str) -> None:
        self._render = observe.renderer(style, observe.Redactor(()))

    def format(self, record: Any) -> str:
        """One line."""
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}: {record.exc_info[1]!r}"
        told = {"detail": text, "event": "server", "level": record.levelname.lower(), "timestamp": record.created}
        return self._render(told)


def _logging(style: str) -> dict[str, Any]:
    handler = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr", "formatter": "llmux"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"llmux": {"()": LogLine, "style": style}},
        "handlers": {"console": handler},
        "loggers": {
            "_granian": {"handlers": ["console"], "level": "WARNING", "propagate": False},
            "granian.access": {"handlers": [], "level": "WARNING", "propagate": False},
        },
    }
