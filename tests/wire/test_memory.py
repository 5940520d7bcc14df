"""Programs keep the memory that they have had."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
from ninep.wire import memory
if sys.argv[1] == "keep":
    assert memory.keep_freed()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(200):
    bytes(bytearray(1 << 20))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc is meant")
def test_large_buffers_are_not_fetched_from_the_kernel_again_and_again() -> None:
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", COUNT, how], check=True, capture_output=True).stdout)
        for how in ("keep", "as it is")
    )
    assert kept < 2000
    assert given_back > 5 * kept
