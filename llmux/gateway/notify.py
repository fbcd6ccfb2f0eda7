"""Words to a supervisor that waits for them: systemd's readiness protocol, sd_notify(3)."""

from __future__ import annotations

import os
import socket

READY = b"READY=1"
STOPPING = b"STOPPING=1"


def notify(state: bytes) -> None:
    """Tells the supervisor, where $NOTIFY_SOCKET names one. Whoever does not listen is not told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return
    where = address.encode().replace(b"@", b"\0", 1) if address.startswith("@") else address.encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as channel:
            channel.connect(where)
            channel.sendall(state)
    except OSError:
        return
