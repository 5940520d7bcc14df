"""TLS, standard streams, programs, sockets from systemd: the same conversation over each."""

from __future__ import annotations

import getpass
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from ninep.client.tree import connect
from ninep.net.dial import dial
from ninep.net.errors import BadAddress, CannotListen, ConnectionLost, Unreachable
from ninep.net.listen import listen, where
from ninep.net.passed import passed
from ninep.net.tls import client_context, reason, server_context
from ninep.ram.tree import RamTree
from ninep.server.serve import serve
from programs.processes import environment

trustme = pytest.importorskip("trustme", reason="trustme is not installed: pip install 'ninegrid[test]'")


class Papers:
    """An authority, a server's and a client's certificates, and those of somebody else, as files."""

    def __init__(self, folder: Path) -> None:
        ours, theirs = trustme.CA(), trustme.CA()
        self.authority = str(folder / "authority.pem")
        ours.cert_pem.write_to_path(self.authority)
        self.stranger_authority = str(folder / "stranger-authority.pem")
        theirs.cert_pem.write_to_path(self.stranger_authority)
        self.server = str(folder / "server.pem")
        ours.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self.server)
        self.client = str(folder / "client.pem")
        ours.issue_cert("glenda@example.org").private_key_and_cert_chain_pem.write_to_path(self.client)
        self.stranger = str(folder / "stranger.pem")
        theirs.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self.stranger)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


async def conversation(server: ssl.SSLContext, client: ssl.SSLContext | None) -> None:
    listeners = await listen("tls!127.0.0.1!0", service="9fs", context=server)
    place = where(listeners[0])
    assert place.startswith("tls!127.0.0.1!")
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, RamTree("glenda"), listeners)
        try:
            async with connect(place, uname="glenda", context=client) as tree:
                content = os.urandom(3_000_000)
                await tree.write_bytes("file", content)
                assert await tree.read_bytes("file") == content
        finally:
            nursery.cancel_scope.cancel()


async def test_tls_with_certificates_on_both_sides(papers: Papers) -> None:
    await conversation(server_context(papers.server, papers.authority), client_context(papers.authority, papers.client))
    await conversation(server_context(papers.server), client_context(papers.authority))


async def refused(server: ssl.SSLContext, client: ssl.SSLContext | None) -> str:
    with pytest.RaisesGroup(Exception, flatten_subgroups=True) as caught:
        await conversation(server, client)
    (error,) = caught.value.exceptions
    return str(error)


async def test_a_server_that_is_somebody_else(papers: Papers) -> None:
    for client in (None, client_context(papers.authority)):
        said = await refused(server_context(papers.stranger), client)
        assert "not to be trusted" in said
        assert "--tls-ca" in said


async def test_a_client_without_the_right_certificate(papers: Papers) -> None:
    asks = server_context(papers.server, papers.authority)
    for certificate in ("", papers.stranger):
        assert "--tls-cert" in await refused(asks, client_context(papers.authority, certificate))


async def test_tls_where_there_is_none_and_none_where_there_is(papers: Papers) -> None:
    plain = await listen("tcp!127.0.0.1!0", service="9fs")
    secured = await listen("tls!127.0.0.1!0", service="9fs", context=server_context(papers.server))
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, RamTree("glenda"), plain)
        await nursery.start(serve, RamTree("glenda"), secured)
        with pytest.raises(Unreachable, match="is it a tcp! address"):
            await dial(where(plain[0]).replace("tcp", "tls"), service="9fs")
        with pytest.raises(ConnectionLost, match="perhaps a tls! one"):
            async with connect(where(secured[0]).replace("tls", "tcp"), uname="glenda"):
                pass
        nursery.cancel_scope.cancel()


async def test_proof_opens_an_address_to_strangers(papers: Papers) -> None:
    with pytest.raises(BadAddress, match="--tls-clients"):
        await listen("tls!*!0", service="9fs", context=server_context(papers.server))
    for listener in await listen("tls!*!0", service="9fs", context=server_context(papers.server, papers.authority)):
        await listener.aclose()


@pytest.mark.parametrize(
    ("address", "context", "complaint"),
    [("tls!127.0.0.1!0", False, "--tls-cert"), ("tcp!127.0.0.1!0", True, "'tls!' address"), ("-", False, "listen")],
)
async def test_addresses_and_certificates_that_do_not_fit(
    papers: Papers, address: str, context: bool, complaint: str
) -> None:
    with pytest.raises(BadAddress, match=complaint):
        await listen(address, service="9fs", context=server_context(papers.server) if context else None)


def test_files_that_are_no_certificates(papers: Papers, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    for path in (tmp_path / "text", tmp_path / "nothing", Path(papers.authority)):
        with pytest.raises(BadAddress, match=path.name):
            server_context(str(path))
    for path in (tmp_path / "text", tmp_path / "nothing"):
        with pytest.raises(BadAddress, match=path.name):
            client_context(str(path))


@pytest.mark.process
async def test_a_program_on_its_standard_streams(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5_000_000)
    command = f"exec!{sys.executable} -m ninep export {tmp_path} -"
    async with connect(command, uname="glenda") as tree:
        assert await tree.read_bytes("file") == b"x" * 5_000_000
        assert [entry.name for entry in await tree.listdir()] == ["file"]


@pytest.mark.process
async def test_programs_that_do_not_serve() -> None:
    with pytest.raises(Unreachable, match="cannot start 'no-such-program'"):
        await dial("exec!no-such-program x", service="9fs")
    with pytest.raises(BadAddress, match="quotation"):
        await dial("exec!echo 'x", service="9fs")
    with pytest.raises(Exception, match=r"closed|lost"):
        async with connect("exec!true", uname="glenda"):
            pass


@pytest.mark.process
async def test_a_socket_from_systemd(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    passes = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3); os.set_inheritable(3, True)\n"
        "os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid()), 'LISTEN_FDNAMES': 'files'}\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'ninep', 'export', sys.argv[2], 'systemd!files',\n"
        " '--map-users', '*=' + sys.argv[3]])\n"
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        process = subprocess.Popen(  # noqa: ASYNC220 passes a descriptor on
            [sys.executable, "-c", passes, str(listening.fileno()), str(tmp_path), getpass.getuser()],
            pass_fds=[listening.fileno()],
            env=environment(),
            stdout=subprocess.DEVNULL,
        )
    try:
        async with connect(f"tcp!127.0.0.1!{port}", uname="glenda") as tree:
            assert await tree.read_bytes("file") == b"content"
    finally:
        process.terminate()
        assert await trio.to_thread.run_sync(process.wait, 30) == 0


@pytest.mark.parametrize(
    "variables",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "x", "LISTEN_PID": "y"}],
)
def test_no_socket_from_systemd(variables: dict[str, str]) -> None:
    with pytest.raises(CannotListen, match=r"systemd\.socket"):
        passed("", variables)


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (62, "Hostname mismatch", "for another address: Hostname mismatch: dial it by a name that it is for"),
        (64, "IP address mismatch", "for another address: IP address mismatch"),
        (10, "certificate has expired", "certificate has expired: its server needs a new one"),
        (19, "self-signed certificate", "not to be trusted: self-signed certificate: name its authority with --tls-ca"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told(code: int, text: str, said: str) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, text
    assert said in reason(error)
