"""``python -m ninep``, a module for each command. Imports everything of ``ninep``, but only when a command runs."""
