"""Limits the descriptors that clients may take, so that some are left for everything else.

A system gives out the lowest number that is free. So a number tells how many there are at least, whoever has opened
them, and nobody has to keep accounts: one that is too high is closed again, and its client refused. The rest is for
connections, for listings and for what takes a moment.
"""

from __future__ import annotations

import errno
import os
import resource

RESERVED = 256
"""Descriptors that clients do not get; of few, a quarter."""
MAKING = 2
"""Descriptors that making a file takes: it is not begun without them."""
_UNLIMITED = 1 << 20


class Table:
    """How many descriptors clients may make this process have.

    Attributes:
        most: numbers from here on are not theirs.
    """

    def __init__(self) -> None:
        self.most = _UNLIMITED
        self.measure()

    def measure(self) -> None:
        """Goes by what the system allows at the moment."""
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if not 0 <= allowed <= _UNLIMITED:
            allowed = _UNLIMITED
        self.most = allowed - min(RESERVED, allowed // 4)


TABLE = Table()
"""That of this process."""


def counted(descriptor: int) -> int:
    """A descriptor that was opened for a client.

    Raises:
        OSError: EMFILE; there are too many, and this one is closed again.
    """
    if descriptor < TABLE.most:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def check_room(like: int, count: int = 1) -> None:
    """Raises ``OSError`` where a client cannot have ``count`` more; ``like`` is any that is open."""
    spare = os.dup(like)
    os.close(spare)
    if spare + count > TABLE.most:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
