"""9P2000: codec, server, client and command line."""
