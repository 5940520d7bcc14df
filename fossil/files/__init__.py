"""What clients see over 9P: live and past files, the directories above them, and archives by themselves.

Imports ``fossil.past`` and below, ``ninep.server``, and of ``fossil.archive`` the modes.
"""
