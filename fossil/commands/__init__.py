"""The commands of the console, by what they are about. Source: fossilcons(8)."""

from fossil.commands import blocks, checking, doors, files, general, past, people, snapshots, systems

__all__ = ["blocks", "checking", "doors", "files", "general", "past", "people", "snapshots", "systems"]
