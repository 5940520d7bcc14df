"""The database: nodes, names and extents since which epoch, and how changes of them become durable.

Imports ``fossil.data``.
"""
