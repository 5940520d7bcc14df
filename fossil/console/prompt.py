"""A console that looks as the original's: a prompt, a line, its output, the prompt again. Source: fossilcons(8).

Whoever reads until the prompt, ``NAME: ``, knows that the command has been done, as fshalt(8) does. Every connection
has its own lines and its own current file system.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from fossil.console.console import LONGEST_LINE, Commander
from fossil.console.news import News
from fossil.errors import FossilError
from ninep.net.accept import has_spoken
from ninep.tasks.nursery import background

log = logging.getLogger(__name__)


async def serve_prompts(commander: Callable[[], Commander], news: News, stream: trio.abc.Stream) -> None:
    """Converses with one client until it goes. What happens meanwhile is a line in between."""
    mine = commander()
    turn = trio.Lock()

    async def send(text: str) -> None:
        async with turn:
            await stream.send_all(text.encode())

    async def pass_on(lines: trio.MemoryReceiveChannel[str]) -> None:
        async for line in lines:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await send(f"{line}\n{mine.prompt}")

    async with stream, background() as nursery:
        with news.heard() as lines:
            nursery.start_soon(pass_on, lines)
            await _converse(mine, stream, send)


async def _converse(mine: Commander, stream: trio.abc.Stream, send: Callable[[str], Awaitable[None]]) -> None:
    pending = b""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await send(mine.prompt)
        while data := await stream.receive_some(LONGEST_LINE):
            has_spoken(stream)
            pending += data
            while b"\n" in pending:
                line, pending = pending.split(b"\n", 1)
                said = await _said(mine, line)
                await send(said + mine.prompt)
            if len(pending) > LONGEST_LINE:
                await send("line too long\n")
                return


async def _said(commander: Commander, line: bytes) -> str:
    try:
        return await commander.execute(line.decode().rstrip("\r"))
    except UnicodeDecodeError:
        return "a command is text in UTF-8\n"
    except FossilError as error:
        return f"{error}\n"
    except Exception:
        log.exception("console command %r failed", line)
        return "internal error; the server's log has the details\n"
