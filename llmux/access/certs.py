"""Development certificates: a CA, a server certificate and a client certificate in one folder."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from msgspec import Struct

LIFETIME = timedelta(days=397)
"""More than 398 days is refused by some clients (CA/Browser Forum ballot SC31)."""
RENEW = timedelta(days=14)
"""A certificate that ends sooner is replaced."""


class Certs(Struct, frozen=True):
    """The files of a folder. made: whether any of them was written just now."""

    folder: Path
    made: bool

    @property
    def ca(self) -> Path:
        """What clients must trust."""
        return self.folder / "ca.pem"

    @property
    def cert(self) -> Path:
        """The server's certificate with its chain."""
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        """The server's key."""
        return self.folder / "server.key"

    @property
    def client_cert(self) -> Path:
        """What a client shows when client certificates are required."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """The client's key."""
        return self.folder / "client.key"


def ensure(folder: Path, *, force: bool = False) -> Certs:
    """The certificates in `folder`; what is missing or ends soon is made. A CA that is there stays, so that clients
    need not be told again; `force` replaces it too. Raises OSError when a file cannot be read or written, and
    ValueError when it holds something else."""
    found = Certs(folder, made=False)
    ca_key = folder / "ca.key"
    leaves = ((found.cert, found.key), (found.client_cert, found.client_key))
    keep = not force and _lasts(found.ca) and ca_key.exists()
    if keep and all(_lasts(cert) and key.exists() for cert, key in leaves):
        return found
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if keep:
        ca = trustme.CA.from_pem(found.ca.read_bytes(), ca_key.read_bytes())
    else:
        ca = trustme.CA(organization_name="llmux development", organization_unit_name=socket.gethostname()[:64])
        _write(found.ca, ca.cert_pem.bytes(), 0o644)
        _write(ca_key, ca.private_key_pem.bytes(), 0o600)
    for (cert, key), names in zip(leaves, (_server_names(), ["llmux-client"]), strict=True):
        if keep and _lasts(cert) and key.exists():
            continue
        leaf = ca.issue_cert(*names, common_name=names[0], not_after=datetime.now(UTC) + LIFETIME)
        _write(cert, b"".join(part.bytes() for part in leaf.cert_chain_pems), 0o644)
        _write(key, leaf.private_key_pem.bytes(), 0o600)
    return Certs(folder, made=True)


def _server_names() -> list[str]:
    names = ["localhost", "127.0.0.1", "::1"]
    own = socket.gethostname()
    with contextlib.suppress(UnicodeError):
        if own.encode("idna").decode().replace("-", "").replace(".", "").isalnum() and own not in names:
            names.append(own)
    return names


def _lasts(cert: Path) -> bool:
    """Whether there is a certificate that is good for a while."""
    if not cert.exists():
        return False
    return x509.load_pem_x509_certificate(cert.read_bytes()).not_valid_after_utc > datetime.now(UTC) + RENEW


def _write(file: Path, data: bytes, mode: int) -> None:
    """Replaces a file in one step; its content is never readable by more than `mode` says."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as sink:
            sink.write(data)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
