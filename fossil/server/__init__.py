"""A file server: file systems by name, connections, checks, and everything that runs beside them.

Imports all rooms below.
"""
