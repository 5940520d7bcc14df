"""A file server's trees as they look through the cache.

Imports the rooms ``cfs.disk``, ``cfs.known`` and ``cfs.upstream``.
"""
