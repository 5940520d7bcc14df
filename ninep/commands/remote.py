"""What the commands of a client share: the tree that the flags name, and refusals that say of which path."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from ninep.cli.codes import DONE, FAILED, NOT_FOUND
from ninep.cli.networks import client_context, networks_of
from ninep.client.connection import DIALECTS
from ninep.client.tree import RemoteTree, connect
from ninep.net.errors import BadAddress
from ninep.protocol.errors import FileError, FileNotFound
from ninep.protocol.listing import shown

log = logging.getLogger(__name__)


def connected(arguments: argparse.Namespace) -> AbstractAsyncContextManager[RemoteTree]:
    """The tree that the flags name."""
    if not arguments.address:
        raise BadAddress("which server? say -a ADDRESS before the command, for example -a tcp!127.0.0.1!5640")
    return connect(
        arguments.address,
        uname=arguments.uname,
        aname=arguments.aname,
        version=arguments.dialect or DIALECTS[0],
        networks=networks_of(arguments),
        context=client_context(arguments),
    )


class about:
    """Puts the path into a refusal: a server says only what, not where."""

    def __init__(self, path: str) -> None:
        self._path = shown(path) or "/"

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileError):
            raise type(error)(f"{self._path}: {error}") from error


async def for_each(paths: Sequence[str], work: Callable[[str], Awaitable[None]]) -> int:
    """Does the same with every path. What is refused is reported, and the rest is done all the same."""
    code = DONE
    for path in paths:
        try:
            with about(path):
                await work(path)
        except FileError as error:
            log.warning("%s", error)
            code = code or (NOT_FOUND if isinstance(error, FileNotFound) else FAILED)
    return code
