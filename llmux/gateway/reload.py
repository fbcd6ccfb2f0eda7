"""Live configuration: when a file changes, this worker builds a whole new house, and moves into it in one step.

    look at the files ─ load ─ lay the command line over it ─ keep what takes a restart ─ keys of the vault ─ build ─
    open ─ move in

Whatever goes wrong on the way leaves everything as it is, and is said once. Requests that entered the old house end
there. Every worker looks by itself, twice a second; SIGHUP and the administrative routes make it look at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from llmux.access.accounts import Kept
from llmux.access.overrides import overridden
from llmux.background import end
from llmux.config.load import load, sources
from llmux.config.overrides import settle
from llmux.config.schema import Config
from llmux.config.watch import Look, changed, look, revision
from llmux.errors import Kind, LlmuxError
from llmux.gateway import observe
from llmux.gateway.link import Handover, Link

if TYPE_CHECKING:
    from llmux.gateway.house import House
    from llmux.gateway.porch import Porch

PERIOD = 0.5
"""Seconds between two looks at the files."""

SETTLE = 0.3
"""Seconds after which a file that cannot be used is read once more: an editor may have been in the middle of it."""

SECRETS = 500
"""How many secrets stay masked in the log, the oldest of those that are served no more are forgotten first."""

_TLS = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file")
NO_FILE = "llmux runs without a configuration file; there is nothing to reload"


class Standing(Struct, frozen=True):
    """What is served now.

    revision  stands for the configuration, equal on every worker that serves the same
    applied   when this worker took it on, seconds since the epoch
    error     why the files as they are now are not what is served; None = they are
    later     settings of the files that take a restart
    """

    revision: str
    applied: float
    error: LlmuxError | None = None
    later: tuple[str, ...] = ()


class Reloader:
    """Keeps the house of one worker like its files.

    standing: how far it is; instance, pid: when llmux was started, and its process
    """

    def __init__(self, porch: Porch, handover: Handover, link: Link | None = None) -> None:
        self._porch = porch
        self._handover = handover
        self._link = link
        self._lock = asyncio.Lock()
        self._seen = handover.seen
        self._secrets = dict.fromkeys(observe.secrets_of(handover.config))
        config = handover.config
        self._certificates = tuple(Path(file) for name in _TLS if (file := getattr(config, name)))
        self._certified: Look | None = None
        self._task: asyncio.Task[None] | None = None
        self.instance = handover.instance
        self.pid = handover.pid or os.getpid()
        self.standing = Standing(revision(handover.config, handover.salt), time.time())

    def begin(self) -> None:
        """Starts to look at the files; without any there is only SIGHUP to answer."""
        if self._handover.config.path is not None or self._link is not None:
            self._task = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        """Looks no more."""
        task, self._task = self._task, None
        await end(task)

    async def reload(self) -> Standing:
        """Reads the files now, whether they have changed or not. Raises LlmuxError(config) with everything that is
        wrong with them; the house is then what it was."""
        if self._handover.config.path is None:
            raise LlmuxError(Kind.config, NO_FILE)
        async with self._lock:
            await self._read(asked=True)
        if self.standing.error is not None:
            raise LlmuxError(Kind.config, self.standing.error.detail)
        return self.standing

    async def man(self, kept: Kept) -> None:
        """Moves into the house of the same configuration with what the vault holds now."""
        async with self._lock:
            old = self._porch.house
            old.logins.forget_failures()
            house = old.successor(old.config, kept)
            await house.open()
            self._mask(house)
            self._porch.move_in(house)

    async def refresh(self) -> None:
        """Reads the files because something beside them has changed; what is wrong with them is in the log."""
        if self._handover.config.path is not None:
            async with self._lock:
                await self._read(asked=False)

    def over(self, config: Config) -> Config:
        """The configuration with what the command line said. Raises LlmuxError(config) for what must not be served."""
        return self._handover.overrides.over(config, gateway_keys=self._porch.house.issued.ever)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            try:
                await self._glance()
            except Exception as error:  # whatever it is, the next change must be seen
                observe.log().error("internal error", path="", **observe.origin(error))

    async def _glance(self) -> None:
        """One look, and what follows from it."""
        path = self._handover.config.path
        if self._link is not None and self._link.told():
            if path is None:
                observe.log().warning("configuration", outcome="unchanged", faults=[NO_FILE])
            else:
                with contextlib.suppress(LlmuxError):  # it is in the log
                    await self.reload()
            return
        if self._certificates and self._handover.config.https_enabled:
            await self._inspect()
        if path is None:
            return
        async with self._lock:
            before = self._seen
            files = before.files if before is not None else (path,)
            after = await asyncio.to_thread(look, files, before, time.time())
            if changed(before, after):
                await self._read(asked=False)
            else:
                self._seen = after

    async def _inspect(self) -> None:
        """Says when a certificate has been renewed: the server has read it once and for all."""
        before = self._certified
        self._certified = await asyncio.to_thread(look, self._certificates, before, time.time())
        if before is not None and changed(before, self._certified):
            observe.log().warning("configuration", outcome="restart needed", settings=list(_TLS))

    async def _read(self, *, asked: bool) -> None:
        """Reads the files and takes on what they say, or notes why not. asked: somebody waits for the answer."""
        try:
            try:
                config, later = await asyncio.to_thread(self._load)
            except Exception:
                await asyncio.sleep(SETTLE)
                config, later = await asyncio.to_thread(self._load)
            await self._take_on(config, later, asked=asked)
        except Exception as error:
            self._fail(error, asked=asked)
        except BaseException:
            self._seen = None  # cut off: what was seen is not served yet
            raise

    def _load(self) -> tuple[Config, tuple[str, ...]]:
        """The configuration to serve now, and what of it takes a restart. Runs in a thread; what the files hold is
        noted before they are read, so that no later change is missed."""
        path = self._handover.config.path
        assert path is not None, "there is something to read"
        self._seen = look(sources(path), None, time.time())
        if path.exists() and not path.is_file():
            raise LlmuxError(Kind.config, f"{path}: it is no regular file and cannot be read again; restart llmux")
        config, later = settle(self.over(load(path, os.environ)), self._handover.asked, self._handover.config)
        return overridden(config), later

    async def _take_on(self, config: Config, later: tuple[str, ...], *, asked: bool) -> None:
        """Moves into the house of this configuration, unless it is the one that stands."""
        porch, old = self._porch, self._porch.house
        found = revision(config, self._handover.salt)
        before, same = self.standing, found == self.standing.revision
        if not same:
            house = old.successor(config)
            try:
                await house.open()
            except BaseException:
                with contextlib.suppress(LlmuxError):
                    await old.open()  # the store knows the old backends again
                raise
            self._mask(house)
            porch.move_in(house)
            if self._link is not None:
                self._link.serving(config)
        self.standing = Standing(found, before.applied if same else time.time(), None, later)
        if not same:
            log = observe.log()
            log.info("configuration", outcome="applied", revision=found, changed=_differences(old.config, config))
            known = set(old.config.warnings)
            for warning in config.warnings:
                if warning not in known:
                    log.warning("warning", detail=str(warning))
        elif asked or before.error is not None or (before.later and not later):
            observe.log().info("configuration", outcome="unchanged", revision=found)
        if later and (later != before.later or asked):
            observe.log().warning("configuration", outcome="restart needed", settings=list(later))

    def _mask(self, house: House) -> None:
        """Makes the log ready for this house; what was a secret before stays one."""
        for secret in (*observe.secrets_of(house.config), *observe.secrets_of_accounts(house.kept.accounts)):
            self._secrets.pop(secret, None)
            self._secrets[secret] = None  # the newest at the end
        for old in list(self._secrets)[:-SECRETS]:
            del self._secrets[old]
        observe.set_up(house.config, self._secrets)

    def _fail(self, error: Exception, *, asked: bool) -> None:
        """Notes why nothing has changed; says it once, and again when somebody asked."""
        known = self.standing.error
        wrong = error if isinstance(error, LlmuxError) else LlmuxError(Kind.config, _words(error))
        wrong.__traceback__ = wrong.__context__ = None  # its frames hold the configuration that was not taken on
        self.standing = Standing(self.standing.revision, self.standing.applied, wrong, self.standing.later)
        if asked or known is None or known.detail != wrong.detail:
            observe.log().error("configuration", outcome="not changed", faults=wrong.detail.split("\n"))


def _differences(old: Config, new: Config) -> list[str]:
    """The parts of a configuration that are not what they were, by their names in Config."""
    names = (name for name in Config.__struct_fields__ if name not in ("warnings", "inferred", "files"))
    return [name for name in names if getattr(old, name) != getattr(new, name)]


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: it cannot be read ({error.strerror})"
    return f"the configuration cannot be read: {type(error).__name__}"
