"""Async test support: every coroutine test runs in its own trio loop, and no test may log an error unseen."""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
from hypothesis import settings
from trio.testing import MockClock

GUEST = 4000
"""Seconds that a test which boots a guest may take; it bounds itself long before."""

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("soak", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def autojump_clock() -> MockClock:
    """Virtual time that jumps whenever every task waits."""
    return MockClock(autojump_threshold=0)


TESTS = Path(__file__).parent
FAST = {TESTS / line for line in (TESTS / "fast.txt").read_text().split("\n") if line and not line.startswith("#")}
"""The files whose tests take seconds together, imports included. All others are marked ``slow``."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-m 'not slow'`` files with slow tests are not even imported, for that takes most of the time."""
    wanted = config.getoption("markexpr") != "not slow" or collection_path.suffix != ".py"
    return None if wanted or collection_path in FAST else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A guest bounds its own time, by how busy the machine is: the run's limit is for one that does not."""
    for item in items:
        if item.path not in FAST:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("kernel"):
            item.add_marker(pytest.mark.timeout(GUEST), append=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = _in_trio(pyfuncitem.obj)


def _in_trio(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(function)
    def run(**fixtures: object) -> None:
        clock = next((value for value in fixtures.values() if isinstance(value, MockClock)), None)
        trio.run(functools.partial(function, **fixtures), clock=clock)

    return run


@pytest.fixture(autouse=True)
def no_unseen_errors(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test in which a server logged an error, unless it is marked ``expects_errors``."""
    yield
    if request.node.get_closest_marker("expects_errors"):
        return
    errors = [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert not errors, [r.getMessage() for r in errors]
