"""Ends each request of the kernel with its result or an error number, and lets no other exception out.

An exception that left a request would end the mount for all programs. What was not foreseen is logged with its
request, and that request fails with EIO.
"""

from __future__ import annotations

import errno
import logging
import reprlib
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

import pyfuse3
import trio

from ninep.net.errors import ConnectionLost, WireError
from ninep.protocol.errors import FileError, FunctionNotImplemented, NotSupported, is_shortage

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

PATIENCE = 60.0
"""Seconds until a server that does not answer is asked whether it lives; and then once more until it is given up."""
ATTEMPTS = 10
"""Connections that may break under one request."""
_HARMLESS = frozenset(
    (
        *("lookup", "getattr", "setattr", "readlink", "opendir", "_batch", "fsyncdir", "open", "_read", "_follow"),
        *("_alive", "write", "flush", "fsync", "statfs", "listxattr", "getxattr", "removexattr"),
    )
)
"""What can be done again when it is not known whether it was done."""
_UNASKED = frozenset(("getxattr", "setxattr", "listxattr", "removexattr"))
"""What Linux does not ask again once it was told ENOSYS, as it should not: it would for every write."""


class Mount(Protocol):
    """What is needed of a mount here."""

    patience: float

    async def connected(self) -> None:
        """Waits until there is a connection."""

    async def shed(self) -> bool:
        """Gives up fids that nobody uses; whether there were any."""


def answered(operation: F) -> F:
    """Bounds the time of a request, does it again where the connection broke and that is harmless, and ends it well."""
    name = operation.__name__
    attempts = ATTEMPTS if name in _HARMLESS else 1

    async def attempt(self: Mount, *arguments: Any) -> Any:
        left, may_shed = attempts, attempts > 1
        while True:
            left -= 1
            await self.connected()
            try:
                return await operation(self, *arguments)
            except ConnectionLost:
                if not left:
                    raise
            except FileError as error:
                if not may_shed or not is_shortage(error) or not await self.shed():
                    raise
                may_shed = False

    @wraps(operation)
    async def run(self: Mount, *arguments: Any) -> Any:
        with _Ending(name, arguments):
            with trio.fail_after(PATIENCE + self.patience):
                return await attempt(self, *arguments)

    return cast("F", run)


def answered_at_last(operation: F) -> F:
    """For a request that is made of answered ones: it may take as long as it likes."""
    name = operation.__name__

    @wraps(operation)
    async def run(self: Mount, *arguments: Any) -> Any:
        with _Ending(name, arguments):
            return await operation(self, *arguments)

    return cast("F", run)


def unanswered(operation: F) -> F:
    """For what the kernel waits for no answer to: what goes wrong is logged."""
    name = operation.__name__

    @wraps(operation)
    async def run(self: Mount, *arguments: Any) -> None:
        try:
            await operation(self, *arguments)
        except (FileError, WireError, pyfuse3.FUSEError) as error:
            log.debug("%s: %s", _told(name, arguments), error)
        except Exception:
            log.exception("%s failed", _told(name, arguments))

    return cast("F", run)


class _Ending:
    """A context that lets nothing out but what the kernel can be told, and cancellation."""

    __slots__ = ("_arguments", "_name")

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self._name = name
        self._arguments = arguments

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, pyfuse3.FUSEError) or not isinstance(error, Exception):
            return
        if isinstance(error, FileError):
            number = _number(error, self._name)
        elif isinstance(error, trio.TooSlowError):
            number = errno.ETIMEDOUT
        else:
            number = errno.EIO
            if isinstance(error, WireError):
                if not isinstance(error, ConnectionLost):
                    log.warning("%s: the server answers what it must not: %s", self, error)
            else:
                log.error("%s failed", self, exc_info=error)
        raise pyfuse3.FUSEError(number) from error

    def __str__(self) -> str:
        return _told(self._name, self._arguments)


def _number(error: FileError, name: str) -> int:
    if isinstance(error, FunctionNotImplemented) and name not in _UNASKED:
        # The kernel would believe that no such request is ever needed, and answer fsync itself, with success.
        return errno.EOPNOTSUPP
    if isinstance(error, NotSupported) and name in _UNASKED:
        return errno.ENOSYS
    return error.errno if 0 < error.errno < 512 else errno.EIO


def _told(name: str, arguments: tuple[Any, ...]) -> str:
    """A request as the log has it; data are cut short."""
    shown = [reprlib.repr(one) for one in arguments if not isinstance(one, pyfuse3.RequestContext)]
    return f"{name.strip('_')}({', '.join(shown)})"
