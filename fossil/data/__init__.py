"""The data log: pieces of files on the disk, and which bytes of a file are where. Knows no names and no epochs."""
