"""cfs: the whole standard library over a link of 50 ms, read by a client that does one thing after the other.

``direct`` is that client on the same link, on files picked evenly from the tree, because all of them take it minutes;
``near`` is it beside the file server, without the link. The tree is one that never changes.
"""

from __future__ import annotations

import sysconfig
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import perf_counter

import trio

from bench.measure import Result, Timing
from ninep.client.tree import RemoteTree, connect

UNIT = 32 * 1024
"""Bytes that the client asks for at once."""
PICKED = 40
"""Files that it reads on the link without a cache."""
LEFT_OUT = ("test", "site-packages", "__pycache__", "config-")


def library(scale: float) -> dict[str, bytes]:
    """The files of the standard library without its tests, or the first of them for a scale below 1."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not any(part.startswith(LEFT_OUT) for part in path.relative_to(root).parts[:1])
        and "__pycache__" not in path.parts
    ]
    return {f"{path.relative_to(root)}": path.read_bytes() for path in paths[: max(PICKED, int(len(paths) * scale))]}


async def furnish(port: int, place: str, files: dict[str, bytes]) -> None:
    """Puts files below a directory of a server."""
    async with connect(f"tcp!127.0.0.1!{port}") as tree:
        await tree.mkdir(place)
        for folder in sorted({f"{above}" for name in files for above in Path(name).parents} - {"."}):
            await tree.mkdir(f"{place}/{folder}")
        for name, data in files.items():
            await tree.write_bytes(f"{place}/{name}", data)


async def names_below(tree: RemoteTree, path: str) -> AsyncIterator[str]:
    """Lists a directory and what is below it, in the order of the listings."""
    for entry in await tree.listdir(path):
        inner = f"{path}/{entry.name}"
        if not entry.is_directory:
            yield inner
            continue
        async for found in names_below(tree, inner):
            yield found


async def content(tree: RemoteTree, path: str) -> bytes:
    """A file, one read after the other up to its end."""
    async with tree.open(path) as file:
        data = b""
        while piece := await file.read(len(data), UNIT):
            data += piece
        return data


async def read_tree(port: int, place: str, files: dict[str, bytes]) -> Timing:
    """Goes through the tree. A latency is that from one file's end to the next."""
    latencies = []
    async with connect(f"tcp!127.0.0.1!{port}") as tree:
        begun = last = perf_counter()
        async for path in names_below(tree, place):
            if await content(tree, path) != files[path.removeprefix(f"{place}/")]:
                raise AssertionError(f"{path} came with other bytes than it has")
            now = perf_counter()
            latencies.append(now - last)
            last = now
    if len(latencies) != len(files):
        raise AssertionError(f"{len(latencies)} files were found of {len(files)}")
    return Timing(last - begun, latencies)


async def read_some(port: int, place: str, names: Sequence[str]) -> Timing:
    """Reads some files by their names."""
    latencies = []
    async with connect(f"tcp!127.0.0.1!{port}") as tree:
        for name in names:
            begun = perf_counter()
            await content(tree, f"{place}/{name}")
            latencies.append(perf_counter() - begun)
    return Timing(sum(latencies), latencies)


async def compare(far: int, link: int, cache: int, place: str, scale: float) -> list[Result]:
    """All that is there to measure; ports of the server, of the link to it, and of the cache behind the link."""
    files = library(scale)
    await furnish(far, place, files)
    names = list(files)
    await read_tree(far, place, files)
    near = await read_tree(far, place, files)
    direct = await read_some(link, place, names[:: max(1, len(names) // PICKED)])
    first = await read_tree(cache, place, files)
    # Until the cache has written everything out.
    await trio.sleep(1)
    again = await read_tree(cache, place, files)
    return [
        timing.result(server, f"library, 50 ms, {state}", 1)
        for state, through in (("first", first), ("again", again))
        for server, timing in (("direct", direct), ("near", near), ("cfs", through))
    ]
