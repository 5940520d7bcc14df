"""Flags that the commands of several programs share. Loads next to nothing, as every command line is made of them."""

from __future__ import annotations

import argparse
from typing import Any, Protocol

BUSY_POLL = 100
"""Microseconds that a program looks for the next message before it sleeps, unless told otherwise."""


class Parsers(Protocol):
    """What ``add_subparsers`` returns."""

    def add_parser(self, name: str, **keywords: Any) -> argparse.ArgumentParser:
        """Adds a command."""


def add_network_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of every command that uses the network."""
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
        default=BUSY_POLL,
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
