"""The store on disk. Formats are in ``docs/reference/venti-store.md``."""

from venti.disk.opening import open_disk_store
from venti.disk.store import DiskStore

__all__ = ["DiskStore", "open_disk_store"]
