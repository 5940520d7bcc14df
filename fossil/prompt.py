"""A console as the original's looks: a prompt, a line, what it prints, and the prompt again. Source: fossilcons(8).

Whoever reads until the prompt, ``NAME: ``, knows that the command has been done, as fshalt(8) does. Every connection
has its own lines and its own current file system.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from fossil.console import LONGEST_LINE, Commander
from fossil.errors import FossilError

log = logging.getLogger(__name__)


async def serve_prompts(commander: Callable[[], Commander], stream: trio.abc.Stream) -> None:
    """Converses with one client until it goes."""
    mine = commander()
    pending = b""
    async with stream:
        try:
            await stream.send_all(mine.prompt.encode())
            while data := await stream.receive_some(LONGEST_LINE):
                pending += data
                while b"\n" in pending:
                    line, pending = pending.split(b"\n", 1)
                    await stream.send_all((await _said(mine, line) + mine.prompt).encode())
                if len(pending) > LONGEST_LINE:
                    await stream.send_all(b"line too long\n")
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
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
