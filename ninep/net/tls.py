"""TLS for addresses that begin with ``tls!``: contexts from certificate files, and how a connection is closed.

A server always proves who it is; a client does where the server wants to know. Nothing below TLS 1.2 is spoken.

Whoever ends a conversation says so (close_notify, RFC 8446 section 6.1). Where the bytes stop without that, somebody on
the way may have cut them off.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import trio

from ninep.net.errors import BadAddress

_OTHER_NAME = frozenset((62, 64))
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""
_OTHER_TIME = frozenset((9, 10))
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
GOODBYE = 1.0
"""Seconds that saying the end of a conversation may take, where the peer takes nothing any more."""


def server_context(certificate: str, clients: str = "") -> ssl.SSLContext:
    """For servers: ``certificate`` is a PEM file with a private key and the chain of certificates that goes with it.

    With ``clients``, a PEM file or a directory of authorities, only who has a certificate of one of them comes in.

    Raises:
        BadAddress: a file cannot be used; the text says which.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, certificate)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, clients)
    return context


def client_context(authorities: str = "", certificate: str = "") -> ssl.SSLContext:
    """For clients: servers must have a certificate, in their own name, of ``authorities`` or of the system's.

    ``certificate`` is the client's own, for servers that ask for it.

    Raises:
        BadAddress: a file cannot be used; the text says which.
    """
    context = ssl.create_default_context()
    if authorities:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _trust(context, authorities)
    if certificate:
        _load(context, certificate)
    return context


def reason(error: BaseException | None) -> str:
    """Why a handshake failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            return f"its certificate is for another address: {error.verify_message}: dial it by a name that it is for"
        if error.verify_code in _OTHER_TIME:
            return f"{error.verify_message}: its server needs a new one, or this machine's clock is wrong"
        return f"its certificate is not to be trusted: {error.verify_message}: name its authority with --tls-ca"
    if isinstance(error, ssl.SSLError):
        text = (error.reason or str(error)).lower().replace("_", " ")
        if "certificate required" in text or "handshake failure" in text or "unknown ca" in text:
            return f"it wants a certificate of ours that it trusts ({text}): give one with --tls-cert"
        if "eof" not in text:
            return f"no TLS is spoken there ({text}): is it a tcp! address?"
    return "it hung up during the TLS handshake: is it a tcp! address, or does it want a certificate (--tls-cert)?"


async def hang_up(stream: trio.abc.Stream) -> None:
    """Closes a stream of any kind, and says over TLS that this is the end. Takes ``GOODBYE`` at most, cancelled or not.

    Nothing else may use the stream any more. That it is broken is no error here.
    """
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        if isinstance(stream, trio.SSLStream) and _has_begun(stream):
            with trio.move_on_after(GOODBYE, shield=True):
                await stream.aclose()
        await trio.aclose_forcefully(stream)


def was_cut(error: BaseException | None) -> bool:
    """Whether an error of a stream is that its bytes stopped before the peer had said that this is the end."""
    return isinstance(error, trio.BrokenResourceError) and isinstance(error.__cause__, ssl.SSLEOFError)


def _has_begun(stream: trio.SSLStream[trio.abc.Stream]) -> bool:
    try:
        stream.selected_alpn_protocol()
    except trio.NeedHandshakeError:
        return False
    return True


def _load(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_cert_chain(path, password=_no_password(path))
    except ssl.SSLError as error:
        raise BadAddress(
            f"{path}: no certificate with its private key ({error.reason or error}): both belong in this one PEM file"
        ) from error
    except OSError as error:
        raise BadAddress(f"{path}: cannot read the certificate: {error.strerror}") from error


def _trust(context: ssl.SSLContext, path: str) -> None:
    try:
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise BadAddress(f"{path}: no certificates of authorities in PEM: {error.reason or error}") from error
    except OSError as error:
        raise BadAddress(f"{path}: cannot read the certificates: {error.strerror or os.strerror(2)}") from error


def _no_password(path: str) -> Callable[[], str]:
    def ask() -> str:
        raise BadAddress(f"{path}: the private key has a password: a program can only use one without")

    return ask
