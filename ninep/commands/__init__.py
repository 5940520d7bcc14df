"""``python -m ninep``, a module for each group of commands. Imports everything of ``ninep``."""
