"""Directory entries: the metadata that an archive holds of a file. Source: vac(7) and fossil's archives.

The entry names its file's hash tree by its number in the entry stream of the directory. It holds no size: that is in
the tree's ``Entry``.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ninep.wire.dialect import Buffer
from venti.blocks.errors import DamagedArchive
from venti.vac import mode as modes

MAGIC: Final = 0x1C4D9072

_HEAD = struct.Struct(">IHH")
_NUMBERS = struct.Struct(">IIIIQ")
_OLD_NUMBERS = struct.Struct(">IQ")
_TAIL = struct.Struct(">IIIII")
_SECTION = struct.Struct(">BH")
_PLAN9 = struct.Struct(">QI")
_QID_SPACE = struct.Struct(">QQ")
_PLAN9_KIND, _QID_SPACE_KIND, _GENERATION_KIND = 1, 3, 4
_REPLACEMENT = 20


class QidSpace(NamedTuple):
    """File ids below a directory: shifted by ``offset``, summed down the path; those in use are below ``limit``."""

    offset: int
    limit: int


class DirEntry(NamedTuple):
    """What an archive knows of a file.

    Attributes:
        name: one element of a path; bytes that are not UTF-8 are kept as Python's surrogate escapes.
        mode: bits of ``venti.vac.mode``.
        qid: the file's id, before the shifts of the directories above.
        uid: owner; ``gid`` group; ``mid`` who changed it last. Names or numbers, as the writer had them.
        mtime: seconds since 1970 of the last change of the contents.
        mcount: how often the contents changed; the version of the qid.
        ctime: seconds of the last change of this entry.
        atime: seconds of the last read.
        entry: number of the file's tree in the entry stream; for a directory its own entry stream.
        generation: of that tree's entry.
        meta_entry: for a directory, the number of its metadata stream.
        meta_generation: of that one's entry.
        qid_space: ids below a directory.
        plan9_qid: path and version of a Plan 9 file, from old archives.
        version: of the layout: 9 has all numbers, 7 and 8 only ``entry``.
    """

    name: str
    mode: int
    qid: int = 0
    uid: str = ""
    gid: str = ""
    mid: str = ""
    mtime: int = 0
    mcount: int = 0
    ctime: int = 0
    atime: int = 0
    entry: int = 0
    generation: int = 0
    meta_entry: int = 0
    meta_generation: int = 0
    qid_space: QidSpace | None = None
    plan9_qid: tuple[int, int] | None = None
    version: int = 9

    @property
    def directory(self) -> bool:
        """Whether it is a directory."""
        return bool(self.mode & modes.DIRECTORY)

    def pack(self) -> bytes:
        """The bytes that stand in a MetaBlock.

        Raises:
            ValueError: a name is longer than 65535 bytes, or a number does not fit its field.
        """
        try:
            name = _encode(self.name)
            parts = [_HEAD.pack(MAGIC, self.version, len(name)), name]
            if self.version >= 9:
                parts.append(
                    _NUMBERS.pack(self.entry, self.generation, self.meta_entry, self.meta_generation, self.qid)
                )
            else:
                parts.append(_OLD_NUMBERS.pack(self.entry, self.qid))
            if self.version == 7:
                parts.append(bytes(_REPLACEMENT))
            for text in (self.uid, self.gid, self.mid):
                data = _encode(text)
                parts += (len(data).to_bytes(2, "big"), data)
            parts.append(_TAIL.pack(self.mtime, self.mcount, self.ctime, self.atime, self.mode))
        except (struct.error, OverflowError) as error:
            raise ValueError(f"{self.name!r} does not fit a directory entry: {error}") from error
        if self.plan9_qid is not None and self.version < 9:
            parts.append(_SECTION.pack(_PLAN9_KIND, _PLAN9.size) + _PLAN9.pack(*self.plan9_qid))
        if self.generation and self.version < 9:
            parts.append(_SECTION.pack(_GENERATION_KIND, 4) + self.generation.to_bytes(4, "big"))
        if self.qid_space is not None:
            parts.append(_SECTION.pack(_QID_SPACE_KIND, _QID_SPACE.size) + _QID_SPACE.pack(*self.qid_space))
        return b"".join(parts)

    @classmethod
    def unpack(cls, data: Buffer) -> DirEntry:
        """The entry that fills ``data``.

        Raises:
            DamagedArchive: it is none, or it is cut short, or a section has the wrong length or comes twice.
        """
        data = bytes(data)
        try:
            return cls._unpack(data)
        except (struct.error, IndexError) as error:
            raise DamagedArchive(f"a directory entry of {len(data)} bytes is cut short") from error

    @classmethod
    def _unpack(cls, data: bytes) -> DirEntry:
        magic, version, length = _HEAD.unpack_from(data)
        if magic != MAGIC:
            raise DamagedArchive(f"a directory entry begins with {magic:#x}, not {MAGIC:#x}")
        if not 7 <= version <= 9:
            raise DamagedArchive(f"directory entry version {version} is unknown; 7, 8 and 9 are")
        at = _HEAD.size + length
        name = _decode(data[_HEAD.size : at])
        if version >= 9:
            entry, generation, meta_entry, meta_generation, qid = _NUMBERS.unpack_from(data, at)
            at += _NUMBERS.size
        else:
            entry, qid = _OLD_NUMBERS.unpack_from(data, at)
            generation, meta_entry, meta_generation = 0, entry + 1, 0
            at += _OLD_NUMBERS.size
        if version == 7:
            at += _REPLACEMENT
        uid, at = _string(data, at)
        gid, at = _string(data, at)
        mid, at = _string(data, at)
        mtime, mcount, ctime, atime, mode = _TAIL.unpack_from(data, at)
        plan9, space = _sections(data, at + _TAIL.size, version)
        if plan9 is not None and not mcount:
            mcount = plan9[1]
        return cls(
            name,
            mode,
            qid,
            uid,
            gid,
            mid,
            mtime,
            mcount,
            ctime,
            atime,
            entry,
            generation,
            meta_entry,
            meta_generation,
            space,
            plan9,
            version,
        )


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = at + 2 + (data[at] << 8 | data[at + 1])
    return _decode(data[at + 2 : end]), end


def _sections(data: bytes, at: int, version: int) -> tuple[tuple[int, int] | None, QidSpace | None]:
    plan9: tuple[int, int] | None = None
    space: QidSpace | None = None
    while at < len(data):
        kind, length = _SECTION.unpack_from(data, at)
        at += _SECTION.size
        body = data[at : at + length]
        at += length
        if at > len(data):
            raise DamagedArchive(f"section {kind} of a directory entry is cut short")
        if kind == _PLAN9_KIND:
            if version >= 9 or plan9 is not None or length != _PLAN9.size:
                raise DamagedArchive("a directory entry has a bad plan9 section")
            path, changes = _PLAN9.unpack(body)
            plan9 = (path, changes)
        elif kind == _QID_SPACE_KIND:
            if space is not None or length != _QID_SPACE.size:
                raise DamagedArchive("a directory entry has a bad qid space section")
            space = QidSpace(*_QID_SPACE.unpack(body))
    return plan9, space


def safe_name(name: str) -> bool:
    """Whether a name can stand for one element of a path: not empty, no slash, no NUL, neither ``.`` nor ``..``."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def name_key(name: str) -> bytes:
    """What names are sorted by: their bytes."""
    return _encode(name)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
