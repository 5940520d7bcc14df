"""``serve``: an archive in a directory, on the network."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers, add_listen_flags
from venti.cli.settings import add_flags, settings_of


async def run(arguments: argparse.Namespace) -> None:
    """Serves the archive until interrupted. The directory is made if need be; nothing has to be formatted.

    SIGTERM and SIGINT end it: what was asked is answered, everything is synced. A second signal kills it.
    """
    import dataclasses
    from pathlib import Path

    from ninep.cli.networks import can_listen, listening, networks_of
    from ninep.cli.serving import announce, until_signalled
    from ninep.net.listen import where
    from venti.log.opening import open_disk_store
    from venti.server import LIMITS, serve
    from venti.upkeep.service import looked_after
    from venti.workers.pool import running

    settings = settings_of(arguments)
    for name in ("no-auth", "tls-cert", "tls-clients"):
        setattr(arguments, name.replace("-", "_"), settings[name])
    path = settings["store"]
    limits = dataclasses.replace(
        LIMITS,
        handshake=settings["handshake"],
        idle=settings["idle"],
        request_bytes=settings["request-bytes"],
        reply_bytes=settings["reply-bytes"],
    )
    await can_listen(arguments, settings["address"], service="venti")
    with running(settings["workers"]) as workers:
        async with (
            open_disk_store(
                path,
                arena_size=settings["arena-size"],
                read_only=settings["read-only"],
                index_memory=settings["index-memory"],
                reserve=settings["reserve"],
                workers=workers,
            ) as disk,
            looked_after(
                disk,
                Path(path),
                mirror_address=settings["mirror"],
                scrub_rate=0 if settings["read-only"] else settings["scrub"],
                networks=networks_of(arguments),
            ) as store,
        ):
            listeners = await listening(arguments, settings["address"], service="venti")
            announce(f"serving {path} on {' '.join(where(listener) for listener in listeners)}")
            await until_signalled(lambda: serve(store, listeners, limits=limits, connections=settings["connections"]))


def add(commands: Parsers) -> None:
    """Adds the command."""
    parser = commands.add_parser("serve", help="serve an archive", description=run.__doc__)
    parser.add_argument("address", nargs="?", metavar="ADDRESS", help="where to listen; usually /net.alt:17034")
    add_flags(parser)
    add_listen_flags(parser)
    parser.set_defaults(run=run)
