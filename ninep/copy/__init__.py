"""Whole trees to a server, from a server, and away. Imports ``ninep.client`` and what that may."""
