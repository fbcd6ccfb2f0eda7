"""Who may call: the clients of `[tokens]`, and those that a gateway key was issued to, in one shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from llmux.access.gateway_keys import GatewayKey, Permission, digest_of
from llmux.config.schema import Client
from llmux.routing.backend import Backend
from llmux.routing.globs import matches


class Caller(Struct, frozen=True, kw_only=True):
    """A client as a request finds it.

    digest       SHA-256 of its key
    permissions  what it may do; `admin` comes with the others
    models       globs over what it may ask for; empty = everything
    budget       where its own limits are counted; None = it has none
    enabled      whether its key still opens anything
    """

    name: str
    digest: bytes
    permissions: frozenset[Permission]
    models: tuple[str, ...] = ()
    budget: Backend | None = None
    enabled: bool = True

    def may_ask(self, model: str) -> bool:
        """Whether it may ask for this name. The very name that is asked for counts, also where it pins a backend."""
        return not self.models or matches(self.models, model)


ALL: frozenset[Permission] = frozenset({"read", "write", "admin"})
PLAIN: frozenset[Permission] = frozenset({"read", "write"})


def of_config(clients: Iterable[Client]) -> dict[bytes, Caller]:
    """The clients of `[tokens]` by the digest of their key: they may read and write, whatever they ask for."""
    found = (Caller(name=client.name, digest=digest_of(client.key.reveal()), permissions=PLAIN) for client in clients)
    return {caller.digest: caller for caller in found}


def of_keys(keys: Iterable[GatewayKey]) -> dict[bytes, Caller]:
    """Those that a gateway key was issued to, by the digest of the key; disabled ones too."""
    return {key.digest: _of_key(key) for key in keys}


class Issued:
    """The gateway keys of the moment, shared by every house of a worker.

    ever: whether there has been any: a running llmux that asks for keys does not stop because the last one is removed.
    """

    def __init__(self) -> None:
        self.callers: Mapping[bytes, Caller] = {}
        self.budgets: tuple[Backend, ...] = ()
        self.ever = False

    def replace(self, callers: Mapping[bytes, Caller]) -> bool:
        """These are the keys from now on; whether their limits are others than before."""
        budgets = tuple(caller.budget for caller in callers.values() if caller.budget is not None)
        changed = budgets != self.budgets
        self.callers, self.budgets, self.ever = callers, budgets, self.ever or bool(callers)
        return changed


def budget_name(name: str) -> str:
    """Under which name the state store counts what a gateway key has used. No backend has a tab in its name."""
    return f"\t\t{name}"


def _of_key(key: GatewayKey) -> Caller:
    budget = None
    if key.limits or key.max_concurrent is not None:
        limits, most = key.limits, key.max_concurrent
        budget = Backend(name=budget_name(key.name), provider="", model="", limits=limits, max_concurrent=most)
    return Caller(
        name=key.name,
        digest=key.digest,
        permissions=_PERMISSIONS.get(key.permissions) or frozenset(key.permissions),
        models=key.models,
        budget=budget,
        enabled=key.enabled,
    )


_PERMISSIONS: dict[tuple[Permission, ...], frozenset[Permission]] = {
    ("read", "write"): PLAIN,
    ("admin",): ALL,
    ("read", "admin"): ALL,
    ("write", "admin"): ALL,
    ("read", "write", "admin"): ALL,
}
