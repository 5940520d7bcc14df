"""One fid's view of a place in a synthetic tree."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Protocol

import trio

from ninep.protocol import stat as st
from ninep.protocol.errors import (
    FileError,
    FileNotFound,
    FileTooBig,
    IllegalMode,
    IllegalName,
    NotDirectory,
    PermissionDenied,
    from_oserror,
)
from ninep.protocol.messages import OAPPEND, ORCLOSE, OTRUNC
from ninep.protocol.permissions import EXECUTE, granted, wanted, writable
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat
from ninep.server.files import File
from ninep.synthetic.entry import Entry
from ninep.wire.dialect import Buffer, Maybe
from ninep.wire.maybe import then

log = logging.getLogger(__name__)

LARGEST = 16 * 1024 * 1024
"""Most bytes that are written to a file before it is closed."""


class Tree(Protocol):
    """What a file asks its tree: see ``SyntheticTree``."""

    @property
    def owner(self) -> str: ...
    @property
    def root(self) -> Entry: ...
    def qid(self, entry: Entry, place: tuple[str, ...]) -> Qid: ...
    def stat(self, entry: Entry, place: tuple[str, ...]) -> Stat: ...


class SyntheticFile(File):
    """One place, as one user sees it. ``arguments`` are the names that stand for parts in braces."""

    __slots__ = (
        "_answer",
        "_arguments",
        "_content",
        "_entry",
        "_listed",
        "_pump",
        "_touched",
        "_tree",
        "_user",
        "_writing",
        "_written",
        "place",
    )

    def __init__(self, tree: Tree, entry: Entry, place: tuple[str, ...], arguments: dict[str, str], user: str) -> None:
        self._tree = tree
        self._entry = entry
        self.place = place
        self._arguments = arguments
        self._user = user
        self._content = b""
        self._answer = False
        self._written = bytearray()
        self._touched = self._writing = False
        self._pump: Pump | None = None
        self._listed = False

    @property
    def qid(self) -> Qid:
        """By name."""
        return self._tree.qid(self._entry, self.place)

    def _may(self, rights: int) -> None:
        owner = self._user == self._tree.owner
        if rights & ~granted(self._entry.mode, owner=owner, member=owner):
            raise PermissionDenied

    def _call(self, function: Any, *values: object) -> Any:
        """Calls a function of the author's with the arguments that it takes."""
        known: dict[str, object] = {**self._arguments, "user": self._user}
        parameters = inspect.signature(function).parameters
        try:
            return function(*values, **{name: known[name] for name in known if name in parameters})
        except (ValueError, OSError) as error:
            raise _refusal(error) from error

    def clone(self) -> File:
        """Another view."""
        return SyntheticFile(self._tree, self._entry, self.place, self._arguments, self._user)

    def step(self, name: str) -> Maybe[File]:
        """A fixed name, or one that is listed now."""
        entry = self._entry
        if not entry.is_directory:
            raise NotDirectory
        if name == "..":
            return self._up()
        self._may(EXECUTE)
        if name in entry.children:
            return self._below(name)

        def listed(names: list[str]) -> File:
            if name not in names:
                raise FileNotFound
            return self._below(name)

        return then(self._names(), listed)

    def _below(self, name: str) -> SyntheticFile:
        """The file of that name in this directory, which has it."""
        entry, arguments = self._entry, self._arguments
        found = entry.children.get(name)
        if found is None:
            assert entry.below is not None
            found, arguments = entry.below, {**arguments, entry.parameter: name}
        return SyntheticFile(self._tree, found, (*self.place, name), arguments, self._user)

    def _names(self) -> Maybe[list[str]]:
        """The names that the author's function lists in this directory now, without the fixed ones."""
        entry = self._entry
        if entry.below is None or entry.lister is None:
            return []

        def checked(found: Iterable[str]) -> list[str]:
            names = list(dict.fromkeys(found))
            for name in names:
                if not isinstance(name, str):
                    raise TypeError(f"{entry.path}: the names of files are str, and not {type(name).__name__}")
                if name in ("", ".", "..") or "/" in name or "\0" in name:
                    raise IllegalName(f"{name!r} cannot be the name of a file")
            return [name for name in names if name not in entry.children]

        return then(_checked(self._call(entry.lister)), checked)

    def _up(self) -> File:
        file = SyntheticFile(self._tree, self._tree.root, (), {}, self._user)
        for name in self.place[:-1]:
            file = file._below(name)
        return file

    def open(self, mode: int) -> None:
        """Checks that the function is there for it."""
        self._may(wanted(mode & ~OAPPEND))
        entry = self._entry
        if entry.is_directory:
            return
        if mode & ORCLOSE:
            raise PermissionDenied
        self._writing = writable(mode)
        if self._writing and entry.writer is None and entry.command is None:
            raise PermissionDenied
        self._touched = bool(mode & OTRUNC) and entry.writer is not None

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        """From the function's content, from the answer to a command, or from a stream, which waits."""
        entry = self._entry
        if entry.stream is not None:
            if self._pump is None:
                self._pump = Pump(self._call(entry.stream), entry)
            return self._pump.read(count)
        if entry.command is not None or entry.reader is None:
            return self._content[offset : offset + count]
        if offset and self._answer:
            return self._content[offset : offset + count]
        return then(_checked(self._call(entry.reader)), lambda content: self._take(content, offset, count))

    def _take(self, content: object, offset: int, count: int) -> Buffer:
        self._content = _bytes(content, self._entry)
        self._answer = True
        return self._content[offset : offset + count]

    def write(self, offset: int, data: Buffer) -> Maybe[int]:
        """Collects what the writer gets in the end, or does each line as a command."""
        entry = self._entry
        if entry.command is not None:
            return self._command(bytes(data))
        if offset + len(data) > LARGEST:
            raise FileTooBig
        self._touched = True
        if len(self._written) < offset:
            self._written.extend(bytes(offset - len(self._written)))
        self._written[offset : offset + len(data)] = data
        return len(data)

    async def _command(self, data: bytes) -> int:
        answers = []
        for line in data.decode("utf-8", "surrogateescape").splitlines():
            answer = await _waited(self._call(self._entry.command, line))
            if answer is not None:
                answers.append(_bytes(answer, self._entry))
        self._content = b"".join(answers)
        return len(data)

    def list(self, rewind: bool) -> Maybe[Sequence[Stat]]:
        """Fixed names first, then those that are listed now."""
        if not rewind and self._listed:
            return ()
        self._listed = True
        entry = self._entry
        found = [self._tree.stat(child, (*self.place, name)) for name, child in entry.children.items()]
        if entry.below is None or entry.lister is None:
            return found
        below, fixed = entry.below, entry.children
        return then(
            self._names(),
            lambda names: [
                *found,
                *(self._tree.stat(below, (*self.place, name)) for name in dict.fromkeys(names) if name not in fixed),
            ],
        )

    def stat(self) -> Stat:
        """The entry."""
        return self._tree.stat(self._entry, self.place)

    def wstat(self, changes: Stat) -> None:
        """A length or a time may be set, and mean nothing: programs do so before they write."""
        if changes._replace(length=st.NO64, mtime=st.NO32, atime=st.NO32).touches_nothing:
            return
        raise PermissionDenied

    def create(self, name: str, perm: int, mode: int) -> File:
        """What is in the tree is what its author put there."""
        raise IllegalMode("nothing can be made in this tree")

    def clunk(self) -> Maybe[None]:
        """Hands over what was written, and ends a stream."""
        if self._pump is not None:
            pump, self._pump = self._pump, None
            pump.close()
        if not self._touched:
            return None
        self._touched = False
        done: Maybe[None] = _checked(self._call(self._entry.writer, bytes(self._written)))
        return done


class Pump:
    """What an async generator yields, one piece at a time, for reads that may be given up without losing any."""

    def __init__(self, source: AsyncIterator[str | bytes], entry: Entry) -> None:
        self._source = source
        self._entry = entry
        self._send, self._receive = trio.open_memory_channel[bytes](0)
        self._rest = b""
        self._scope = trio.CancelScope()
        self._failure: FileError | None = None
        # A read that is given up must not take the generator with it, so that this runs beside all requests.
        trio.lowlevel.spawn_system_task(self._run)

    async def read(self, count: int) -> bytes:
        """Waits for the next bytes; none at the end."""
        if not self._rest:
            try:
                self._rest = await self._receive.receive()
            except trio.EndOfChannel:
                if self._failure is not None:
                    raise self._failure from None
                return b""
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    def close(self) -> None:
        """Ends the generator."""
        self._scope.cancel()
        self._receive.close()

    async def _run(self) -> None:
        with self._scope, self._send:
            try:
                async for piece in self._source:
                    if data := _bytes(piece, self._entry):
                        await self._send.send(data)
            except trio.BrokenResourceError:
                pass
            except FileError as error:
                self._failure = error
            except (ValueError, OSError) as error:
                self._failure = _refusal(error)
            except Exception:
                log.exception("a stream failed")
                self._failure = FileError("internal error")
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    if (close := getattr(self._source, "aclose", None)) is not None:
                        await close()


def _bytes(content: object, entry: Entry) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8", "surrogateescape")
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    # An int, say, would become that many zeros.
    raise TypeError(f"{entry.path}: its function has to give str or bytes, and gives {type(content).__name__}")


def _refusal(error: ValueError | OSError) -> FileError:
    """What a client is told of an exception of the author's."""
    return from_oserror(error) if isinstance(error, OSError) else FileError(str(error) or "invalid value")


def _checked(found: Any) -> Any:
    return _waited(found) if inspect.iscoroutine(found) else found


async def _waited(found: Any) -> Any:
    try:
        return await found if inspect.iscoroutine(found) else found
    except (ValueError, OSError) as error:
        raise _refusal(error) from error
