"""Feeds one of ``contracts.fuzz_targets`` with atheris: ``python tests/fuzz.py NAME [-max_total_time=60]``.

Needs ``pip install atheris``. The flags are those of libFuzzer. What makes a target fail is printed, and kept in a
file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]


def main() -> int:
    """Runs until a failure, or for as long as the flags say."""
    import atheris

    with atheris.instrument_imports(include=["venti", "ninep.wire"]):
        from contracts.fuzz_targets import TARGETS, seeds

    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        print(f"which? {' '.join(TARGETS)}", file=sys.stderr)
        return 2
    name = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds(name)):
            Path(corpus, str(number)).write_bytes(data)
        atheris.Setup([*sys.argv, corpus], TARGETS[name])
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
