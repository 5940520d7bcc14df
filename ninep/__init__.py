"""9P2000, 9P2000.u and 9P2000.L on trio: clients, servers, and programs made of them.

The names below are the public interface of the library: ``from ninep import connect``. The client for programs without
an event loop is ``ninep.blocking``. Everything else may change. A name's module is loaded when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ninep.lazy import lazily

if TYPE_CHECKING:
    from ninep.client.file_object import FileObject
    from ninep.client.lasting import LastingTree, lasting
    from ninep.client.lasting_file import LastingFile
    from ninep.client.tree import Connection, RemoteFile, RemoteTree, connect, connected
    from ninep.copy.transfer import Incomplete, Progress
    from ninep.export.tree import ExportTree
    from ninep.net.dial import dial
    from ninep.net.errors import BadAddress, CannotListen, ConnectionLost, Unreachable, WireError
    from ninep.net.listen import Listener, listen
    from ninep.net.networks import Networks
    from ninep.net.tls import client_context, server_context
    from ninep.protocol.errors import (
        AuthenticationFailed,
        AuthenticationNotRequired,
        DirectoryNotEmpty,
        FileError,
        FileExists,
        FileNotFound,
        FileSystemFull,
        InputOutput,
        IsDirectory,
        NinepError,
        NotDirectory,
        NotPermitted,
        NotSupported,
        PermissionDenied,
        ReadOnly,
        UnknownUser,
    )
    from ninep.protocol.messages import ORDWR, OREAD, OWRITE
    from ninep.protocol.qid import Qid
    from ninep.protocol.stat import Stat
    from ninep.ram.tree import RamTree
    from ninep.server.files import File, FileTree, Walked
    from ninep.server.serve import serve, serve_stream
    from ninep.synthetic.tree import SyntheticTree

__all__ = [
    "ORDWR",
    "OREAD",
    "OWRITE",
    "AuthenticationFailed",
    "AuthenticationNotRequired",
    "BadAddress",
    "CannotListen",
    "Connection",
    "ConnectionLost",
    "DirectoryNotEmpty",
    "ExportTree",
    "File",
    "FileError",
    "FileExists",
    "FileNotFound",
    "FileObject",
    "FileSystemFull",
    "FileTree",
    "Incomplete",
    "InputOutput",
    "IsDirectory",
    "LastingFile",
    "LastingTree",
    "Listener",
    "Networks",
    "NinepError",
    "NotDirectory",
    "NotPermitted",
    "NotSupported",
    "PermissionDenied",
    "Progress",
    "Qid",
    "RamTree",
    "ReadOnly",
    "RemoteFile",
    "RemoteTree",
    "Stat",
    "SyntheticTree",
    "UnknownUser",
    "Unreachable",
    "Walked",
    "WireError",
    "client_context",
    "connect",
    "connected",
    "dial",
    "lasting",
    "listen",
    "serve",
    "serve_stream",
    "server_context",
]

if not TYPE_CHECKING:
    # Type checkers must not see it: with it they would accept every name.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "ninep.client.file_object": ("FileObject",),
            "ninep.client.lasting": ("lasting", "LastingTree"),
            "ninep.client.lasting_file": ("LastingFile",),
            "ninep.client.tree": ("connect", "connected", "RemoteTree", "RemoteFile", "Connection"),
            "ninep.copy.transfer": ("Progress", "Incomplete"),
            "ninep.export.tree": ("ExportTree",),
            "ninep.net.dial": ("dial",),
            "ninep.net.errors": ("WireError", "Unreachable", "BadAddress", "CannotListen", "ConnectionLost"),
            "ninep.net.listen": ("listen", "Listener"),
            "ninep.net.networks": ("Networks",),
            "ninep.net.tls": ("client_context", "server_context"),
            "ninep.protocol.errors": (
                "NinepError",
                "FileError",
                "FileNotFound",
                "FileExists",
                "PermissionDenied",
                "NotPermitted",
                "NotDirectory",
                "IsDirectory",
                "DirectoryNotEmpty",
                "ReadOnly",
                "FileSystemFull",
                "InputOutput",
                "NotSupported",
                "AuthenticationNotRequired",
                "AuthenticationFailed",
                "UnknownUser",
            ),
            "ninep.protocol.messages": ("OREAD", "OWRITE", "ORDWR"),
            "ninep.protocol.qid": ("Qid",),
            "ninep.protocol.stat": ("Stat",),
            "ninep.ram.tree": ("RamTree",),
            "ninep.server.files": ("File", "FileTree", "Walked"),
            "ninep.server.serve": ("serve", "serve_stream"),
            "ninep.synthetic.tree": ("SyntheticTree",),
        },
    )
