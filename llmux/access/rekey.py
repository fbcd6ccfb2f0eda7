"""Changing the master key: every stored secret is opened with the old keys and sealed with a new one."""

from __future__ import annotations

from llmux.access.cipher import Cipher
from llmux.access.master import new_master, write_file
from llmux.access.vault import SEALED, Vault


def rekey(vault: Vault) -> int:
    """Seals every secret with the first key of `$LLMUX_MASTER_KEY`, or where that is not set with a new one, which
    then is the only one in the key file. Returns how many secrets there were.

    A crash on the way loses nothing: the new key is on the disk before anything is sealed with it, and the old ones
    are there until everything is. Raises LlmuxError(config), changing nothing, when a secret cannot be opened.
    """
    with vault.write() as connection:
        old = vault.masters()
        if not old:
            vault.check_unsealed(connection)
        first = new_master() if vault.keeps_master or not old else old[0]
        if vault.keeps_master:
            write_file(vault.key_file, [first, *old])
        cipher = Cipher([first, *old])
        count = 0
        for table, names, record in SEALED:
            columns, given = ", ".join(names), " AND ".join(f"{name} = ?" for name in names)
            rows = connection.execute(f"SELECT sealed, {columns} FROM {table}").fetchall()  # noqa: S608
            for sealed, *whose in rows:
                owner = record.format(*whose)
                anew = cipher.seal(owner, cipher.unseal(owner, sealed))
                connection.execute(f"UPDATE {table} SET sealed = ? WHERE {given}", (anew, *whose))  # noqa: S608
                count += 1
    if vault.keeps_master:
        with vault.write():
            if vault.masters()[0] == first:
                write_file(vault.key_file, [first])
    vault.forget_masters()
    return count
