"""Directory entries as people read them."""

from __future__ import annotations

import pytest

from ninep.protocol import stat as st
from ninep.protocol.listing import as_object, long_lines, mode_text
from ninep.protocol.qid import Qid
from ninep.protocol.stat import Stat

ENTRY = Stat(0, 0, Qid(0, 1, 2), 0o644, 0, 0, 5, "name", "glenda", "sys", "glenda")


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0o644, "--rw-r--r--"),
        (st.DMDIR | 0o755, "d-rwxr-xr-x"),
        (st.DMAPPEND | st.DMEXCL | 0o600, "alrw-------"),
        (st.DMTMP | 0o111, "-t--x--x--x"),
        (st.DMSYMLINK | 0o777, "L-rwxrwxrwx"),
        (st.DMDEVICE | 0o660, "D-rw-rw----"),
        (st.DMNAMEDPIPE | 0o600, "P-rw-------"),
        (st.DMSOCKET | 0o600, "S-rw-------"),
    ],
)
def test_modes(mode: int, text: str) -> None:
    assert mode_text(mode) == text


def test_links_tell_where_they_lead_to() -> None:
    link = ENTRY._replace(mode=st.DMSYMLINK | 0o777, extension="to/there")
    first, second = long_lines([link, ENTRY], 0)
    assert first.endswith(" name -> to/there")
    assert second.endswith(" name")
    assert as_object(link)["extension"] == "to/there"
    assert "extension" not in as_object(ENTRY)
