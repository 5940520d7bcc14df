"""Local files whose content has to survive: written whole, replaced safely, made durable with their names, locked.

The ground floor: it imports nothing of the other rooms, and all of them may import it. Its functions raise ``OSError``
and wait for the disk, except where they say otherwise; any thread may call them.
"""

from ninep.disk.destination import Destination, check_writable, write_text
from ninep.disk.folders import make_folders, sync_folder
from ninep.disk.growing import ReadBound
from ninep.disk.locked import AlreadyLocked, LockFile
from ninep.disk.positioned import Data, PositionedFile, pread_all, pwrite_all
from ninep.disk.replaced import replace_file
from ninep.disk.room import FULL, has_room, has_space, is_full
from ninep.disk.streamed import write_whole

__all__ = [
    "FULL",
    "AlreadyLocked",
    "Data",
    "Destination",
    "LockFile",
    "PositionedFile",
    "ReadBound",
    "check_writable",
    "has_room",
    "has_space",
    "is_full",
    "make_folders",
    "pread_all",
    "pwrite_all",
    "replace_file",
    "sync_folder",
    "write_text",
    "write_whole",
]
