"""As whom we call: every account of every provider, and the seats that follow from them (routing/accounts.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from llmux.access.logins import ref, usable
from llmux.access.oauth import fingerprint
from llmux.access.stored_accounts import read_accounts
from llmux.access.vault import Vault
from llmux.config.backends import cooldown_key
from llmux.config.schema import Account, Provider, Secret
from llmux.routing.accounts import DEFAULT, DISABLED, Seat, Seats, slot_names
from llmux.routing.backend import Backend

_NO_LOGINS: Mapping[str, str] = {}


class Roster(Struct, frozen=True):
    """The accounts of one configuration, laid out for use.

    providers  by name; one with a single plain key has it as its api_key, whichever table it came from
    backends   in file order, each with the cooldown_key that belongs to that key
    seated     the seats of every backend whose provider has more than a plain key, by backend name
    accounts   by seat name: whose credentials to use there
    slots      what the state store has to know besides the backends
    """

    providers: dict[str, Provider]
    backends: tuple[Backend, ...]
    seated: dict[str, Seats]
    accounts: dict[str, Account]
    slots: tuple[Backend, ...]


class Kept(Struct, frozen=True):
    """What the vault adds to a configuration. logins: the accounts whose login can be used, `provider:name` -> the
    `fingerprint` of its OAuth client."""

    accounts: tuple[Account, ...] = ()
    logins: dict[str, str] = {}


NOTHING = Kept()


def read_kept(vault: Vault | None) -> Kept:
    """The accounts and logins of the vault. Raises LlmuxError when it is refused or damaged."""
    return Kept(kept_accounts(vault), usable(vault))


def kept_accounts(vault: Vault | None) -> tuple[Account, ...]:
    """The accounts of the vault, none without one. What keeps one from being used is its `away`."""
    if vault is None:
        return ()
    return tuple(
        replace(stored.account, away=DISABLED if not stored.enabled else stored.fault)
        for stored in read_accounts(vault)
    )


def roster(
    providers: Mapping[str, Provider],
    backends: Sequence[Backend],
    accounts: Iterable[Account],
    logins: Mapping[str, str] = _NO_LOGINS,
) -> Roster:
    """Lays the accounts out. A provider's own api_key is its first account, `default`; of two with one name the first
    counts. logins: as in `Kept`."""
    mine = dict(providers)
    by_provider = {name: _accounts(provider, accounts) for name, provider in providers.items()}
    plain = {name for name, found in by_provider.items() if len(found) < 2 and all(map(_is_plain, found))}
    for name in plain & {account.provider for account in accounts}:
        key = by_provider[name][0].api_key
        mine[name] = replace(mine[name], api_key=key)
    changed = tuple(
        replace(backend, cooldown_key=cooldown_key(mine[backend.provider], backend.model))
        if mine[backend.provider] is not providers[backend.provider]
        else backend
        for backend in backends
    )
    seated: dict[str, Seats] = {}
    at: dict[str, Account] = {}
    slots: dict[str, Backend] = {}
    for backend in changed:
        if backend.provider in plain:
            continue
        provider = mine[backend.provider]
        seats = []
        for account in by_provider[backend.provider]:
            seat = _seat(backend, provider, account, _away(account, logins))
            seats.append(seat)
            at[seat.slots[0].name] = account
            slots |= {slot.name: slot for slot in seat.slots}
        seated[backend.name] = Seats(backend, tuple(seats))
    return Roster(mine, changed, seated, at, tuple(slots.values()))


def _accounts(provider: Provider, accounts: Iterable[Account]) -> tuple[Account, ...]:
    own = (Account(provider=provider.name, name=DEFAULT, api_key=provider.api_key),) if provider.api_key else ()
    found = [*own, *(account for account in accounts if account.provider == provider.name)]
    return tuple({account.name: account for account in reversed(found)}.values())[::-1]


def _is_plain(account: Account) -> bool:
    return account.oauth is None and not account.limits and not account.away


def _away(account: Account, logins: Mapping[str, str]) -> str:
    """Why an account cannot be used until somebody does something about it."""
    if account.away or account.oauth is None or account.oauth.grant == "client_credentials":
        return account.away
    known = logins.get(ref(account)) == fingerprint(account.oauth)
    return "" if known else f"it needs a login: llmux oauth start {ref(account)}"


def _seat(backend: Backend, provider: Provider, account: Account, away: str) -> Seat:
    """One backend as one account. Its cooldown ends early when the account's key does, as a backend's would."""
    name, whole = slot_names(backend.name, account.name, provider.name)
    key = account.api_key if account.oauth is None else Secret(fingerprint(account.oauth))
    own = Backend(
        name=name,
        provider=provider.name,
        model=backend.model,
        cooldown_key=cooldown_key(replace(provider, api_key=key), backend.model),
    )
    slots: tuple[Backend, ...] = (own,)
    if account.limits:
        slots += (Backend(name=whole, provider=provider.name, model="", limits=account.limits),)
    return Seat(account.name, slots, away)
