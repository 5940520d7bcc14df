"""Directory entries and the blocks they stand in: every version, every damage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venti.blocks.errors import DamagedArchive
from venti.vac import metablock
from venti.vac import mode as modes
from venti.vac.direntry import DirEntry, QidSpace, safe_name
from venti.vac.metablock import MetaBlock, Order

raw_names = st.binary(min_size=1, max_size=40).map(lambda data: data.decode("utf-8", "surrogateescape"))
numbers = st.integers(0, 2**32 - 1)


@st.composite
def dir_entries(draw: st.DrawFn) -> DirEntry:
    version = draw(st.sampled_from([7, 8, 9]))
    entry = draw(st.integers(0, 2**32 - 2))
    info = DirEntry(
        *(draw(raw_names), draw(numbers), draw(st.integers(0, 2**64 - 1)), draw(raw_names), draw(raw_names)),
        *(draw(raw_names), draw(numbers), draw(st.integers(1, 2**32 - 1)), draw(numbers), draw(numbers)),
        entry=entry,
        meta_entry=entry + 1,
        qid_space=draw(st.none() | st.builds(QidSpace, numbers, numbers)),
        version=version,
    )
    if version == 9:
        return info._replace(generation=draw(numbers), meta_entry=draw(numbers), meta_generation=draw(numbers))
    return info._replace(plan9_qid=draw(st.none() | st.tuples(numbers, numbers)))


@given(dir_entries())
def test_directory_entries_come_back(info: DirEntry) -> None:
    assert DirEntry.unpack(info.pack()) == info


@given(dir_entries(), st.data())
def test_a_cut_directory_entry_is_damaged_or_has_fewer_sections(info: DirEntry, data: st.DataObject) -> None:
    packed = info.pack()
    cut = data.draw(st.integers(0, len(packed) - 1))
    try:
        found = DirEntry.unpack(packed[:cut])
    except DamagedArchive:
        return
    assert found._replace(qid_space=info.qid_space, plan9_qid=info.plan9_qid, mcount=info.mcount) == info
    assert info.qid_space or info.plan9_qid


@given(st.binary(max_size=120))
def test_any_bytes_are_a_directory_entry_or_damaged(data: bytes) -> None:
    for candidate in (data, b"\x1c\x4d\x90\x72\0\x09" + data):
        try:
            DirEntry.unpack(candidate)
        except DamagedArchive:
            continue
        assert candidate.startswith(b"\x1c\x4d\x90\x72")


PACKED = DirEntry("a", 0o644, version=8).pack()
SPACE = b"\x03\x00\x10" + bytes(16)
PLAN9 = b"\x01\x00\x0c" + bytes(11) + b"\x05"


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (b"", "cut short"),
        (b"\0" + PACKED[1:], "begins with"),
        (PACKED[:5] + b"\x06" + PACKED[6:], "version 6"),
        (PACKED[:5] + b"\x0a" + PACKED[6:], "version 10"),
        (PACKED + SPACE + SPACE, "qid space"),
        (PACKED + b"\x03\x00\x0f" + bytes(15), "qid space"),
        (PACKED + PLAN9 + PLAN9, "plan9"),
        (DirEntry("a", 0o644).pack() + PLAN9, "plan9"),
        (PACKED + b"\x01\x00\x0b" + bytes(11), "plan9"),
        (PACKED + SPACE[:-1], "cut short"),
        (PACKED + b"\x03", "cut short"),
    ],
)
def test_damaged_directory_entries(packed: bytes, text: str) -> None:
    with pytest.raises(DamagedArchive, match=text):
        DirEntry.unpack(packed)


def test_sections_of_other_kinds_are_skipped() -> None:
    unknown = b"\x02\x00\x03abc" + b"\x09\x00\x00" + b"\x04\x00\x04\0\0\0\x07"
    assert DirEntry.unpack(PACKED + unknown + SPACE) == DirEntry.unpack(PACKED)._replace(qid_space=QidSpace(0, 0))


def test_an_old_plan9_section_supplies_the_version() -> None:
    info = DirEntry.unpack(PACKED + PLAN9)
    assert (info.plan9_qid, info.mcount) == ((0, 5), 5)


@pytest.mark.parametrize("change", [{"mtime": -1}, {"mtime": 2**32}, {"qid": 2**64}, {"uid": "u" * 70000}])
def test_what_does_not_fit_a_directory_entry(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        DirEntry("a", 0o644)._replace(**change).pack()


OLD_ORDER = ["ab!", "abcd", "abc", "abd", "ab~", "ab", "a", "b"]


@pytest.mark.parametrize(("order", "expected"), [(Order.BYTES, sorted(OLD_ORDER)), (Order.PREFIX_LAST, OLD_ORDER)])
def test_the_two_orders(order: Order, expected: list[str]) -> None:
    block = MetaBlock(8192, order)
    for name in sorted(OLD_ORDER, key=hash):
        assert block.add(DirEntry(name, 0o644).pack())
    packed = block.pack()
    assert [info.name for info in metablock.unpack(packed, 8192)] == expected


@given(
    st.lists(raw_names, unique=True, max_size=100),
    st.sampled_from(Order),
    st.sampled_from([512, 1024, 8192, 57344]),
)
def test_blocks_come_back(names: list[str], order: Order, size: int) -> None:
    block = MetaBlock(size, order)
    taken = []
    for name in names:
        if not block.add(DirEntry(name, 0o644).pack()):
            break
        taken.append(name)
    packed = block.pack()
    assert len(packed) <= size
    stored = packed.rstrip(b"\0")
    assert sorted(info.name for info in metablock.unpack(stored, size)) == sorted(taken)
    for name in names:
        found = metablock.find(stored, size, name)
        assert (found is not None) == (name in taken)
        assert found is None or found.name == name


def test_a_block_is_filled_to_four_fifths() -> None:
    block = MetaBlock(8192)
    packed = DirEntry("n" * 900, 0o644).pack()
    count = 0
    while block.add(DirEntry("n" * 900 + str(count), 0o644).pack()):
        count += 1
    assert count == (8192 * 80 // 100 - 336) // (len(packed) + 1)
    assert MetaBlock(8192).add(DirEntry("n" * 7000, 0o644).pack())


def test_a_block_has_a_slot_for_every_hundred_bytes() -> None:
    block = MetaBlock(57344)
    while block.add(DirEntry(f"{len(block):04}", 0o644).pack()):
        pass
    assert len(block) == 573


def test_two_of_one_name() -> None:
    block = MetaBlock(8192)
    block.add(PACKED)
    with pytest.raises(ValueError, match="two entries"):
        block.add(PACKED)


def good_block() -> bytearray:
    block = MetaBlock(512)
    block.add(PACKED)
    return bytearray(block.pack())


@pytest.mark.parametrize(
    ("at", "value", "text"),
    [
        (0, 0x12345678, "no magic"),
        (4, 0x02010000, "cannot hold"),
        (4, 0x00010000, "cannot hold"),
        (8, 0x00050006, "cannot hold"),
        (8, 0xFFFF0001, "cannot hold"),
        (12, 0x000C0010, "lies at 12 to 28"),
        (12, 0x0020FFFF, "lies at 32"),
        (12, 0x00200001, "lies at 32 to 33"),
        (12, 0x00210010, "begins with"),
    ],
)
def test_damaged_blocks(at: int, value: int, text: str) -> None:
    block = good_block()
    block[at : at + 4] = value.to_bytes(4, "big")
    with pytest.raises(DamagedArchive, match=text):
        metablock.unpack(block, 512)


@given(st.data())
def test_any_change_to_a_block_is_read_or_damaged(data: st.DataObject) -> None:
    block = good_block()
    for _ in range(data.draw(st.integers(1, 4))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    for read in (lambda: metablock.unpack(block, 512), lambda: metablock.find(block, 512, "a")):
        try:
            read()
        except DamagedArchive:
            continue


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (modes.DIRECTORY | 0o755, "d-rwxr-xr-x"),
        (0o644, "--rw-r--r--"),
        (modes.APPEND | 0o664, "a-rw-rw-r--"),
        (modes.LINK | 0o777, "-Lrwxrwxrwx"),
        (modes.DEVICE | 0o644, "D-rw-r--r--"),
        (modes.PIPE | 0o600, "P-rw-------"),
    ],
)
def test_modes_as_text(mode: int, text: str) -> None:
    assert modes.text(mode) == text


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a", True),
        ("..a", True),
        ("a b", True),
        ("", False),
        (".", False),
        ("..", False),
        ("a/b", False),
        ("\0", False),
    ],
)
def test_names_that_can_stand_in_a_path(name: str, safe: bool) -> None:
    assert safe_name(name) == safe
