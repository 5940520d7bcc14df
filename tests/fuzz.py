"""Feeds a target with atheris: ``python tests/fuzz.py NAME [-max_total_time=60]``.

Those of venti are in ``contracts.fuzz_targets``, those of 9P in ``contracts.ninep_fuzz_targets``.
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

    with atheris.instrument_imports(include=["venti", "ninep"]):
        from contracts.fuzz_targets import TARGETS, seeds
        from contracts.ninep_fuzz_targets import NINEP_TARGETS, ninep_seeds

    targets = TARGETS | NINEP_TARGETS
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        print(f"which? {' '.join(targets)}", file=sys.stderr)
        return 2
    name = sys.argv.pop(1)
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate((ninep_seeds if name in NINEP_TARGETS else seeds)(name)):
            Path(corpus, str(number)).write_bytes(data)
        atheris.Setup([*sys.argv, corpus], targets[name])
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
