"""Block stores and wrappers around them: in memory, cached, remote, reconnecting, mirrored, written behind.

Imports ``venti.blocks``, ``venti.protocol``, ``venti.workers`` and ``ninep.wire``.
"""
