"""The venti protocol, versions 02 and 04: messages, their bytes, and the handshake. Imports ``venti.blocks``."""
