"""Addresses and connections: dial strings, networks, dialling, listening, TLS.

Imports nothing but the ground floor.
"""
