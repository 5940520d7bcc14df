"""The live tree: files and users as they are in the present epoch. Imports ``fossil.metadata`` and ``fossil.data``."""
