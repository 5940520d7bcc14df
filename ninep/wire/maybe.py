"""Helpers for values that are either ready or a coroutine (``Maybe``): no task is needed for those that are ready."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, TypeVar, cast

from ninep.wire.dialect import Maybe

T = TypeVar("T")
U = TypeVar("U")


def then(found: Maybe[T], do: Callable[[T], Maybe[U]]) -> Maybe[U]:
    """``do`` with the value, now if it is there already."""
    if type(found) is CoroutineType:
        return later(found, do)
    return do(cast("T", found))


async def later(found: Coroutine[Any, Any, T], do: Callable[[T], Maybe[U]]) -> U:
    """The same with what has to be waited for."""
    return await arrived(do(await found))


async def arrived(found: Maybe[T]) -> T:
    """The value, waited for if need be."""
    return cast("T", await found if type(found) is CoroutineType else found)
