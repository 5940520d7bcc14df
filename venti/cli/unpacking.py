"""Unpacks or lists an archive, as the flags of ``unvac`` say."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import trio

from ninep.cli.codes import DAMAGED, DONE, FAILED, NOT_FOUND
from ninep.cli.streams import write_output
from ninep.net.errors import BadAddress
from venti.blocks.errors import DamagedArchive
from venti.cli.connection import archive
from venti.cli.gauge import Gauge
from venti.stores.interface import PipelinedStore
from venti.vac import mode as modes
from venti.vac.landing import Kept, Landing
from venti.vac.named import named
from venti.vac.reader import VacFile, open_archive
from venti.vac.unpack import Done, Unpacker, missing

PIECE = 1024 * 1024


async def unpack(arguments: argparse.Namespace) -> int:
    """Unpacks or lists what the command line names; returns the exit code."""
    score = named(arguments.score)
    if arguments.owners and os.geteuid():
        raise BadAddress("--owners: only root can give files away: run this as root, or leave it out")
    wanted = [tuple(part for part in name.split("/") if part not in ("", ".")) for name in arguments.names]
    if up := next((name for name, parts in zip(arguments.names, wanted, strict=True) if ".." in parts), None):
        raise BadAddress(f"{up}: nothing in an archive is called '..': write the path from its top")
    wanted = [] if () in wanted else wanted
    async with archive(arguments) as store:
        top = (await open_archive(store, score)).top
        if arguments.list or arguments.contents:
            await _show(top, wanted, arguments)
            return DONE
        done = await _unpack(store, top, wanted, arguments)
    if arguments.json:
        print(json.dumps(done._asdict()))
    if done.missing:
        print(f"venti: {missing(done.missing)}", file=sys.stderr)
    return DAMAGED if done.damage else FAILED if done.failures else NOT_FOUND if done.missing else DONE


async def _unpack(
    store: PipelinedStore, top: VacFile, wanted: Sequence[tuple[str, ...]], arguments: argparse.Namespace
) -> Done:
    with Landing(".") as landing, Gauge("unvac", things="files") as gauge:
        unpacker = Unpacker(
            store,
            landing,
            kept=Kept(arguments.times, arguments.owners, arguments.setuid),
            reuse=arguments.reuse,
            visit=_name if arguments.verbose else lambda file: None,
            progress=gauge.show,
        )
        return await unpacker.run(top, wanted)


async def _show(top: VacFile, wanted: Sequence[tuple[str, ...]], arguments: argparse.Namespace) -> None:
    """Lists files, or prints their contents, in the order of the archive."""
    waiting: list[VacFile] = []
    absent = []
    for names in wanted:
        file: VacFile | None = top
        for name in names:
            file = await file.step(name) if file is not None and file.info.directory else None
        if file is None:
            absent.append("/".join(names))
        else:
            waiting.append(file)
    waiting.reverse()
    if not wanted:
        waiting = list(reversed(await top.files()))
    while waiting:
        file = waiting.pop()
        if arguments.list:
            print(_line(file, arguments))
        elif not file.info.mode & (modes.SPECIAL | modes.DIRECTORY):
            await _print(file)
        if file.info.directory:
            waiting += reversed(await file.files())
    if absent:
        raise missing(absent)


async def _print(file: VacFile) -> None:
    offset = 0
    while data := await file.read(offset, PIECE):
        await trio.to_thread.run_sync(write_output, data)
        offset += len(data)


def _line(file: VacFile, arguments: argparse.Namespace) -> str:
    info = file.info
    if arguments.json:
        return json.dumps(_object(file), ensure_ascii=True)
    name = _printable(file.path)
    if not arguments.verbose:
        return f"{name}/" if info.directory else name
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.mtime))
    owner = f"{_printable(info.uid):<10} {_printable(info.gid):<10}"
    return f"{modes.text(info.mode)} {owner} {_size(file):>11} {when} {name}"


def _size(file: VacFile) -> int | str:
    try:
        return file.size
    except DamagedArchive:
        return "?"


def _object(file: VacFile) -> dict[str, Any]:
    info = file.info
    size = _size(file)
    return {
        "name": file.path,
        "mode": modes.text(info.mode),
        "uid": info.uid,
        "gid": info.gid,
        "mid": info.mid,
        "size": None if size == "?" else size,
        "mtime": info.mtime,
        "qid": file.qid,
        "version": info.mcount,
    }


def _printable(name: str) -> str:
    """The name with what a terminal would act on, and bytes that are no text, written as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in name
    )


def _name(file: VacFile) -> None:
    name = _printable(file.path)
    print(f"{name}/" if file.info.directory else name, file=sys.stderr)
