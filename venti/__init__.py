"""A content-addressed, write-once block archive that speaks the venti protocol, and vac archives of files in it.

The names below are the public interface of the library: ``from venti import connect``. Everything else may
change. A name's module is loaded when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ninep.lazy import lazily

if TYPE_CHECKING:
    from venti.blocks.blocktype import BlockType
    from venti.blocks.errors import (
        BlockNotFound,
        BlockTooLarge,
        DamagedArchive,
        DamagedBlock,
        DamagedStore,
        LostBlock,
        NoStore,
        NotInArchive,
        ReadOnlyStore,
        Refusal,
        StoreFull,
        StoreInUse,
        VentiError,
    )
    from venti.blocks.score import Score
    from venti.log.opening import open_disk_store
    from venti.log.store import DiskStore
    from venti.server import serve, serve_stream
    from venti.stores.interface import BlockStore
    from venti.stores.memory import MemoryStore
    from venti.stores.redial import RedialledStore, redialled
    from venti.stores.remote import RemoteStore, connect, connected
    from venti.stores.write_behind import WriteBehind, write_behind
    from venti.trees.root import Root
    from venti.trees.tree import TreeReader, TreeWriter
    from venti.vac.reader import VacFile, VacReader, open_archive

__all__ = [
    "BlockNotFound",
    "BlockStore",
    "BlockTooLarge",
    "BlockType",
    "DamagedArchive",
    "DamagedBlock",
    "DamagedStore",
    "DiskStore",
    "LostBlock",
    "MemoryStore",
    "NoStore",
    "NotInArchive",
    "ReadOnlyStore",
    "RedialledStore",
    "Refusal",
    "RemoteStore",
    "Root",
    "Score",
    "StoreFull",
    "StoreInUse",
    "TreeReader",
    "TreeWriter",
    "VacFile",
    "VacReader",
    "VentiError",
    "WriteBehind",
    "connect",
    "connected",
    "open_archive",
    "open_disk_store",
    "redialled",
    "serve",
    "serve_stream",
    "write_behind",
]

if not TYPE_CHECKING:
    # Type checkers must not see it: with it they would accept every name.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "venti.blocks.blocktype": ("BlockType",),
            "venti.blocks.errors": (
                "VentiError",
                "Refusal",
                "BlockNotFound",
                "BlockTooLarge",
                "ReadOnlyStore",
                "StoreFull",
                "DamagedBlock",
                "LostBlock",
                "DamagedStore",
                "DamagedArchive",
                "NotInArchive",
                "StoreInUse",
                "NoStore",
            ),
            "venti.blocks.score": ("Score",),
            "venti.log.opening": ("open_disk_store",),
            "venti.log.store": ("DiskStore",),
            "venti.server": ("serve", "serve_stream"),
            "venti.stores.interface": ("BlockStore",),
            "venti.stores.memory": ("MemoryStore",),
            "venti.stores.redial": ("redialled", "RedialledStore"),
            "venti.stores.remote": ("connect", "connected", "RemoteStore"),
            "venti.stores.write_behind": ("write_behind", "WriteBehind"),
            "venti.trees.root": ("Root",),
            "venti.trees.tree": ("TreeReader", "TreeWriter"),
            "venti.vac.reader": ("open_archive", "VacReader", "VacFile"),
        },
    )
