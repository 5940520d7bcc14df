"""A file tree in memory. Imports ``ninep.server`` and ``ninep.protocol``."""
