"""The server's side of 9P: fids, sessions and requests in three dialects, over any ``FileTree``.

Imports ``ninep.protocol``, ``ninep.wire``, ``ninep.net`` and the ground floor.
"""
