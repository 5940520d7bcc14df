"""What clients may do, as the options of ``open`` and ``srv`` say. Source: fossilcons(8)."""

from __future__ import annotations

from typing import NamedTuple


class Rules(NamedTuple):
    """How strict a file system is.

    Attributes:
        permissions: whether modes, users and groups are looked at (``-P`` turns that off).
        wstat_anything: whether everybody may change owners, groups and modes (``-W``).
        read_only: whether nothing can be changed (``-r``).
        access_times: whether reading is noted in a file's access time (``-a`` turns that off).
    """

    permissions: bool = True
    wstat_anything: bool = False
    read_only: bool = False
    access_times: bool = True

    def relaxed(self, *, permissions: bool, wstat_anything: bool) -> Rules:
        """These rules on a service that may be laxer than the file system itself."""
        return self._replace(
            permissions=self.permissions and permissions, wstat_anything=self.wstat_anything or wstat_anything
        )


STRICT = Rules()
