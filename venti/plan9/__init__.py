"""What the original venti keeps on its disks, for reading only."""
