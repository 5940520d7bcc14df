"""Ctrl-C, ``sys.exit`` and plain errors come through every context manager of the libraries as they are."""

from __future__ import annotations

import ast
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import ninep.client.connection
import ninep.client.tree
import venti.stores.remote
from fakes.small_partition import partition
from fossil.archive.sources import open_sources
from fossil.archive.vault import Vault
from fossil.commands.interpreter import Interpreter
from fossil.console.console import open_console
from fossil.server.fileserver import Surroundings, open_file_server
from fossil.server.service import open_fossil
from ninep.client.lasting import lasting, lasting_by
from ninep.client.link import linked
from ninep.client.replacing import replacing
from ninep.net.listen import listen, where
from ninep.protocol.errors import FileNotFound
from ninep.ram.tree import RamTree
from ninep.server.serve import serve as serve_files
from ninep.server.serve import serve_stream as serve_files_on
from ninep.tasks.nursery import background, open_nursery, outlived
from venti.log.opening import open_disk_store
from venti.plan9.partition import Partition
from venti.plan9.readers import batches
from venti.server import serve as serve_blocks
from venti.server import serve_stream as serve_blocks_on
from venti.stores.memory import MemoryStore
from venti.stores.mirrored import mirror
from venti.stores.redial import redialled
from venti.stores.write_behind import write_behind
from venti.upkeep.service import looked_after

ROOT = Path(__file__).parent.parent
PACKAGES = ("ninep", "venti", "fossil", "cfs")
OWNER = "glenda"

Manager = AbstractAsyncContextManager[Any]


class Stage:
    """What the managers need around them: servers and files, for one test."""

    def __init__(self, path: Path, nursery: trio.Nursery, stack: AsyncExitStack) -> None:
        self.path = path
        self.nursery = nursery
        self.stack = stack

    async def files(self) -> str:
        """The address of a 9P server."""
        listeners = await listen("tcp!127.0.0.1!0", service="9fs")
        await self.nursery.start(serve_files, RamTree(OWNER), listeners)
        return where(listeners[0])

    async def blocks(self) -> str:
        """The address of a venti."""
        listeners = await listen("tcp!127.0.0.1!0", service="venti")
        await self.nursery.start(serve_blocks, MemoryStore(), listeners)
        return where(listeners[0])

    def stream(self, serve: Callable[..., Any], *arguments: object) -> trio.abc.Stream:
        """The near end of a stream that is served."""
        near, far = trio.testing.memory_stream_pair()
        self.nursery.start_soon(serve, far, *arguments)
        return near

    async def tree(self) -> ninep.client.tree.RemoteTree:
        """A tree with a file in it."""
        connection = await self.stack.enter_async_context(
            ninep.client.connection.connected(self.stream(serve_files_on, RamTree(OWNER)))
        )
        tree = ninep.client.tree.RemoteTree(await connection.attach(OWNER))
        await tree.write_bytes("file", b"content" * 10_000)
        return tree


MANAGERS: dict[str, Callable[[Stage], Any]] = {}


def manager(name: str) -> Callable[[Callable[[Stage], Any]], Callable[[Stage], Any]]:
    def add(function: Callable[[Stage], Any]) -> Callable[[Stage], Any]:
        MANAGERS[name] = function
        return function

    return add


@manager("ninep.client.tree.connect")
async def _(stage: Stage) -> Manager:
    return ninep.client.tree.connect(await stage.files(), uname=OWNER)


@manager("ninep.client.connection.connected")
async def _(stage: Stage) -> Manager:
    return ninep.client.connection.connected(stage.stream(serve_files_on, RamTree(OWNER)))


@manager("ninep.client.tree.RemoteTree.open")
async def _(stage: Stage) -> Manager:
    return (await stage.tree()).open("file")


@manager("ninep.client.tree.RemoteTree.create")
async def _(stage: Stage) -> Manager:
    return (await stage.tree()).create("new")


@manager("ninep.client.tree.RemoteTree.scandir")
async def _(stage: Stage) -> Manager:
    return (await stage.tree()).scandir()


@manager("ninep.client.tree.RemoteTree.replacing")
async def _(stage: Stage) -> Manager:
    return (await stage.tree()).replacing("file")


@manager("ninep.client.replacing.replacing")
async def _(stage: Stage) -> Manager:
    return replacing((await stage.tree()).root, "file")


@manager("ninep.client.lasting.lasting")
async def _(stage: Stage) -> Manager:
    return lasting(await stage.files(), uname=OWNER)


@manager("ninep.client.lasting.lasting_by")
async def _(stage: Stage) -> Manager:
    address = await stage.files()
    return lasting_by(lambda: ninep.client.tree.connect(address, uname=OWNER))


@manager("ninep.client.link.linked")
async def _(stage: Stage) -> Manager:
    address = await stage.files()
    return linked(lambda: ninep.client.tree.connect(address, uname=OWNER))


@manager("ninep.client.lasting.LastingTree.open")
async def _(stage: Stage) -> Manager:
    tree = await stage.stack.enter_async_context(lasting(await stage.files(), uname=OWNER))
    await tree.write_bytes("file", b"")
    return tree.open("file")


@manager("ninep.tasks.nursery.open_nursery")
async def _(_: Stage) -> Manager:
    return open_nursery()


@manager("ninep.tasks.nursery.background")
async def _(_: Stage) -> Manager:
    return background()


@manager("ninep.tasks.nursery.outlived")
async def _(_: Stage) -> Manager:
    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    return outlived(run)


@manager("venti.stores.remote.connect")
async def _(stage: Stage) -> Manager:
    return venti.stores.remote.connect(await stage.blocks())


@manager("venti.stores.remote.connected")
async def _(stage: Stage) -> Manager:
    return venti.stores.remote.connected(stage.stream(serve_blocks_on, MemoryStore()))


@manager("venti.log.opening.open_disk_store")
async def _(stage: Stage) -> Manager:
    return open_disk_store(stage.path / "store")


@manager("venti.stores.write_behind.write_behind")
async def _(_: Stage) -> Manager:
    return write_behind(MemoryStore())


@manager("venti.stores.redial.redialled")
async def _(stage: Stage) -> Manager:
    address = await stage.blocks()
    return redialled(lambda: venti.stores.remote.connect(address))


@manager("venti.stores.mirrored.mirror")
async def _(stage: Stage) -> Manager:
    address = await stage.blocks()
    return mirror(lambda: venti.stores.remote.connect(address))


@manager("venti.plan9.readers.batches")
async def _(stage: Stage) -> Manager:
    path = stage.path / "partition"
    path.write_bytes(partition())
    return batches(Partition(path))


@manager("venti.upkeep.service.looked_after")
async def _(stage: Stage) -> Manager:
    path = stage.path / "store"
    store = await stage.stack.enter_async_context(open_disk_store(path))
    return looked_after(store, path, mirror_address=await stage.blocks(), scrub_rate=1000)


@manager("fossil.server.service.open_fossil")
async def _(stage: Stage) -> Manager:
    return open_fossil(stage.path / "fossil", owner=OWNER)


@manager("fossil.server.fileserver.open_file_server")
async def _(stage: Stage) -> Manager:
    async def listening(_: str) -> Any:
        raise AssertionError

    around = Surroundings(stage.path, stage.path / "srv", OWNER, listening, venti.stores.remote.connect)
    return open_file_server(around, Interpreter)


@manager("fossil.console.console.open_console")
async def _(stage: Stage) -> Manager:
    async def answer(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"main: ")
        await trio.sleep_forever()

    listeners = await listen(f"unix!{stage.path / 'console'}", service="9fs")
    await stage.nursery.start(trio.serve_listeners, answer, listeners)
    return open_console(stage.path / "console")


@manager("fossil.archive.sources.open_sources")
async def _(stage: Stage) -> Manager:
    address = await stage.blocks()
    return open_sources([("one", lambda: venti.stores.remote.connect(address))])


@manager("fossil.archive.vault.Vault.use")
async def _(stage: Stage) -> Manager:
    address = await stage.blocks()
    vault = Vault(lambda: venti.stores.remote.connect(address))
    stage.nursery.start_soon(vault.run)
    return vault.use()


NOT_FOR_OTHERS = {"fossil.metadata.syncpoint.SyncPoint.turn"}
"""What only its own package enters, and what has no tasks behind it."""


def test_no_context_manager_is_left_out() -> None:
    found = set()
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for name, function in _functions(ast.parse(path.read_text()), module):
                decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
                if "asynccontextmanager" in decorators and not function.name.startswith("_"):
                    found.add(name)
    assert found - set(MANAGERS) - NOT_FOR_OTHERS == set()


def _functions(tree: ast.AST, above: str) -> Any:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{above}.{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{above}.{node.name}")


@asynccontextmanager
async def staged(path: Path) -> AsyncIterator[Stage]:
    async with background() as nursery, AsyncExitStack() as stack:
        yield Stage(path, nursery, stack)


ERRORS = [KeyboardInterrupt(), SystemExit(7), FileNotFound(), KeyError("mine"), ExceptionGroup("own", [OSError("one")])]


@pytest.mark.parametrize("error", ERRORS, ids=[type(error).__name__ for error in ERRORS])
@pytest.mark.parametrize("name", MANAGERS)
def test_what_the_body_raises_comes_out_as_it_is(name: str, error: BaseException, tmp_path: Path) -> None:
    async def main() -> BaseException | None:
        async with staged(tmp_path) as stage:
            entered = await MANAGERS[name](stage)
            try:
                async with entered:
                    await trio.testing.wait_all_tasks_blocked(0.001)
                    raise error
            except BaseException as caught:
                return caught
        return None

    assert trio.run(main) is error


@pytest.mark.parametrize("name", MANAGERS)
def test_cancelled_it_ends_quietly(name: str, tmp_path: Path) -> None:
    async def main() -> bool:
        async with staged(tmp_path) as stage:
            entered = await MANAGERS[name](stage)
            with trio.CancelScope() as scope:
                async with entered:
                    scope.cancel()
                    await trio.sleep_forever()
            return scope.cancelled_caught

    assert trio.run(main)


@pytest.mark.parametrize("name", MANAGERS)
def test_ctrl_c_is_itself(name: str, tmp_path: Path) -> None:
    """As it really comes: into whichever task runs, or waits."""

    async def main() -> None:
        async with staged(tmp_path) as stage, await MANAGERS[name](stage):
            await trio.testing.wait_all_tasks_blocked(0.001)
            signal.raise_signal(signal.SIGINT)
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)


def test_the_exit_code_of_a_program_is_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with staged(tmp_path) as stage, await MANAGERS["ninep.client.lasting.lasting"](stage):
            raise SystemExit(7)

    with pytest.raises(SystemExit) as caught:
        trio.run(partial(main))
    assert caught.value.code == 7
