"""What one user has been told about a tree, and for how long that may be answered without asking again.

Two kinds of places are remembered:

* those in trees that cannot change (``frozen``): for good, on disk, once the root of such a tree has been looked at in
  this conversation. The root's qid and time are part of the key: another tree in its place is another tree;
* all others, if the cache was told to trust: in memory, for so many seconds, and until anything is changed through the
  cache by anybody.

Rights are a user's own. What one was told, and let do, is never used for another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import NamedTuple, Protocol, TypeAlias

import trio

from cfs.known.frozen import Frozen, depth_of
from cfs.known.note import Note
from cfs.known.notebook import Notebook
from ninep.protocol.qid import QTDIR, Qid
from ninep.protocol.stat import Stat

Names: TypeAlias = tuple[str, ...]

_PRIVATE = count()
"""Tells attaches apart that share nothing; with a NUL before it, which no user's name has."""

MOST_TRUSTED = 100_000
"""Most places that are remembered for some seconds."""
MOST_ROOTS = 10_000
"""Ways of which it is remembered whether they lead into a tree that cannot change."""
MOST_LENGTHS = 100_000
"""Files whose length is remembered as a guess."""
MOST_ENTRIES = 4 * 1024 * 1024
"""Bytes of a directory beyond which its contents are not remembered."""


class Memory:
    """What is remembered for all users.

    Attributes:
        frozen: which trees cannot change.
        trust: for how many seconds other places are believed; 0 is not at all.
        book: the notes of trees that cannot change.
        era: counts up with every change that goes through the cache.
    """

    def __init__(self, book: Notebook, frozen: Frozen, trust: float) -> None:
        self.book = book
        self.frozen = frozen
        self.trust = trust
        self.era = 0
        self.trusted: dict[tuple[str, str, Names], Note] = {}

    def changed(self) -> None:
        """Something was or may have been changed: nothing is believed any more but what cannot change."""
        self.era += 1
        self.trusted.clear()


class Book(Protocol):
    """Where notes of trees that cannot change are kept."""

    def get(self, key: tuple[str, str, str]) -> Note | None: ...
    def put(self, key: tuple[str, str, str], note: Note) -> None: ...


class OwnBook:
    """One in memory, for what must not be told to anybody else."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, str, str], Note] = {}

    def get(self, key: tuple[str, str, str]) -> Note | None:
        """The note, or None."""
        return self._notes.get(key)

    def put(self, key: tuple[str, str, str], note: Note) -> None:
        """Keeps a note. Where there are too many all others are forgotten."""
        if len(self._notes) >= MOST_TRUSTED:
            self._notes.clear()
        self._notes[key] = note


class Conversation(Protocol):
    """With the file server; ``generation`` counts the connections."""

    generation: int


class Followed(NamedTuple):
    """A walk that need not be asked about: the qids, and whether it came to its end."""

    qids: list[Qid]
    arrived: bool


def resolved(names: Names, more: Iterable[str]) -> Names:
    """The place that a walk leads to."""
    found = list(names)
    for name in more:
        if name != "..":
            found.append(name)
        elif found:
            found.pop()
    return tuple(found)


class Knowledge:
    """One user's, of one attach, in one conversation."""

    def __init__(
        self, memory: Memory, conversation: Conversation, uname: str, aname: str, *, private: bool = False
    ) -> None:
        """``private``: what is learned is for this attach only. A file server that asked for a proof of who somebody
        is goes by that proof, which may be another's than ``uname`` says.
        """
        if private:
            uname = f"{uname}\0{next(_PRIVATE)}"
        self._book: Book = OwnBook() if private else memory.book
        self.memory = memory
        self._conversation = conversation
        self._generation = conversation.generation
        self._uname = uname
        self._aname = aname
        self._trees: dict[Names, str] = {}
        self._ways: dict[Names, Note] = {}
        self._paths = memory.frozen.below(aname)
        self._deepest = max((len(path) for path in self._paths), default=0)
        self._roots: dict[Names, Names | None] = {}
        self._lengths: dict[int, int] = {}

    @property
    def aname(self) -> str:
        """The tree's name."""
        return self._aname

    @property
    def era(self) -> int:
        """For the methods that learn: when the question was asked."""
        return self.memory.era

    # Trees that cannot change

    def root_of(self, names: Names) -> Names | None:
        """The root of the tree that cannot change and that the place is in, if it is in one."""
        if not self._paths:
            return None
        start = names[: self._deepest]
        try:
            return self._roots[start]
        except KeyError:
            depth = depth_of(self._paths, start)
            root = None if depth is None else start[:depth]
        if len(self._roots) >= MOST_ROOTS:
            self._roots.clear()
        self._roots[start] = root
        return root

    def unseen(self, names: Names, more: Sequence[str]) -> Names | None:
        """The root of such a tree on the way of a walk that has not been looked at yet."""
        if not self._paths:
            return None
        self._current()
        for end in range(len(more) + 1):
            root = self.root_of(resolved(names, more[:end]))
            if root is not None and root not in self._trees:
                return root
        return None

    def saw_root(self, root: Names, qids: Sequence[Qid], stat: Stat) -> None:
        """The root was looked at; ``qids`` are those of the way there, that of the attach first."""
        self._current()
        self._trees[root] = f"{self._aname}:{'/'.join(root)}@{stat.qid.path:x}.{stat.qid.version:x}.{stat.mtime:x}"
        book = self._book
        for end, qid in enumerate(qids):
            # Where it is when nobody can be asked. What leads to it is there as long as it is.
            note = Note(qid)
            note.searched = True
            note.stat = stat if end == len(root) else None
            book.put((self._aname, self._uname, "/".join(root[:end])), note)
            if end < len(root):
                self._ways[root[:end]] = note
        self.saw_stat(root, stat, self.era)

    def recall_root(self, root: Names) -> bool:
        """The same from memory, for when nobody can be asked; False if this user never saw it."""
        notes = [self._book.get((self._aname, self._uname, "/".join(root[:end]))) for end in range(len(root) + 1)]
        stat = None if notes[-1] is None else notes[-1].stat
        if stat is None or None in notes:
            return False
        self.saw_root(root, [note.qid for note in notes if note is not None], stat)
        return True

    def tree(self, names: Names) -> str | None:
        """The name under which the data of a tree that cannot change is kept; None for other places."""
        self._current()
        root = self.root_of(names)
        return None if root is None else self._trees.get(root)

    def _current(self) -> None:
        """On a new connection the roots of trees that cannot change are to be looked at again."""
        if self._generation != self._conversation.generation:
            self._generation = self._conversation.generation
            self._trees.clear()
            self._ways.clear()

    # What is known

    def note(self, names: Names) -> Note | None:
        """What can be believed of a place now."""
        tree = self.tree(names)
        if tree is not None:
            return self._book.get((tree, self._uname, "/".join(names)))
        return self._trusted(names) or self._ways.get(names)

    def _trusted(self, names: Names) -> Note | None:
        memory = self.memory
        if not memory.trust:
            return None
        note = memory.trusted.get((self._aname, self._uname, names))
        return note if note is not None and _now() < note.learned + memory.trust else None

    def follow(self, names: Names, more: Sequence[str]) -> Followed | None:
        """A walk by what is known, or None."""
        qids: list[Qid] = []
        here = self.note(names)
        for name in more:
            if here is None:
                return None
            if qids and not here.qid.type & QTDIR:
                return Followed(qids, arrived=False)
            if not here.searched:
                return None
            names = resolved(names, (name,))
            there = self.note(names)
            if there is None and here.entries is not None and name != "..":
                entry = here.entries.get(name)
                if entry is None:
                    return Followed(qids, arrived=False)
                there = Note(entry.qid, learned=here.learned)
            if there is None:
                return None
            if there.missing:
                return Followed(qids, arrived=False)
            qids.append(there.qid)
            here = there
        return Followed(qids, arrived=True)

    def stat(self, names: Names) -> Stat | None:
        """The directory entry of a place, or None."""
        note = self.note(names)
        if note is not None and note.stat is not None:
            return note.stat
        if names and (above := self.note(names[:-1])) is not None and above.entries is not None:
            return above.entries.get(names[-1])
        return None

    # What is learned; ``era`` is that of the question

    def saw_walk(self, names: Names, here: Qid, more: Sequence[str], qids: Sequence[Qid], era: int) -> None:
        """A walk from a place, ``here`` its qid, was let through so far."""
        for name, qid in zip(more, qids, strict=False):
            self._saw_search(names, here, era)
            names, here = resolved(names, (name,)), qid
            if (found := self._about(names, qid, era)) is not None:
                self._keep(*found)

    def _saw_search(self, names: Names, qid: Qid, era: int) -> None:
        if (above := self._about(names, qid, era)) is not None and not above[1].searched:
            above[1].searched = True
            self._keep(*above)

    def saw_missing(self, names: Names, here: Qid, name: str, era: int) -> None:
        """There is no such file in the directory ``names``, and the user may search that."""
        self._saw_search(names, here, era)
        place = resolved(names, (name,))
        if (found := self._about(place, Qid(0, 0, 0), era)) is not None:
            self._keep(place, Note(Qid(0, 0, 0), missing=True, learned=found[1].learned))

    def saw_stat(self, names: Names, stat: Stat, era: int) -> None:
        """The entry of a place was told."""
        if (found := self._about(names, stat.qid, era)) is not None:
            found[1].stat = stat
            self._keep(*found)

    def saw_open(self, names: Names, qid: Qid, era: int) -> None:
        """The user was let open a place for reading."""
        if (found := self._about(names, qid, era)) is not None:
            found[1].opened = True
            self._keep(*found)

    def saw_entries(self, names: Names, qid: Qid, entries: Sequence[Stat], era: int) -> None:
        """All that is in a directory was told."""
        if (found := self._about(names, qid, era)) is not None:
            found[1].entries = {entry.name: entry for entry in entries}
            self._keep(*found)

    # What is only guessed, and never told to anybody

    def saw_lengths(self, entries: Iterable[Stat]) -> None:
        """So long the plain files were that somebody has listed or looked at; devices are none."""
        lengths = self._lengths
        if len(lengths) >= MOST_LENGTHS:
            lengths.clear()
        for entry in entries:
            if entry.length and entry.qid.version and not entry.qid.type:
                lengths[entry.qid.path] = entry.length

    def likely_length(self, path: int) -> int:
        """How long the file with this qid path may be; 0 where nothing is known, or it is no plain file with bytes."""
        return self._lengths.get(path, 0)

    # The same for places

    def remembers(self, names: Names) -> bool:
        """Whether what is learned of a place is worth telling here."""
        return bool(self.memory.trust) or self.tree(names) is not None

    def _about(self, names: Names, qid: Qid, era: int) -> tuple[Names, Note] | None:
        """The note to write on, a new one where there is none of this file; None if nothing is to be kept.

        A note that is only trusted is never made younger: what is written on it is, but not what is there already.
        """
        memory = self.memory
        frozen = self.tree(names) is not None
        if not frozen and (not memory.trust or era != memory.era):
            return None
        note = self.note(names) if frozen else self._trusted(names)
        if note is not None and not note.missing and note.qid == qid:
            return names, note
        return names, Note(qid, learned=0.0 if frozen else _now())

    def _keep(self, names: Names, note: Note) -> None:
        tree = self.tree(names)
        if tree is not None:
            self._book.put((tree, self._uname, "/".join(names)), note)
            return
        trusted = self.memory.trusted
        if len(trusted) >= MOST_TRUSTED:
            trusted.clear()
        trusted[self._aname, self._uname, names] = note


def _now() -> float:
    return trio.current_time()
