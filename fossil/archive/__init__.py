"""The way to venti and back: archives as vac trees, offloaded data, and directories that are fetched when looked at.

Imports ``fossil.past`` and below, and ``venti``.
"""
