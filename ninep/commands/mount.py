"""``mount``: a tree as a file system of this machine."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

from ninep.cli.flags import Parsers
from ninep.commands.flags import add_command

KEEP = 1.0
PATIENCE = 30.0


async def run(arguments: argparse.Namespace) -> None:
    """Mounts a server's tree on a directory, until it is unmounted or this program is interrupted."""
    from ninep.cli.networks import client_context, networks_of
    from ninep.cli.serving import announce, until_signalled
    from ninep.client.connection import DIALECTS
    from ninep.client.link import linked
    from ninep.client.tree import connect
    from ninep.protocol.errors import NinepError

    try:
        from ninep.mount.mounting import mount as mount_tree
    except ImportError as error:
        raise NinepError(
            f"mounting needs pyfuse3 ({error}): install libfuse3's headers, then pip install 'ninegrid[mount]'"
        ) from error
    directory = Path(arguments.directory)
    if not directory.is_dir():
        raise NinepError(f"cannot mount on {directory}: it is no directory that is there: make one first")
    if os.path.ismount(directory):
        raise NinepError(f"something is mounted on {directory} already: unmount that first, or choose another place")

    dial = partial(
        connect,
        arguments.server,
        uname=arguments.uname,
        aname=arguments.aname,
        version=arguments.dialect or DIALECTS[-1],
        networks=networks_of(arguments),
        context=client_context(arguments),
    )
    async with linked(dial, patience=arguments.patience) as link:
        # A signal ends the mount while the connection is still there for what has to be written.
        await until_signalled(
            lambda: mount_tree(
                link,
                directory,
                source=arguments.server.replace(",", "_"),
                keep=arguments.keep,
                others=arguments.allow_other,
                mounted=lambda: announce(f"mounted {arguments.server} on {directory}"),
            )
        )


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = add_command(commands, "mount", run, "mount a tree on a directory of this machine")
    parser.add_argument("server", metavar="ADDRESS")
    parser.add_argument("directory", metavar="DIR")
    parser.add_argument(
        "--keep",
        type=_seconds,
        default=KEEP,
        metavar="SECONDS",
        help=f"how old names and attributes may be where others change them (default: {KEEP:g}; 0: never)",
    )
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help="how long programs wait for a server that went away, before they get errors and the mount is given up "
        "(default: %(default)g)",
    )
    parser.add_argument("--allow-other", action="store_true", help="let the other users of this machine in, too")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value
