"""Real processes: venti is killed in the middle of archives, and fossil too; both come back, and nothing is missing."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from programs.processes import Program, free_port, run

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

ROUNDS = 3


def test_archives_survive_both_servers(tmp_path: Path) -> None:
    source = random.Random(5)
    venti_port, port = free_port(), free_port()
    venti_address, address = f"tcp!127.0.0.1!{venti_port}", f"tcp!127.0.0.1!{port}"
    data = ("--data", f"{tmp_path}/data")

    def start_venti() -> Program:
        words = ("venti", "serve", venti_address, "--store", f"{tmp_path}/venti")
        return Program(venti_port, *words, log=tmp_path / "venti.log")

    def start_fossil() -> Program:
        words = ("fossil", "serve", *data, "--listen", address, "--venti", venti_address)
        return Program(port, *words, log=tmp_path / "fossil.log")

    files: dict[str, bytes] = {}
    venti, fossil = start_venti(), start_fossil()
    try:
        for round in range(ROUNDS):
            folder = tmp_path / f"round{round}"
            folder.mkdir()
            for n in range(100):
                files[f"round{round}/{n}"] = source.randbytes(source.randrange(1, 120_000))
                (folder / f"{n}").write_bytes(files[f"round{round}/{n}"])
            run("ninep", "-a", address, "put", "-r", str(folder), f"round{round}")
            run("fossil", "snap", "-a", *data)
            time.sleep(source.uniform(0, 0.3))
            venti.kill()
            # Clients notice nothing of it.
            run("ninep", "-a", address, "ls", f"round{round}")
            if round % 2:
                fossil.kill()
                fossil = start_fossil()
            venti = start_venti()
        # Each wait ends early when an attempt fails; the archives are gone on with all the same.
        deadline = time.monotonic() + 120
        while True:
            try:
                score = run("fossil", "last", "--wait", *data).strip()
                break
            except AssertionError:
                assert time.monotonic() < deadline, (tmp_path / "fossil.log").read_text()[-2000:]
        out = tmp_path / "out"
        out.mkdir()
        run("venti", "unvac", "-h", venti_address, score, cwd=out)
        for name, content in files.items():
            assert (out / "active" / name).read_bytes() == content
        assert "no damage" in run("fossil", "check", "--archives", *data)
    finally:
        fossil.kill()
        venti.kill()
