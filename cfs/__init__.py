"""A caching 9P server for slow links.

The names below are the public interface of the library: ``from cfs import opened``. Everything else may
change. A name's module is loaded when the name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ninep.lazy import lazily

if TYPE_CHECKING:
    from cfs.errors import BadBound, CacheInUse, CfsError, Interrupted, NoCache, NotACache, ServerGone, StaleFile
    from cfs.files.cache import Cache, opened
    from cfs.files.proxy import CachedTree
    from cfs.server import serve, serve_client
    from cfs.statistics import Statistics

__all__ = [
    "BadBound",
    "Cache",
    "CacheInUse",
    "CachedTree",
    "CfsError",
    "Interrupted",
    "NoCache",
    "NotACache",
    "ServerGone",
    "StaleFile",
    "Statistics",
    "opened",
    "serve",
    "serve_client",
]

if not TYPE_CHECKING:
    # Type checkers must not see it: with it they would accept every name.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "cfs.errors": (
                "CfsError",
                "CacheInUse",
                "NotACache",
                "BadBound",
                "NoCache",
                "ServerGone",
                "Interrupted",
                "StaleFile",
            ),
            "cfs.files.cache": ("opened", "Cache"),
            "cfs.files.proxy": ("CachedTree",),
            "cfs.server": ("serve", "serve_client"),
            "cfs.statistics": ("Statistics",),
        },
    )
