"""The store on disk: a log of clumps in arenas, and the index over it.

Formats are in ``docs/reference/venti-store.md``. Imports ``venti.stores``, ``venti.workers`` and ``venti.blocks``.
"""
