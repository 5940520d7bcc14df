"""Surveys, verification, scrubbing, rebuilding and replicas of a store on disk.

Imports ``venti.log`` and what that may.
"""
