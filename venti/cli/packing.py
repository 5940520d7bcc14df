"""Packs files and directories into an archive, as the flags of ``vac`` say."""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from ninep.cli.codes import DONE, FAILED, NOT_FOUND
from ninep.cli.streams import print_result, read_input
from ninep.disk import check_writable, write_text
from ninep.net.errors import BadAddress
from ninep.tasks.nursery import background
from venti.blocks.blocksize import LARGEST
from venti.blocks.errors import VentiError
from venti.blocks.score import Score
from venti.cli.connection import archive
from venti.cli.gauge import Gauge
from venti.stores.interface import BlockStore
from venti.stores.write_behind import write_behind
from venti.vac import label
from venti.vac import mode as modes
from venti.vac.dated import grown, next_place
from venti.vac.direntry import DirEntry, QidSpace
from venti.vac.local import attributes, total_size
from venti.vac.merge import merged, qid_limit
from venti.vac.metablock import Order
from venti.vac.named import named
from venti.vac.pack import Packed, Packer, contents, top_names
from venti.vac.patterns import Rule, compile_pattern, excluded, parse_rules
from venti.vac.reader import VacReader, open_archive
from venti.vac.unchanged import by_change, by_time
from venti.vac.writer import SMALLEST, Ready, VacWriter

log = logging.getLogger(__name__)


async def pack(arguments: argparse.Namespace) -> int:
    """Stores what the command line names, and reports."""
    rules = _rules(arguments)
    if not arguments.paths and arguments.stdin is None:
        raise BadAddress("what is to be stored? name files and directories")
    if arguments.growing is not None and (arguments.old is not None or arguments.file is not None):
        raise BadAddress("-a names the archive to compare with and the file for the score: give neither -d nor -f")
    if arguments.quick and arguments.old is None and arguments.growing is None:
        raise BadAddress("-q compares with an older archive: name it with -d")
    if not SMALLEST <= arguments.block_size <= LARGEST:
        raise BadAddress(f"blocks of {arguments.block_size} bytes cannot be: take {SMALLEST} to {LARGEST}")
    if (file := _score_file(arguments)) is not None:
        check_writable(file)
    paths = await trio.to_thread.run_sync(_paths, arguments.paths)
    missing = await trio.to_thread.run_sync(_missing, list(paths.values()))
    if missing and len(missing) == len(paths) and arguments.stdin is None:
        for path in missing:
            log.error("%s: No such file or directory", path)
        return NOT_FOUND
    old_score = None if arguments.old is None else named(arguments.old)
    if arguments.growing is not None and Path(arguments.growing).exists():
        old_score = named(arguments.growing)
    used: set[Rule] = set()
    left_out = functools.partial(excluded, rules, matched=used.add)
    async with archive(arguments) as store:
        old = None if old_score is None else await open_archive(store, old_score)
        with Gauge("vac", things="files") as gauge:
            async with background() as nursery:
                if gauge.shown:
                    nursery.start_soon(_measure, gauge, list(paths.values()))
                score, packed = await _pack(store, arguments, paths, left_out, old, gauge)
    if packed.failures and not packed.files + packed.directories and arguments.stdin is None:
        log.error("nothing could be read, so there is no score")
        return FAILED
    for rule, pattern in zip(rules, arguments.exclude, strict=False):
        if rule not in used:
            log.warning("-e %s: left nothing out: it has to match whole paths, as those that -v prints", pattern)
    _report(arguments, score, packed)
    return FAILED if packed.failures else DONE


async def _pack(
    store: BlockStore,
    arguments: argparse.Namespace,
    paths: dict[str, str],
    left_out: Callable[[str], bool],
    old: VacReader | None,
    gauge: Gauge,
) -> tuple[Score, Packed]:
    top = None if old is None else old.top
    now = time.time()
    place = await next_place(top, time.localtime(now)[:3]) if arguments.growing is not None else None
    async with write_behind(store) as behind:
        writer = VacWriter(behind, block_size=arguments.block_size, order=Order.PREFIX_LAST)
        packer = Packer(
            writer,
            excluded=left_out,
            unchanged=by_time if arguments.quick else by_change,
            merge=functools.partial(merged, store) if arguments.merge else None,
            first_qid=1 if top is None else await qid_limit(top),
            renumber=place is not None,
            visit=_name if arguments.verbose else lambda path, directory: None,
            progress=gauge.show,
        )
        into = writer.directory()
        given = [] if arguments.stdin is None else [await _standard_input(writer, packer, arguments.stdin)]
        await packer.pack(paths, into, place.newest if place is not None else top, given)
        trees = await into.finish()
        if place is not None:
            level = DirEntry("", modes.DIRECTORY | 0o555, uid="vac", gid="vac", mtime=int(now), ctime=int(now))
            run = level._replace(name=place.day, qid=packer.take_qid())
            level = level._replace(qid=packer.take_qid())
            trees = await grown(writer, top, place, Ready(run, trees), level)
            if arguments.verbose:
                print(f"archive {place.year}/{place.day}", file=sys.stderr)
        info = DirEntry(
            "/",
            modes.DIRECTORY | modes.PERMISSIONS,
            uid="vac",
            gid="vac",
            qid_space=QidSpace(0, packer.next_qid),
        )
        score = await writer.finish(info, trees, previous=None if old is None else old.score)
    return score, packer.packed


async def _measure(gauge: Gauge, paths: Sequence[str]) -> None:
    """Finds out meanwhile how much there is to do, for a person who waits."""
    gauge.total = await trio.to_thread.run_sync(total_size, paths, abandon_on_cancel=True)


async def _standard_input(writer: VacWriter, packer: Packer, name: str) -> Ready:
    tree = writer.tree()
    while data := await read_input():
        await tree.write(data)
    here = attributes(name, await trio.to_thread.run_sync(os.stat, "."))
    assert here is not None
    info = here._replace(mode=0o666, qid=packer.take_qid())
    return Ready(info, await tree.finish())


def _paths(words: Sequence[str]) -> dict[str, str]:
    """Paths by the names they get at the top of the archive."""
    try:
        paths, opened = top_names(words)
    except ValueError as error:
        raise BadAddress(str(error)) from error
    for directory in opened:
        for name, path in contents(directory).items():
            if name in paths:
                raise BadAddress(f"{paths[name]} and {path} would both be called {name!r} in the archive")
            paths[name] = path
    return paths


def _missing(paths: Sequence[str]) -> list[str]:
    """Those that are not there. What is there and cannot be looked at is found out later."""
    missing = []
    for path in paths:
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            missing.append(path)
        except OSError:
            continue
    return missing


def _rules(arguments: argparse.Namespace) -> list[Rule]:
    try:
        rules = [Rule(True, compile_pattern(pattern)) for pattern in arguments.exclude]
        for path in arguments.rules:
            try:
                rules += parse_rules(Path(path).read_text())
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
    except ValueError as error:
        raise BadAddress(str(error)) from error
    return rules


def _name(path: str, directory: bool) -> None:
    print(f"{path}/" if directory else path, file=sys.stderr)


def _report(arguments: argparse.Namespace, score: Score, packed: Packed) -> None:
    if arguments.statistics:
        print(
            f"{packed.files - packed.kept} files, {packed.kept} files skipped, {packed.directories} directories\n"
            f"{packed.size} data bytes read, {packed.failures} failures",
            file=sys.stderr,
        )
    line = label.text(score)
    file = _score_file(arguments)
    if arguments.json:
        line = json.dumps({"score": label.text(score), **packed._asdict()})
    if file is not None:
        try:
            write_text(file, f"{label.text(score)}\n")
        except OSError as error:
            print_result(line)
            raise VentiError(f"the score is not in {file}: {error.strerror}: keep the line above") from error
    if arguments.json or file is None:
        print_result(line)


def _score_file(arguments: argparse.Namespace) -> str | None:
    name: str | None = arguments.file if arguments.growing is None else arguments.growing
    return name
