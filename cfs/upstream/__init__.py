"""The way to the file server: connections and fids that are re-established after a reconnect.

Imports ``cfs.known``.
"""
