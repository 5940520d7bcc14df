"""``python -m cfs``, a module for each command. Imports everything of ``cfs``."""
