"""Snapshots: trees as they were, what differs between them, and when they are made and forgotten.

Imports ``fossil.live``.
"""
