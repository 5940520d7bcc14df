"""The edge of venti's program: what its commands share, and the work of the larger ones.

``flags`` and ``settings`` load next to nothing, and all command lines are made of them. The others are imported when a
command runs. Imports everything of ``venti``, and ``ninep.cli``.
"""
