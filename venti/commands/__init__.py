"""``python -m venti``, a module for each command; single blocks are one noun.

Imports of ``venti.cli`` what command lines are made of; all else, and all of ``venti``, only when a command runs.
"""
