"""``python -m fossil``, a module for each command of the shell. Imports everything of ``fossil``."""
