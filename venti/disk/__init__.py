"""The store on disk. Formats are in ``docs/reference/venti-store.md``."""

from venti.disk.store import DiskStore, open_disk_store

__all__ = ["DiskStore", "open_disk_store"]
