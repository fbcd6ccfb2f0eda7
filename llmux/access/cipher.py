"""The cipher of stored secrets: what is written down can be read only with a master key, and only where it belongs.

Sealed text is `ID.TOKEN`: which master key sealed it (so that a missing one can be named), and a Fernet token of the
secret together with the record it belongs to. Moved to another record, changed by a bit or opened with another key, it
is refused; nothing is ever stored or taken in the clear instead.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from llmux.config.schema import Secret
from llmux.errors import Kind, LlmuxError

SHORTEST = 32
"""Characters that a master key has at least: `openssl rand -hex 32` gives twice as many."""


class UnknownMaster(LlmuxError):
    """A secret was sealed with a master key that is not here."""


class Cipher:
    """Seals with the first of these master keys, opens with any of them."""

    def __init__(self, masters: Sequence[Secret]) -> None:
        if not masters:
            raise LlmuxError(Kind.config, "there is no master key to seal secrets with; set $LLMUX_MASTER_KEY")
        self.ids = tuple(_id(master) for master in masters)
        self._fernet = MultiFernet([Fernet(_derived(master)) for master in masters])

    def seal(self, record: str, secret: Secret) -> str:
        """The secret as it may be written down. record: whose it is, in words (`account openai:team-b`)."""
        token = self._fernet.encrypt(msgspec.json.encode((record, secret.reveal())))
        return f"{self.ids[0]}.{token.decode()}"

    def unseal(self, record: str, sealed: str) -> Secret:
        """The secret of this record. Raises UnknownMaster, or LlmuxError(config) when it was changed or moved."""
        master, _, token = sealed.partition(".")
        try:
            found, text = msgspec.json.decode(self._fernet.decrypt(token.encode()), type=tuple[str, str])
        except (InvalidToken, UnicodeEncodeError, msgspec.DecodeError):
            if master not in self.ids:
                raise UnknownMaster(
                    Kind.config,
                    f"the secret of {record} was sealed with master key {master[:8]}, which is not here (here: "
                    f"{', '.join(self.ids)}); set $LLMUX_MASTER_KEY to it, or enter the secret anew",
                ) from None
            raise LlmuxError(
                Kind.config,
                f"the stored secret of {record} was changed or damaged and is not used; enter it anew, or restore the "
                "vault from a backup",
            ) from None
        if found != record:
            raise LlmuxError(
                Kind.config,
                f"the stored secret of {record} belongs to {found} and is not used: somebody has changed the vault; "
                "restore it from a backup, or enter the secret anew",
            )
        return Secret(text, "vault")


def _derived(master: Secret) -> bytes:
    """A Fernet key from a master key of any spelling; it is random, so no slow derivation is needed."""
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"llmux vault").derive(master.reveal().encode())
    return base64.urlsafe_b64encode(derived)


def _id(master: Secret) -> str:
    """Tells master keys apart and says nothing else of them."""
    return hashlib.sha256(b"llmux master key id\0" + master.reveal().encode()).hexdigest()[:8]
