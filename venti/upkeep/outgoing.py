"""Gives every block of a store, in log order, for export, and records how far each destination has them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import NamedTuple

from ninep.disk import replace_file
from venti.blocks.blocktype import BlockType
from venti.blocks.errors import BadBlockType
from venti.blocks.score import Score
from venti.log import arena as arenas
from venti.log.arena import START, arena_name
from venti.log.clump import BadClump
from venti.log.files import ArenaFolder, numbers
from venti.log.log import BEGINNING, Position
from venti.upkeep.survey import Fault

log = logging.getLogger(__name__)


class SentBatch(NamedTuple):
    """Some blocks, those among them that are damaged, and the place in the log behind them.

    ``size`` is the bytes of the log that were gone through.
    """

    blocks: list[tuple[BlockType, bytes]]
    faults: list[Fault]
    position: Position
    size: int


class Outgoing:
    """The blocks of a store from a position on. The store may be in use by a server; to be closed."""

    def __init__(self, folder: ArenaFolder, start: Position = BEGINNING) -> None:
        self._folder = folder
        self._numbers = [number for number in numbers(folder) if number >= start.arena]
        self.position = start
        self._sizes = {number: self._size(number) for number in self._numbers}
        self.total = sum(self._sizes.values()) - (start.offset if start.arena in self._sizes else 0)
        """Bytes of log that there are to go through."""

    def _size(self, number: int) -> int:
        file = self._folder.open(arena_name(number), writable=False)
        try:
            end = arenas.sealed_at(file)
            return file.size() if end is None else end
        finally:
            file.close()

    def next(self, budget: int) -> SentBatch | None:
        """The next blocks, about ``budget`` bytes of them; None at the end. In any thread, one at a time."""
        while self._numbers:
            number = self._numbers[0]
            start = self.position.offset if self.position.arena == number else START
            batch = self._read(number, start, budget)
            self.position = batch.position
            if batch.size:
                return batch
            self._numbers.pop(0)
        return None

    def _read(self, number: int, start: int, budget: int) -> SentBatch:
        blocks: list[tuple[BlockType, bytes]] = []
        faults: list[Fault] = []
        at = start
        file = self._folder.open(arena_name(number), writable=False)
        try:
            for found in arenas.clumps(file, start, self._sizes[number]):
                score = Score(found.clump.score)
                try:
                    type = BlockType.from_wire(found.clump.type)
                    block = arenas.block_of(file, found)
                except (BadClump, BadBlockType) as error:
                    faults.append(Fault(number, found.offset, score, None, str(error)))
                else:
                    if Score.of(block) == score:
                        blocks.append((type, block))
                    else:
                        faults.append(Fault(number, found.offset, score, type, "its score is that of another block"))
                at = found.end
                if at - start >= budget:
                    break
        finally:
            file.close()
        return SentBatch(blocks, faults, Position(number, at), at - start)


class Places:
    """How far other archives have the blocks of a store: the file ``exports`` in it, in JSON."""

    def __init__(self, path: Path) -> None:
        """Reads it; one that is not there or cannot be read counts as empty."""
        self._path = path
        self._places: dict[str, Position] = {}
        try:
            found = json.loads(path.read_text())
            self._places = {str(name): Position(int(arena), int(offset)) for name, (arena, offset) in found.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, AttributeError, OverflowError) as error:
            log.warning("%s cannot be read and is begun anew: %s", path, error)

    def get(self, name: str) -> Position:
        """Up to where the archive at the address ``name`` has everything."""
        return self._places.get(name, BEGINNING)

    def save(self, name: str, position: Position) -> None:
        """Notes it, so that a crash leaves the old or the new place. Only after a sync of that archive."""
        self._places[name] = position
        try:
            replace_file(self._path, json.dumps(self._places).encode())
        except OSError as error:
            log.warning("%s cannot be written: the next export begins where this one did: %s", self._path, error)
