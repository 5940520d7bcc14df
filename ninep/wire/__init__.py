"""The message loop that 9P and venti share: frames, tags, calls, sessions, and what goes out of a connection.

Imports the ground floor and ``ninep.net``, and nothing that knows a protocol.
"""
