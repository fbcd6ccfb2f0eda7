"""The vault beside the state, as far as a configuration depends on it: which providers have a key there.

What else it holds, and how, is the business of `llmux/access/vault.py`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from llmux.config.schema import State


def vault_file(state: State) -> Path | None:
    """Where the vault that belongs to a state is; None when that keeps nothing."""
    return None if state.kind == "memory" else Path(f"{state.path}.access.sqlite")


def kept_providers(state: State) -> frozenset[str]:
    """The providers for which the vault has an account or a key; none where it cannot be read: whoever opens it in
    earnest says why."""
    path = vault_file(state)
    if path is None or not path.is_file():
        return frozenset()
    query = "SELECT provider FROM accounts UNION SELECT provider FROM overrides"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection,
    ):
        return frozenset(provider for (provider,) in connection.execute(query))
    return frozenset()
