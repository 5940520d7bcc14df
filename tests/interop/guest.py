"""A real Linux kernel as a client: booted in qemu with a script as its only program.

The kernel is this machine's own where it is readable and has 9P, else Debian's ``linux-image-amd64``, fetched once with
``apt-get download`` into the user's cache. It gets an initial file system made here: a static busybox, the modules it
needs in the order they need each other, and the script. Inside, the loopback of this machine is 10.0.2.2.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

HOST = "10.0.2.2"
"""This machine's 127.0.0.1, as the guest calls it."""

MODULES = ("virtio_pci", "virtio_net", "9pnet_fd", "9p")
PACKAGE = "linux-image-amd64"
QEMU = "qemu-system-x86_64"
BEGIN, END = "@@@ begin", "@@@ status "

INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for module in /modules/*; do insmod $module || echo "cannot load $module"; done
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
echo
echo '{BEGIN}'
sh /script 2>&1
echo "{END}$?"
poweroff -f
"""


class Unavailable(Exception):
    """There can be no guest on this machine; the text says what is missing."""


class Kernel(NamedTuple):
    """A kernel and where its modules are."""

    image: Path
    modules: Path


Entry = tuple[str, int, bytes]
"""Path, mode and content of a file in the guest; the content of a symbolic link is its target."""


SLOWEST = 6
"""How many times longer than alone a guest may take beside other work."""
LOOK = 1.0
"""Seconds between two looks at how busy the machine is."""


class Outcome(NamedTuple):
    """What a script printed, and its exit status."""

    status: int
    output: str


def boot(script: str, *, files: Iterable[Entry] = (), megabytes: int = 512, patience: float = 280) -> Outcome:
    """Runs a shell script in a guest that has these files as well.

    Raises:
        Unavailable: qemu, busybox or a kernel cannot be had here.
        AssertionError: the guest did not come to the end of the script; the text is what it said.
    """
    if shutil.which(QEMU) is None:
        raise Unavailable(f"there is no {QEMU}: install qemu-system-x86")
    with tempfile.TemporaryDirectory(prefix="ninegrid-guest-") as scratch:
        kernel = find_kernel()
        image = Path(scratch, "initrd")
        image.write_bytes(gzip.compress(b"".join(archive((*contents(kernel, script), *files))), 1))
        # Emulation, because hardware virtualisation inside of a virtual machine is offered and then hangs in places.
        console = run_bounded(
            [
                *(QEMU, "-accel", "tcg,thread=multi", "-m", str(megabytes), "-smp", "2"),
                *("-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"),
                *("-kernel", str(kernel.image), "-initrd", str(image)),
                *("-append", "console=ttyS0 quiet loglevel=3 panic=-1"),
                *("-nic", "user,model=virtio-net-pci"),
            ],
            patience,
        )
    _, begun, rest = console.replace("\r", "").partition(f"{BEGIN}\n")
    output, ended, status = rest.rpartition(END)
    if not begun or not ended:
        raise AssertionError(f"the guest did not finish its script:\n{console[-4000:]}")
    return Outcome(int(status.split()[0]), output)


def run_bounded(command: list[str], patience: float) -> str:
    """The output of a program that is killed when its time is over, as far as it got.

    That is ``patience`` seconds of a machine that has nothing else to do; of a busy one as many more as it is busy, up
    to ``SLOWEST`` times. Whatever ends the test meanwhile ends the program as well, and nothing waits for it.
    """
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        begun, factor = time.monotonic(), 1.0
        while True:
            try:
                output, _ = process.communicate(timeout=LOOK)
                break
            except subprocess.TimeoutExpired:
                factor = max(factor, min(SLOWEST, os.getloadavg()[0] / (os.cpu_count() or 1)))
                if time.monotonic() - begun > patience * factor:
                    process.kill()
            except BaseException:
                process.kill()
                raise
    return output.decode(errors="replace")


def find_kernel() -> Kernel:
    """This machine's kernel, or the one in the cache, or a new one in the cache."""
    own = [Kernel(image, Path("/lib/modules", image.name.removeprefix("vmlinuz-"))) for image in images(Path("/"))]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ninegrid" / "guest-kernel"
    for kernel in (*own, *kernels_below(cache)):
        if os.access(kernel.image, os.R_OK) and has_9p(kernel):
            return kernel
    fetch(cache)
    for kernel in kernels_below(cache):
        if has_9p(kernel):
            return kernel
    raise Unavailable(f"the kernel of {PACKAGE} has no 9P")


def images(root: Path) -> list[Path]:
    return sorted(root.glob("boot/vmlinuz-*"), reverse=True)


def kernels_below(cache: Path) -> list[Kernel]:
    return [Kernel(image, cache / "lib/modules" / image.name.removeprefix("vmlinuz-")) for image in images(cache)]


def has_9p(kernel: Kernel) -> bool:
    return any(kernel.modules.glob("kernel/fs/9p/9p.ko*"))


def fetch(cache: Path) -> None:
    """Unpacks the kernel's package below ``cache``, which then has all of it or nothing."""
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(program) is None:
            raise Unavailable(f"no kernel with 9P in /boot, and no {program} to fetch one")
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=cache.parent) as scratch:
        try:
            found = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, timeout=60)
            depends = re.search(r"Depends: (linux-image-\S+)", found.stdout)
            if depends is None:
                raise Unavailable(f"apt knows no {PACKAGE}: run apt-get update")
            subprocess.run(
                ["apt-get", "download", "-q", depends[1]], cwd=scratch, check=True, capture_output=True, timeout=200
            )
            (package,) = Path(scratch).glob("*.deb")
            subprocess.run(["dpkg-deb", "-x", package, Path(scratch, "new")], check=True, timeout=200)
        except (subprocess.SubprocessError, OSError) as error:
            raise Unavailable(f"no kernel with 9P in /boot, and none could be fetched: {error}") from error
        shutil.rmtree(cache, ignore_errors=True)
        Path(scratch, "new").rename(cache)


def contents(kernel: Kernel, script: str) -> Iterator[Entry]:
    """(path, mode, data) of the guest's first file system."""
    for directory in ("bin", "dev", "etc", "mnt", "modules", "proc", "sys", "tmp"):
        yield directory, 0o040755, b""
    yield "bin/busybox", 0o100755, static_busybox()
    yield "init", 0o100755, INIT.encode()
    yield "script", 0o100644, script.encode()
    for number, (name, data) in enumerate(in_order(kernel)):
        yield f"modules/{number:02}-{name}.ko", 0o100644, data


def static_busybox() -> bytes:
    for place in ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static"):
        with_loader = b"/ld-linux"
        if os.access(place, os.R_OK) and with_loader not in (data := Path(place).read_bytes())[:4096]:
            return data
    raise Unavailable("there is no static busybox: install busybox-static")


def in_order(kernel: Kernel) -> list[tuple[str, bytes]]:
    """The modules that are needed, each after those that it depends on."""
    present = {path.name.partition(".ko")[0].replace("-", "_"): path for path in kernel.modules.rglob("*.ko*")}
    found: dict[str, bytes] = {}

    def add(name: str) -> None:
        # What is not there as a file is part of the kernel itself.
        if name in found or name not in present:
            return
        data = unpacked(present[name])
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        for other in depends[1].decode().split(",") if depends else ():
            add(other.replace("-", "_"))
        found[name] = data

    for name in MODULES:
        add(name)
    return list(found.items())


def unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    match path.suffix:
        case ".ko":
            return data
        case ".xz":
            return lzma.decompress(data)
        case ".gz":
            return gzip.decompress(data)
    raise Unavailable(f"cannot unpack {path}")


def archive(files: Iterable[Entry]) -> Iterator[bytes]:
    """The files as a cpio archive in the "newc" format, which a kernel unpacks as its first file system."""
    for number, (name, mode, data) in enumerate((*files, ("TRAILER!!!", 0, b"")), 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields)
        yield padded(head + path)
        yield padded(data)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
