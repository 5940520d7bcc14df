"""A 9P server for fsspec, so that pandas, pyarrow and others read from it: ``ninep://host:port/path``.

Imports ``ninep.blocking``, ``ninep.client`` and ``ninep.copy``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ninep.lazy import lazily

if TYPE_CHECKING:
    from ninep.fsspec.filesystem import NinepFileSystem
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "ninep.fsspec.filesystem": ("NinepFileSystem",),
        },
    )

__all__ = ["NinepFileSystem"]
