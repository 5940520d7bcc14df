"""Our fossil as the original is in one thing: a file and all that snapshots have of it have one qid path.

``python -m fakes.shared_qids ...`` takes the words of ``python -m fossil``.
"""

import sys

from fossil.__main__ import main
from fossil.past import past

past.past_path = lambda epoch, path: path

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
