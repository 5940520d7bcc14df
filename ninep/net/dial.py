"""Connects to an address."""

from __future__ import annotations

import ssl

import trio

from ninep.net import tls
from ninep.net.address import ANY, Address, parse
from ninep.net.errors import BadAddress, Unreachable
from ninep.net.networks import Networks
from ninep.net.streams import program

PATIENCE = 20.0
"""Seconds until a machine that says nothing is given up."""


async def dial(
    text: str,
    *,
    service: str,
    networks: Networks | None = None,
    patience: float = PATIENCE,
    context: ssl.SSLContext | None = None,
) -> trio.abc.Stream:
    """Connects to the address ``text``; see ``address.parse``.

    A machine with several addresses is tried at all of them (RFC 8305), and TCP_NODELAY is set. ``context`` says whom
    to trust at a ``tls!`` address, and who we are; without, the system's authorities are trusted. Cancelled, nothing
    stays open.

    Raises:
        BadAddress: the text or the network cannot be understood.
        Unreachable: nobody answers there, within ``patience`` seconds, or it is not who it should be.
    """
    address = parse(text, service)
    table = networks or Networks()
    table.value(address.network)
    if address.protocol in ("stdio", "systemd"):
        raise BadAddress(f"{text!r} is where a server can listen: a client needs to know where that server is")
    if address.protocol == "exec":
        return await program(address.path)
    try:
        with trio.fail_after(patience):
            if address.path:
                return await trio.open_unix_socket(address.path)
            host = address.host
            if host == ANY:
                host = table.address(address.network)
            stream = await trio.open_tcp_stream(host, address.port)
            return stream if address.protocol == "tcp" else await _secured(stream, address, host, context)
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


async def _secured(
    stream: trio.SocketStream, address: Address, host: str, context: ssl.SSLContext | None
) -> trio.abc.Stream:
    secured = trio.SSLStream(stream, context or tls.client_context(), server_hostname=host)
    try:
        await secured.do_handshake()
    except (trio.BrokenResourceError, ssl.SSLError) as error:
        await trio.aclose_forcefully(stream)
        raise Unreachable(f"cannot reach {address}: {tls.reason(error.__cause__ or error)}") from error
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secured
