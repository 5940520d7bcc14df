"""The client's side of 9P: connections, remote files, trees by path, and links that reconnect.

Imports ``ninep.protocol``, ``ninep.wire``, ``ninep.net`` and the ground floor; of the server only the interface
``File``.
"""
