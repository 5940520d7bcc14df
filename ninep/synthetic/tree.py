r"""File trees whose content is made by functions. Source: the habit of Plan 9, intro(4).

::

    tree = SyntheticTree()

    @tree.file("time")
    def now() -> str:
        return f"{datetime.now()}\n"

    @tree.control("ctl")
    def command(line: str) -> None:
        ...

    @tree.stream("events")
    async def events():
        while True:
            yield await something()

A path may have parts in braces, ``jobs/{job}/status``: any name that the lister of that directory (``tree.names``) has
stands for it, and the function gets it as an argument. A function that takes an argument ``user`` is told who asks. All
functions may be ``def`` or ``async def``.

What a function raises as ``FileError`` is the refusal; a ``ValueError`` is one with its text, and an ``OSError`` (such
as ``FileNotFoundError``) the one that means the same. Reading from offset 0
calls the function again, and what it returned stays the content of that open file until then.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from hashlib import blake2b

from ninep.protocol import stat as st
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import Stat
from ninep.server.files import File, FileTree
from ninep.synthetic.entry import Command, Content, Entry, Lister, Reader, Stream, Writer
from ninep.synthetic.file import SyntheticFile

__all__ = ["Command", "Content", "Entry", "Lister", "Reader", "Stream", "SyntheticTree", "Writer"]

_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)\}")


class SyntheticTree(FileTree):
    """A tree to be filled by decorators. Everything in it belongs to ``owner``."""

    def __init__(self, owner: str = "sys") -> None:
        self.owner = owner
        self.begun = int(time.time())
        self.root = Entry("", st.DMDIR | 0o555)

    def file(self, path: str, mode: int | None = None) -> Callable[[Reader], Entry]:
        """A decorator: the function returns the content. With ``@name.writes`` another one takes what is written.

        ``mode`` says who may do what, and is kept as it is given. Without one everybody may read, and if there is
        ``@name.writes`` write, too.

        Raises:
            ValueError: the path is taken, or makes no sense.
        """

        def add(function: Reader) -> Entry:
            entry = self._add(path, 0o444 if mode is None else mode)
            entry.chosen = mode is not None
            entry.reader = function
            return entry

        return add

    def control(self, path: str, mode: int = 0o222) -> Callable[[Command], Entry]:
        """A decorator: the function is called with each line that is written.

        What it returns can be read from the same open file afterwards, where ``mode`` allows it (0o666): a question
        and its answer.
        """

        def add(function: Command) -> Entry:
            entry = self._add(path, mode)
            entry.command = function
            return entry

        return add

    def stream(self, path: str, mode: int = 0o444) -> Callable[[Stream], Entry]:
        """A decorator: an async generator, of which everybody who opens the file has one. Reads wait for its pieces.

        It is closed when the file is; the end of the generator is that of the file.
        """

        def add(function: Stream) -> Entry:
            entry = self._add(path, mode)
            entry.stream = function
            return entry

        return add

    def names(self, path: str) -> Callable[[Lister], Entry]:
        """A decorator for a path that ends in a part in braces: the function returns the names that are there now."""

        def add(function: Lister) -> Entry:
            directory, parameter = self._directory(path, with_parameter=True)
            if directory.lister is not None:
                raise ValueError(f"{path}: who lists this directory has been said already")
            directory.lister = function
            self._below(directory, parameter, path)
            return directory

        return add

    def attach(self, uname: str, aname: str, *, local: bool = False) -> File:
        """The root; ``aname`` is not looked at."""
        return SyntheticFile(self, self.root, (), {}, uname or "none")

    def qid(self, entry: Entry, place: tuple[str, ...]) -> Qid:
        """Identity by name. There are no versions: nobody can know when a function will return something else."""
        digest = blake2b("/".join(place).encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return Qid(QTDIR if entry.is_directory else 0, 0, int.from_bytes(digest, "little"))

    def stat(self, entry: Entry, place: tuple[str, ...]) -> Stat:
        """A directory entry. Nobody can know the length of what a function will return: it is 0."""
        now = int(time.time())
        return Stat(
            0,
            0,
            self.qid(entry, place),
            entry.mode,
            now,
            self.begun if entry.is_directory else now,
            0,
            place[-1] if place else "/",
            self.owner,
            self.owner,
            self.owner,
        )

    def _add(self, path: str, mode: int) -> Entry:
        if mode & st.DMDIR or not 0 <= mode < st.NO32:
            raise ValueError(f"{path}: the mode {mode:#o} is none of a file: say 0o600, for example")
        directory, name = self._directory(path)
        if _PARAMETER.fullmatch(name):
            if directory.below is not None and not directory.below.is_directory:
                raise ValueError(f"{path}: there is something already")
            entry = self._below(directory, name, path)
            if entry.children:
                raise ValueError(f"{path}: there is a directory already")
            entry.mode = mode
            return entry
        if name in directory.children:
            raise ValueError(f"{path}: there is something already")
        entry = directory.children[name] = Entry(path, mode)
        return entry

    def _directory(self, path: str, *, with_parameter: bool = False) -> tuple[Entry, str]:
        *folders, name = path.strip("/").split("/")
        if {".", ".."} & {*folders, name} or "" in folders:
            raise ValueError(f"{path}: '.', '..' and '' are no names of files")
        directory = self.root
        for folder in folders:
            if _PARAMETER.fullmatch(folder):
                directory = self._below(directory, folder, path)
            else:
                directory = directory.children.setdefault(folder, Entry(path, st.DMDIR | 0o555))
            if not directory.is_directory:
                raise ValueError(f"{path}: {folder} is a file")
        if not name or (with_parameter is not bool(_PARAMETER.fullmatch(name)) and with_parameter):
            raise ValueError(f"{path}: the last part must be a name{' in braces' if with_parameter else ''}")
        return directory, name

    def _below(self, directory: Entry, part: str, path: str) -> Entry:
        """What stands for all listed names of a directory."""
        found = _PARAMETER.fullmatch(part)
        assert found is not None
        if directory.parameter not in ("", found[1]):
            raise ValueError(f"{path}: {part} is called {{{directory.parameter}}} elsewhere")
        directory.parameter = found[1]
        if directory.below is None:
            directory.below = Entry(path, st.DMDIR | 0o555)
        return directory.below
