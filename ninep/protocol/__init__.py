"""9P itself, pure: messages and their bytes, qids, directory entries, attributes, errors, permissions.

No I/O, no clock. Imports ``ninep.wire`` for frames and ``Maybe``.
"""
