"""Sockets that systemd opened for this program before it started. Source: sd_listen_fds(3), systemd.socket(5)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

import trio

from ninep.net.errors import CannotListen

FIRST = 3
"""The number of the first descriptor that is passed."""


def passed(name: str, environment: Mapping[str, str]) -> list[trio.SocketListener]:
    """The listening sockets called ``name`` (FileDescriptorName= of the unit), or all of them for an empty name.

    Raises:
        CannotListen: there are none, or one of them does not listen.
    """
    try:
        count = int(environment.get("LISTEN_FDS", "0"))
        ours = int(environment.get("LISTEN_PID", "0")) == os.getpid()
    except ValueError:
        count, ours = 0, False
    if count < 1 or not ours:
        raise CannotListen(
            "systemd passed no sockets: this address is for a service with a .socket unit (systemd.socket(5))"
        )
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    listeners: list[trio.SocketListener] = []
    for position in range(count):
        found = names[position] if position < len(names) else ""
        if name and found != name:
            continue
        descriptor = FIRST + position
        try:
            os.set_inheritable(descriptor, False)
            made = trio.socket.from_stdlib_socket(socket.socket(fileno=descriptor))
            if not made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise CannotListen(
                    f"socket {found or position} from systemd does not listen: say Accept=no in its unit"
                )
            listeners.append(trio.SocketListener(made))
        except (OSError, ValueError) as error:
            raise CannotListen(f"descriptor {descriptor} from systemd is no socket that listens: {error}") from error
    if not listeners:
        raise CannotListen(
            f"systemd passed no socket called {name!r}, only {', '.join(filter(None, names)) or 'others'}"
        )
    return listeners
