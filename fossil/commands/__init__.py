"""The commands of the console, by what they are about. Source: fossilcons(8)."""

from fossil.commands import blocks, doors, files, general, past, people, snapshots, systems

__all__ = ["blocks", "doors", "files", "general", "past", "people", "snapshots", "systems"]
