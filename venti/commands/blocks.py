"""``read``, ``write`` and ``sync``: single blocks. Source: venti(1)."""

from __future__ import annotations

import argparse

from ninep.cli.flags import Parsers
from venti.cli.flags import add_command


async def read(arguments: argparse.Namespace) -> None:
    """Prints a block."""
    import trio

    from ninep.cli.streams import write_output
    from ninep.net.errors import BadAddress
    from venti.blocks.blocktype import BlockType
    from venti.blocks.score import Score
    from venti.cli.connection import archive
    from venti.protocol.messages import LARGEST_BLOCK

    try:
        score = Score.parse(arguments.score.removeprefix("vac:"))
    except ValueError as error:
        raise BadAddress(str(error)) from error
    async with archive(arguments) as store:
        data = await store.read(score, BlockType(arguments.type), LARGEST_BLOCK)
    await trio.to_thread.run_sync(write_output, data)


async def write(arguments: argparse.Namespace) -> None:
    """Stores standard input as one block, at most 57344 bytes, and prints its score once it is safe."""
    from ninep.cli.streams import print_result
    from venti.blocks.blocktype import BlockType
    from venti.cli.connection import archive

    data = await _block()
    async with archive(arguments) as store:
        score = await store.write(BlockType(arguments.type), data)
        await store.sync()
        print_result(str(score))


async def _block() -> bytes:
    """Standard input to its end; one byte more than fits is enough to be refused."""
    from ninep.cli.streams import read_input
    from venti.protocol.messages import LARGEST_BLOCK

    data = b""
    while len(data) <= LARGEST_BLOCK and (more := await read_input(LARGEST_BLOCK + 1 - len(data))):
        data += more
    return data


async def sync(arguments: argparse.Namespace) -> None:
    """Returns when everything that the archive has acknowledged is on its disk."""
    from venti.cli.connection import archive

    async with archive(arguments) as store:
        await store.sync()


def add(commands: Parsers) -> None:
    """Adds the commands."""
    reader = add_command(commands, "read", read, "print a block")
    reader.add_argument("score", metavar="SCORE")
    writer = add_command(commands, "write", write, "store standard input as a block and print its score")
    for parser in (reader, writer):
        parser.add_argument(
            "-t",
            dest="type",
            type=int,
            choices=range(17),
            default=0,
            metavar="TYPE",
            help="its type: 0 data (the default), 8 directory, 16 root",
        )
    add_command(commands, "sync", sync, "make everything written safe")
