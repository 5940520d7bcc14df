"""Making connections."""

from __future__ import annotations

import trio

from ninep.wire.address import ANY, parse
from ninep.wire.errors import BadAddress, Unreachable
from ninep.wire.networks import Networks

PATIENCE = 20.0
"""Seconds until a machine that says nothing is given up."""


async def dial(
    text: str, *, service: str, networks: Networks | None = None, patience: float = PATIENCE
) -> trio.SocketStream:
    """Connects to the address ``text``; see ``address.parse``.

    A machine with several addresses is tried at all of them (RFC 8305), and TCP_NODELAY is set. Cancelled, nothing
    stays open.

    Raises:
        BadAddress: the text or the network cannot be understood.
        Unreachable: nobody answers there, within ``patience`` seconds.
    """
    address = parse(text, service)
    table = networks or Networks()
    table.value(address.network)
    try:
        with trio.fail_after(patience):
            if address.path:
                return await trio.open_unix_socket(address.path)
            host = address.host
            if host == ANY:
                host = table.address(address.network)
            return await trio.open_tcp_stream(host, address.port)
    except UnicodeError as error:
        raise BadAddress(f"{address}: {address.host!r} cannot be the name of a machine") from error
    except OSError as error:
        causes = error.__cause__.exceptions if isinstance(error.__cause__, BaseExceptionGroup) else [error]
        reason = " ".join(dict.fromkeys(getattr(cause, "strerror", None) or str(cause) for cause in causes))
        raise Unreachable(
            f"cannot reach {address}: {reason}; is the server running, and is the address right?"
        ) from error
    except trio.TooSlowError as error:
        raise Unreachable(f"cannot reach {address}: no answer within {patience:g} seconds") from error
