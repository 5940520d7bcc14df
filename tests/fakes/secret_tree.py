"""A tree that lets in who knows a secret, for tests of authentication.

The conversation: the client reads a challenge, writes ``proof(secret, challenge)`` and reads ``ok``. A read that comes
before the proof waits for it.
"""

from __future__ import annotations

import hashlib

import trio

from ninep.client.remote import RemoteFile
from ninep.protocol.errors import AuthenticationFailed, AuthenticationNotRequired
from ninep.protocol.qid import QTAUTH, Qid
from ninep.server.files import File, FileTree
from ninep.wire.dialect import Buffer, Maybe

GUEST = "none"
"""Who has to prove nothing."""


def proof(secret: bytes, challenge: bytes) -> bytes:
    """What only who knows the secret can say."""
    return hashlib.blake2b(challenge, key=secret, digest_size=8).hexdigest().encode()


async def converse(auth: RemoteFile, secret: bytes) -> None:
    """The client's side."""
    challenge = bytes(await auth.read(0, 100))
    said = proof(secret, challenge)
    assert await auth.write(0, said) == len(said)
    assert bytes(await auth.read(0, 100)) == b"ok"


class SecretTree(FileTree):
    """``tree`` for those whose secret is in ``secrets``, and for the guest.

    Attributes:
        talks: conversations that have begun and not ended.
        users: who was let in, in order; a guest's name is followed by a question mark.
    """

    def __init__(self, tree: FileTree, secrets: dict[str, bytes]) -> None:
        self.tree = tree
        self.secrets = secrets
        self.ids = tree.ids
        self.talks = 0
        self.begun = 0
        self.users: list[str] = []

    def attach(self, uname: str, aname: str, *, local: bool = False) -> Maybe[File]:
        if uname != GUEST:
            raise AuthenticationFailed
        self.users.append(f"{uname}?")
        return self.tree.attach(uname, aname, local=local)

    async def auth(self, uname: str, aname: str) -> File:
        await trio.lowlevel.checkpoint()
        if uname == GUEST:
            raise AuthenticationNotRequired
        self.begun += 1
        self.talks += 1
        return Challenge(self, uname, self.begun)

    async def attach_authenticated(self, uname: str, aname: str, auth: File, *, local: bool = False) -> File:
        await trio.lowlevel.checkpoint()
        if not isinstance(auth, Challenge) or not auth.proven.is_set():
            raise AuthenticationFailed
        self.users.append(uname)
        root = self.tree.attach(uname, aname, local=local)
        return root if isinstance(root, File) else await root

    def commit(self) -> Maybe[None]:
        return self.tree.commit()


class Challenge(File):
    def __init__(self, tree: SecretTree, uname: str, number: int) -> None:
        self.qid = Qid(QTAUTH, 0, 1 << 40 | number)
        self.tree = tree
        self.proven = trio.Event()
        self.challenge = b"challenge %d" % number
        self.asked = False
        self.expected = proof(tree.secrets[uname], self.challenge)

    def read(self, offset: int, count: int) -> Maybe[Buffer]:
        if not self.asked:
            self.asked = True
            return self.challenge
        return self.verdict()

    async def verdict(self) -> bytes:
        await self.proven.wait()
        return b"ok"

    def write(self, offset: int, data: Buffer) -> int:
        if bytes(data) != self.expected:
            raise AuthenticationFailed
        self.proven.set()
        return len(data)

    async def clunk(self) -> None:
        self.tree.talks -= 1
