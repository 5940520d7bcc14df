"""Command-line flags, settings and error messages of all programs that use the network."""

from __future__ import annotations

import argparse
import os
import ssl
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from ninep.cli import program
from ninep.cli.codes import FAILED, UNREACHABLE, USAGE
from ninep.cli.errors import BadUsage
from ninep.cli.homes import config_home
from ninep.net import tls
from ninep.net.errors import BadAddress, ConnectionLost, Unreachable, WireError
from ninep.net.identity import Nameless
from ninep.net.listen import Listener, check_listen, listen
from ninep.net.networks import Networks
from ninep.wire import busypoll, memory

CODES: Mapping[type[Exception], int] = {
    BadAddress: USAGE,
    Nameless: USAGE,
    Unreachable: UNREACHABLE,
    ConnectionLost: UNREACHABLE,
    WireError: FAILED,
}
"""Exit codes of what can go wrong on the network; each program adds its own."""


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
    return await listen(
        address,
        service=service,
        networks=networks_of(arguments),
        no_auth=arguments.no_auth,
        context=_server_context(arguments),
        environment=environment,
    )


def _server_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.tls_clients and not arguments.tls_cert:
        raise BadAddress("--tls-clients needs --tls-cert: a server that asks for proof has to give its own")
    return tls.server_context(arguments.tls_cert, arguments.tls_clients) if arguments.tls_cert else None


async def can_listen(arguments: argparse.Namespace, address: str, *, service: str) -> None:
    """Finds out whether ``listening`` would do, without keeping anybody waiting: raises what that does.

    A server asks this before it opens its data, and listens when it can answer: a client that comes in between is
    refused, and neither waits for nothing nor is reset.
    """
    await check_listen(
        address,
        service=service,
        networks=networks_of(arguments),
        no_auth=arguments.no_auth,
        context=_server_context(arguments),
    )


def networks_of(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Networks:
    """The table of networks: ``--net`` before ``NINEGRID_NET`` before ``networks.toml`` of the user's settings.

    Raises:
        BadAddress: one of them cannot be understood; the text says which.
    """
    try:
        settings = _from_file(config_home(environment) / "networks.toml")
    except BadUsage:
        # Whoever has no home has no settings there.
        settings = []
    settings += [word for word in environment.get("NINEGRID_NET", "").split(",") if word.strip()]
    return Networks.parse([*settings, *arguments.net])


def _from_file(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BadAddress(
            f"your settings in {path} cannot be read: {error.strerror}: see to their rights, or set HOME to your own"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadAddress(f"{path}: {error}") from error
    if not all(isinstance(value, str) for value in table.values()):
        raise BadAddress(f'{path}: write lines like "/net.alt" = "eth1"')
    return [f"{name}={value}" for name, value in table.items()]


def run_program(
    name: str, parser: argparse.ArgumentParser, argv: Sequence[str] | None, codes: Mapping[type[Exception], int]
) -> int:
    """``ninep.cli.program.run_program`` for programs that use the network, with its errors and its busy polling."""
    memory.keep_freed()
    return program.run_program(name, parser, argv, {**codes, **CODES}, _instruments)


def _instruments(arguments: argparse.Namespace) -> Sequence[trio.abc.Instrument]:
    return busypoll.instruments(getattr(arguments, "busy_poll", busypoll.LIMIT))
