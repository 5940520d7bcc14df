"""Hash trees over blocks: entries, roots, geometry, reading, writing and copying.

Imports ``venti.stores`` and ``venti.blocks``.
"""
