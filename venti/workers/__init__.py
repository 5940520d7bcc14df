"""Processes beside a server that hash and compress blocks. Imports ``venti.blocks``."""
