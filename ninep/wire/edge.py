"""What the command lines of all programs share: flags for networks, exit codes, logging, the end by a signal.

This is the only module below the programs themselves that reads the environment and files of settings.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import ssl
import sys
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import trio

from ninep.tasks.nursery import background
from ninep.wire import busypoll, memory, tls
from ninep.wire.errors import BadAddress, ConnectionLost, Unreachable, WireError
from ninep.wire.listen import Listener, listen
from ninep.wire.networks import Networks

DONE = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
DAMAGED = 4
NOT_FOUND = 5

CODES: Mapping[type[Exception], int] = {
    BadAddress: USAGE,
    Unreachable: UNREACHABLE,
    ConnectionLost: UNREACHABLE,
    WireError: FAILED,
    OSError: FAILED,
}
"""Exit codes of what can go wrong here; each program adds its own."""

COLLECTED = (5_000, 4, 1_000)
"""When the collector looks: after so many new objects at those, every fifth time at all of the last 25,000, which takes
2 milliseconds while everybody waits, and hardly ever at all that there is. A server makes many objects that stay and
hardly any cycles."""
_ENDING = (signal.SIGINT, signal.SIGTERM)


def add_network_flags(parser: argparse.ArgumentParser) -> None:
    """Adds ``--net`` and, for servers, is followed by ``add_listen_flags``."""
    parser.add_argument(
        "--net",
        action="append",
        default=[],
        metavar="NAME=PLACE",
        help="what a network is: an address, a prefix or an interface, for example /net.alt=eth1",
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more on standard error; twice, even more"
    )
    parser.add_argument(
        "--busy-poll",
        type=int,
        default=busypoll.LIMIT,
        metavar="MICROSECONDS",
        help="look so long for the next message before going to sleep (default %(default)s; 0: never)",
    )


def add_listen_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a server."""
    add_network_flags(parser)
    parser.add_argument(
        "--no-auth", action="store_true", help="listen where strangers can come in, although nobody proves who he is"
    )
    parser.add_argument(
        "--tls-cert", metavar="FILE", default="", help="for tls! addresses: certificate and private key, in PEM"
    )
    parser.add_argument(
        "--tls-clients", metavar="FILE", default="", help="let in only who has a certificate of these authorities"
    )


def add_dial_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a client."""
    parser.add_argument(
        "--tls-ca", metavar="FILE", default="", help="for tls! addresses: trust these authorities, not the system's"
    )
    parser.add_argument(
        "--tls-cert", metavar="FILE", default="", help="for tls! addresses: who we are; certificate and key, in PEM"
    )


def client_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """What the flags of a client say about TLS; None where they say nothing."""
    if not arguments.tls_ca and not arguments.tls_cert:
        return None
    return tls.client_context(arguments.tls_ca, arguments.tls_cert)


async def listening(
    arguments: argparse.Namespace, address: str, *, service: str, environment: Mapping[str, str] = os.environ
) -> list[Listener]:
    """Listens as the flags of a server say. Raises what ``listen`` does."""
    if arguments.tls_clients and not arguments.tls_cert:
        raise BadAddress("--tls-clients needs --tls-cert: a server that asks for proof has to give its own")
    return await listen(
        address,
        service=service,
        networks=networks_of(arguments),
        no_auth=arguments.no_auth,
        context=tls.server_context(arguments.tls_cert, arguments.tls_clients) if arguments.tls_cert else None,
        environment=environment,
    )


def networks_of(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Networks:
    """The table of networks: ``--net`` before ``NINEGRID_NET`` before ``networks.toml`` of the user's settings.

    Raises:
        BadAddress: one of them cannot be understood; the text says which.
    """
    settings = _from_file(config_home(environment) / "networks.toml")
    settings += [word for word in environment.get("NINEGRID_NET", "").split(",") if word.strip()]
    return Networks.parse([*settings, *arguments.net])


def config_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory of the user's settings for ninegrid."""
    return Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "ninegrid"


def data_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory where ninegrid keeps data unless told otherwise."""
    return Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "ninegrid"


def cache_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The directory where ninegrid keeps what may be lost."""
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ninegrid"


def _from_file(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except FileNotFoundError:
        return []
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadAddress(f"{path}: {error}") from error
    if not all(isinstance(value, str) for value in table.values()):
        raise BadAddress(f'{path}: write lines like "/net.alt" = "eth1"')
    return [f"{name}={value}" for name, value in table.items()]


def run_program(
    name: str, parser: argparse.ArgumentParser, argv: Sequence[str] | None, codes: Mapping[type[Exception], int]
) -> int:
    """Parses the command line, runs the async function that it chose as ``run``, and returns the exit code.

    An error that ``codes`` or ``CODES`` knows is one line on standard error; any other is a bug, with its traceback.
    """
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(getattr(arguments, "verbose", 0), 2)]
    logging.basicConfig(level=level, format=f"{name}: %(message)s", stream=sys.stderr)
    known = {**codes, **CODES}
    memory.keep_freed()
    try:
        result = trio.run(
            arguments.run, arguments, instruments=busypoll.instruments(getattr(arguments, "busy_poll", busypoll.LIMIT))
        )
        sys.stdout.flush()
        return int(result or DONE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:
        found = _first(error, tuple(known))
        if found is None:
            raise
        sys.stdout.flush()
        print(f"{name}: {found}", file=sys.stderr)
        return next(code for kind, code in known.items() if isinstance(found, kind))


def _first(error: BaseException, known: tuple[type[Exception], ...]) -> BaseException | None:
    """The error itself, or the first of a group, if it is of a known kind."""
    if isinstance(error, BaseExceptionGroup):
        found = [_first(inner, known) for inner in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, known) else None


async def until_signalled(serve: Callable[[], Awaitable[None]]) -> None:
    """Runs a server until it ends or SIGINT or SIGTERM comes, which cancels it: a clean end. A second one kills."""
    gc.set_threshold(*COLLECTED)
    with trio.open_signal_receiver(*_ENDING) as signals:
        async with background() as nursery:

            async def wait() -> None:
                async for _ in signals:
                    for number in _ENDING:
                        signal.signal(number, signal.SIG_DFL)
                    nursery.cancel_scope.cancel()
                    return

            nursery.start_soon(wait)
            await serve()


def announce(text: str) -> None:
    """Prints a line at once, even into a pipe."""
    print(text, flush=True)
