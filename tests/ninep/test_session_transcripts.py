"""The conversations of ``tests/transcripts``, held with ramfs and with files that wait."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from contracts.transcripts import Conversation, conversations, play
from fakes.secret_tree import SecretTree
from fakes.slow_tree import SlowTree
from ninep.ram.tree import RamTree
from ninep.server.files import FileTree


@pytest.mark.parametrize("conversation", list(conversations()), ids=lambda conversation: conversation.title)
async def test_conversation(conversation: Conversation, autojump_clock: MockClock) -> None:
    tree: FileTree = SlowTree() if "slow" in conversation.kind else RamTree("glenda")
    if "secret" in conversation.kind:
        tree = SecretTree(tree, {"glenda": b"rabbit", "mallory": b"hare"})
    await play(conversation, tree)
