"""OAuth tokens as the vault keeps them: sealed, with a version, so that of two refreshes at once only one is kept."""

from __future__ import annotations

from msgspec import Struct

from llmux.access.vault import TOKENS, Vault
from llmux.config.schema import Secret


class StoredTokens(Struct, frozen=True):
    """The tokens of an account. version: counted up with every change; text: as the one who stored them wrote it."""

    version: int
    text: Secret


def read_tokens(vault: Vault, provider: str, account: str) -> StoredTokens | None:
    """The tokens of an account; None = it has none. Raises LlmuxError(config) when they cannot be opened."""
    with vault.read() as connection:
        row = None
        if connection is not None:
            query = "SELECT version, sealed FROM tokens WHERE provider = ? AND account = ?"
            row = connection.execute(query, (provider, account)).fetchone()
    if row is None:
        return None
    return StoredTokens(row[0], vault.unseal(TOKENS.format(provider, account), row[1]))


def write_tokens(vault: Vault, provider: str, account: str, text: Secret, *, after: int | None = None) -> bool:
    """Keeps an account's tokens. after: the version they follow (0 = there were none); when somebody else has stored
    newer ones meanwhile, nothing is changed and the answer is False. None: whatever there is, is replaced."""
    with vault.write() as connection:
        query = "SELECT version FROM tokens WHERE provider = ? AND account = ?"
        (version,) = connection.execute(query, (provider, account)).fetchone() or (0,)
        if after is not None and after != version:
            return False
        sealed = vault.seal(connection, TOKENS.format(provider, account), text)
        connection.execute(
            "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?)", (provider, account, version + 1, sealed)
        )
    return True
