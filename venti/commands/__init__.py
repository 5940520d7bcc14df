"""What ``python -m venti`` can do, a module for each command or two."""
