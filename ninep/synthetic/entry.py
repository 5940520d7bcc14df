"""One entry of a synthetic tree: the functions behind a file, or the entries of a directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from ninep.protocol import stat as st

Content: TypeAlias = str | bytes
Reader: TypeAlias = Callable[..., Content | Coroutine[Any, Any, Content]]
Writer: TypeAlias = Callable[..., Coroutine[Any, Any, None] | None]
Command: TypeAlias = Callable[..., Content | Coroutine[Any, Any, Content | None] | None]
Stream: TypeAlias = Callable[..., AsyncIterator[Content]]
Lister: TypeAlias = Callable[..., Iterable[str] | Coroutine[Any, Any, Iterable[str]]]

R = TypeVar("R", bound=Callable[..., Any])


@dataclass(slots=True)
class Entry:
    """What stands at one place of a tree; see the decorators.

    Attributes:
        path: as it was given.
        mode: permissions, with ``DMDIR`` for a directory.
        chosen: whether the author said which permissions; then nothing changes them.
        reader, writer, command, stream: the functions.
        children: of a directory, by name.
        parameter: of a directory whose names come from ``lister``: what they are called as an argument.
        below: what stands at each of those names.
    """

    path: str
    mode: int
    reader: Reader | None = None
    writer: Writer | None = None
    command: Command | None = None
    stream: Stream | None = None
    children: dict[str, Entry] = field(default_factory=dict)
    parameter: str = ""
    lister: Lister | None = None
    below: Entry | None = None
    chosen: bool = False

    @property
    def is_directory(self) -> bool:
        """Whether other entries stand below."""
        return bool(self.mode & st.DMDIR)

    def writes(self, function: R) -> R:
        """A decorator: ``function(data)`` gets all that was written, as bytes, when the file is closed.

        Everybody may write then, unless the file was given a mode of its own: that one says who may.
        """
        self.writer = function
        if not self.chosen:
            self.mode |= 0o222
        return function
