"""The commands of the console, by what they are about.

Imports ``fossil.server`` and ``fossil.console``. Source: fossilcons(8).
"""
