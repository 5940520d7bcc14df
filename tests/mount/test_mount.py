"""Trees mounted through FUSE, used by ordinary programs."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.exerciser import exercise_file, exercise_tree
from programs.processes import Program, environment, free_port

pytest.importorskip("pyfuse3", reason="pyfuse3 is not installed: pip install 'ninegrid[mount]'")

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="this machine has no /dev/fuse"),
    pytest.mark.skipif(not shutil.which("fusermount3"), reason="there is no fusermount3: apt install fuse3"),
]
PATIENCE = 30.0


def until(condition: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


class Mounted:
    """An exported directory, and where it is mounted."""

    def __init__(self, folder: Path, *flags: str, serve: tuple[str, ...] = ()) -> None:
        self.served = folder / "served"
        self.point = folder / "point"
        self.log = folder / "mount.log"
        for path in (self.served, self.point):
            path.mkdir()
        port = free_port()
        self.address = f"tcp!127.0.0.1!{port}"
        how = serve or ("export", str(self.served))
        users = ("--map-users", f"*={os.environ.get('USER', 'root')}") if how[0] == "export" else ()
        if os.geteuid() == 0 and how[0] == "export":
            users = ("--map-users", "*=root")
        self._serve = (port, "ninep", how[0], *how[1:], self.address, *users)
        self.server = Program(*self._serve, log=folder / "server.log")
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ninep", "mount", self.address, str(self.point), *flags],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(),
            )
        deadline = time.monotonic() + PATIENCE
        while not self.is_mounted:
            if self.process.poll() is not None or time.monotonic() > deadline:
                said = self.log.read_text()
                self.close()
                pytest.skip(f"mounting does not work here: {said.strip()}")
            time.sleep(0.05)

    @property
    def is_mounted(self) -> bool:
        return f" {self.point} fuse" in Path("/proc/mounts").read_text()

    def restart(self) -> None:
        """Starts the server that was killed once more."""
        self.server = Program(*self._serve, log=self.log.with_name("again.log"))

    def end(self) -> int:
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        with contextlib.suppress(Exception):
            self.server.kill()
        if self.is_mounted:
            subprocess.run(["fusermount3", "-uz", str(self.point)], check=False)


@contextlib.contextmanager
def mounted(folder: Path, *flags: str, serve: tuple[str, ...] = ()) -> Iterator[Mounted]:
    mount = Mounted(folder, *flags, serve=serve)
    try:
        yield mount
    finally:
        mount.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    with mounted(tmp_path_factory.mktemp("mount")) as mount:
        yield mount


@pytest.fixture
def place(shared: Mounted, request: pytest.FixtureRequest) -> Path:
    path = shared.point / "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    path.mkdir()
    return path


@pytest.mark.parametrize("seed", [1, 2])
def test_a_file_under_random_operations(place: Path, seed: int) -> None:
    exercise_file(place / "file", seed, 400)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_tree_under_random_operations(place: Path, tmp_path: Path, seed: int) -> None:
    exercise_tree(place, tmp_path, seed, 300, across=True, links=True)


def test_a_tree_from_several_processes_at_once(place: Path, tmp_path: Path) -> None:
    programs = []
    for number in range(4):
        for root in (place, tmp_path):
            (root / str(number)).mkdir()
        code = (
            "import sys; from pathlib import Path; from contracts.exerciser import *\n"
            "one, two = (Path(path) for path in sys.argv[1:3])\n"
            "exercise_tree(one, two, int(sys.argv[3]), 150, across=True, links=True)\n"
            "exercise_file(one / 'file', int(sys.argv[3]), 100)\n"
        )
        words = [str(place / str(number)), str(tmp_path / str(number)), str(number)]
        programs.append(
            subprocess.Popen([sys.executable, "-c", code, *words], env=environment() | {"PYTHONPATH": "tests"})
        )
    assert [program.wait(120) for program in programs] == [0] * 4


def test_git(place: Path) -> None:
    def git(*words: str, cwd: Path) -> str:
        identity = (
            "-c",
            "user.name=glenda",
            "-c",
            "user.email=glenda@example.org",
            "-c",
            "init.defaultBranch=main",
            "-c",
            "core.fsync=none",
        )
        return subprocess.run(
            ["git", *identity, *words], cwd=cwd, check=True, capture_output=True, text=True, timeout=120
        ).stdout

    if not shutil.which("git"):
        pytest.skip("there is no git")
    origin = place / "origin"
    origin.mkdir()
    git("init", cwd=origin)
    for number in range(25):
        folder = origin / f"d{number % 10}"
        folder.mkdir(exist_ok=True)
        (folder / f"f{number}").write_text(f"{number}\n" * number)
    git("add", ".", cwd=origin)
    git("commit", "-qm", "first", cwd=origin)
    git("clone", "-q", str(origin), str(place / "clone"), cwd=place)
    clone = place / "clone"
    assert git("status", "--short", cwd=clone) == ""
    (clone / "d1" / "f1").write_text("changed")
    (clone / "new").write_text("new")
    assert git("status", "--short", cwd=clone).split() == ["M", "d1/f1", "??", "new"]
    git("add", "-A", cwd=clone)
    git("commit", "-qm", "second", cwd=clone)
    git("gc", "-q", cwd=clone)
    git("fsck", cwd=clone)


def test_fio_verify(place: Path, tmp_path: Path) -> None:
    if not shutil.which("fio"):
        pytest.skip("there is no fio: apt install fio")
    flags = "--rw=randrw --bs=4k-64k --size=8m --numjobs=2 --ioengine=psync --verify=crc32c --verify_fatal=1"
    subprocess.run(
        [
            "fio",
            "--name=verify",
            f"--directory={place}",
            *flags.split(),
            "--do_verify=1",
            "--fsync=50",
            "--output=/dev/null",
        ],
        cwd=tmp_path,
        check=True,
        timeout=120,
    )


def test_many_files_and_large_ones(place: Path) -> None:
    for number in range(200):
        (place / f"file {number}").write_bytes(b"x" * number)
    assert sorted(os.listdir(place)) == sorted(f"file {number}" for number in range(200))
    assert all((place / f"file {number}").stat().st_size == number for number in range(200))
    content = os.urandom(20_000_000)
    (place / "large").write_bytes(content)
    assert (place / "large").read_bytes() == content


def test_what_others_do_is_seen(shared: Mounted, place: Path) -> None:
    """At the next open whatever is cached; under names and in attributes after the stated time."""
    behind = shared.served / place.name / "file"
    (place / "file").write_text("first")
    assert (place / "file").read_text() == "first"
    behind.write_text("second")
    with (place / "file").open() as file:
        assert file.read(5) == "secon"
    behind.with_name("other").write_text("new")
    assert (place / "other").read_text() == "new"
    until(lambda: (place / "file").stat().st_size == 6, "attributes are a second old at most")


def test_refusals_are_the_ones_of_unix(place: Path) -> None:
    (place / "dir").mkdir()
    (place / "dir" / "file").touch()
    for attempt, number in (
        (lambda: os.rmdir(place / "dir"), errno.ENOTEMPTY),
        (lambda: os.open(place / "none", os.O_RDONLY), errno.ENOENT),
        (lambda: os.mkdir(place / "dir"), errno.EEXIST),
        (lambda: os.open(place / "dir" / "file" / "x", os.O_RDONLY), errno.ENOTDIR),
        (lambda: os.unlink(place / "dir"), errno.EISDIR),
        (lambda: os.mkdir(place / ("x" * 256)), errno.ENAMETOOLONG),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011 which one is looked at, or up to the kernel
            attempt()
        assert caught.value.errno == number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_unmounts_and_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with mounted(tmp_path) as mount:
        fd = os.open(mount.point / "file", os.O_WRONLY | os.O_CREAT)
        assert os.write(fd, b"x" * 5_000_000) == 5_000_000
        mount.process.send_signal(number)
        assert mount.end() == 0
        with contextlib.suppress(OSError):
            os.close(fd)
        assert not mount.is_mounted
        assert (mount.served / "file").stat().st_size == 5_000_000


def test_unmounting_ends_the_program(tmp_path: Path) -> None:
    with mounted(tmp_path) as mount:
        (mount.point / "file").write_text("content")
        subprocess.run(["fusermount3", "-u", str(mount.point)], check=True)
        assert mount.end() == 0
        assert (mount.served / "file").read_text() == "content"


def test_a_server_that_dies_leaves_errors_and_no_mount(tmp_path: Path) -> None:
    with mounted(tmp_path, "--patience", "0") as mount:
        (mount.point / "file").write_bytes(b"x" * 100_000)
        fd = os.open(mount.point / "file", os.O_RDWR)
        mount.server.kill()
        assert mount.end() == 3
        with pytest.raises(OSError):  # noqa: PT011 which one is looked at, or up to the kernel
            os.pwrite(fd, b"x", 0)
        with contextlib.suppress(OSError):
            os.close(fd)
        assert not mount.is_mounted
        assert os.listdir(mount.point) == []
        assert "the server is gone" in mount.log.read_text()


def test_a_server_that_dies_under_a_waiting_reader(tmp_path: Path) -> None:
    """SIGSTOP keeps the read waiting; when the server is killed the reader gets its error."""
    with mounted(tmp_path, "--patience", "0") as mount:
        (mount.served / "file").write_bytes(b"x" * 100_000)
        outcome: list[object] = []

        def read() -> None:
            try:
                outcome.append((mount.point / "file").read_bytes())
            except OSError as error:
                outcome.append(error.errno)

        mount.server.process.send_signal(signal.SIGSTOP)
        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.5)
        assert not outcome
        mount.server.kill()
        reader.join(PATIENCE)
        assert outcome
        assert outcome[0] in (errno.EIO, errno.ENOTCONN, errno.ECONNABORTED)
        assert mount.end() == 3


OUTLIVING = """
import os, sys
point, content = sys.argv[1], open(sys.argv[2], "rb").read()
os.chdir(point)
reader = os.open("given", os.O_RDONLY)
writer = os.open("folder/made", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
doomed = os.open("doomed", os.O_RDWR | os.O_CREAT)
assert os.pread(reader, 1000, 0) == content[:1000]
os.write(writer, content[:100_000])
print("ready", flush=True)
sys.stdin.readline()
os.write(writer, content[100_000:200_000])
assert os.pread(reader, 1000, 299_500) == content[299_500:]
assert sorted(os.listdir(".")) == ["folder", "given"]
os.write(writer, content[200_000:])
os.fsync(writer)
try:
    os.pread(doomed, 10, 0)
except OSError as error:
    print("lost", error.errno, flush=True)
"""


def test_a_server_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    """Open files go on, names are found again, and what was not answered is written."""
    with mounted(tmp_path, "--patience", "60", "--keep", "0") as mount:
        content = os.urandom(300_000)
        given = mount.served / "given"
        given.write_bytes(content)
        (mount.point / "folder").mkdir()
        # A process of its own: whoever forks has its files closed in the child, which waits for the server as well.
        with subprocess.Popen(
            [sys.executable, "-c", OUTLIVING, str(mount.point), str(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as worker:
            assert worker.stdin is not None
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
            mount.server.kill()
            (mount.served / "doomed").unlink()
            worker.stdin.write("go on\n")
            worker.stdin.flush()
            time.sleep(0.5)
            mount.restart()
            assert worker.stdout.readline() in (f"lost {errno.ESTALE}\n", f"lost {errno.ENOENT}\n")
            assert worker.wait(PATIENCE) == 0
        assert (mount.served / "folder" / "made").read_bytes() == content
        (mount.point / "after").write_text("all is well")
        assert (mount.served / "after").read_text() == "all is well"
        assert mount.process.poll() is None


def test_a_server_that_stays_away_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    with mounted(tmp_path, "--patience", "1") as mount:
        mount.server.kill()
        assert mount.end() == 3
        assert not mount.is_mounted
        assert "did not come back within 1 s" in mount.log.read_text()


@pytest.mark.parametrize(("directory", "said"), [("missing", "make one first"), ("file", "make one first")])
def test_places_where_nothing_can_be_mounted(tmp_path: Path, directory: str, said: str) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "ninep", "mount", "tcp!127.0.0.1!1", str(tmp_path / directory)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
