"""Structured concurrency that every room needs, each thing once. Imports trio and nothing of the other rooms."""

from ninep.tasks.each import for_each
from ninep.tasks.jobs import Jobs
from ninep.tasks.nursery import background, open_nursery
from ninep.tasks.shielded import has_ended
from ninep.tasks.threaded import LoopElsewhere, LoopEnded, LoopThread

__all__ = [
    "Jobs",
    "LoopElsewhere",
    "LoopEnded",
    "LoopThread",
    "background",
    "for_each",
    "has_ended",
    "open_nursery",
]
