"""The client's side of 9P: connections, remote files, trees by path, and links that reconnect.

Imports ``ninep.protocol``, ``ninep.wire``, ``ninep.net`` and the ground floor; of the server only the interface
``File``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ninep.lazy import lazily

if TYPE_CHECKING:
    from ninep.client.connection import Connection, connected
    from ninep.client.file_object import FileObject
    from ninep.client.lasting import LastingTree, lasting
    from ninep.client.tree import RemoteTree, connect
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "ninep.client.connection": (
                "Connection",
                "connected",
            ),
            "ninep.client.file_object": ("FileObject",),
            "ninep.client.lasting": (
                "LastingTree",
                "lasting",
            ),
            "ninep.client.tree": (
                "RemoteTree",
                "connect",
            ),
        },
    )

__all__ = ["Connection", "FileObject", "LastingTree", "RemoteTree", "connect", "connected", "lasting"]
