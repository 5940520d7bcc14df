"""Work in rounds: none that fails ends the next, and what it said is not said again and again."""

from __future__ import annotations

import logging

import pytest
import trio

from ninep.tasks.rounds import Rounds

log = logging.getLogger(__name__)


@pytest.mark.expects_errors
def test_a_round_that_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds(log, "sweeping")
    for number in range(3):
        with rounds.one():
            raise ZeroDivisionError("by nothing")
        assert rounds.failures == number + 1
    assert caplog.text.count("Traceback") == 1
    assert "sweeping failed" in caplog.text
    with rounds.one():
        raise KeyError("another")
    assert caplog.text.count("Traceback") == 2
    with rounds.one():
        pass
    assert rounds.failures == 0
    with rounds.one():
        raise KeyError("another")
    assert caplog.text.count("Traceback") == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_ends_it(error: type[BaseException]) -> None:
    with pytest.raises(error), Rounds(log, "sweeping").one():
        raise error


async def test_what_is_cancelled_is_cancelled() -> None:
    rounds = Rounds(log, "sweeping")
    with trio.CancelScope() as scope:
        scope.cancel()
        with rounds.one():
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert rounds.failures == 0
