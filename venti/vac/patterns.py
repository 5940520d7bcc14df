"""Patterns that choose which files go into an archive. Source: vac(1).

A pattern is held against the whole path as it was given on the command line; ``./`` before it and ``/`` behind it mean
nothing. ``*`` and ``?`` match no slash, and no dot
at the beginning of a name; ``...`` matches anything; ``[abc]`` one of these, ``[~abc]`` none of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Rule(NamedTuple):
    """Files that match are left out, or taken in although a later rule would leave them out."""

    exclude: bool
    pattern: re.Pattern[str]


def excluded(rules: Sequence[Rule], path: str, matched: Callable[[Rule], None] = lambda _: None) -> bool:
    """Whether the first rule that matches leaves the file out, which ``matched`` is told; without one it stays in."""
    plain = _plain(path)
    for rule in rules:
        if rule.pattern.fullmatch(path) or rule.pattern.fullmatch(plain):
            matched(rule)
            return rule.exclude
    return False


def _plain(path: str) -> str:
    """The path without what means nothing in it: ``./`` before, slashes behind and doubled."""
    if "//" in path or path.startswith("./") or path.endswith("/"):
        absolute = path.startswith("/")
        path = "/".join(name for name in path.split("/") if name not in ("", "."))
        return f"/{path}" if absolute else path
    return path


def parse_rules(text: str) -> list[Rule]:
    """The rules of a file of lines ``include PATTERN`` and ``exclude PATTERN``; ``#`` begins a comment.

    Raises:
        ValueError: a line is neither.
    """
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split(None, 1)
        if not words:
            continue
        if words[0] not in ("include", "exclude") or len(words) < 2:
            raise ValueError(f"line {number}: write 'include PATTERN' or 'exclude PATTERN', not {line.strip()!r}")
        rules.append(Rule(words[0] == "exclude", compile_pattern(words[1].strip())))
    return rules


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression.

    Raises:
        ValueError: a bracket is not closed.
    """
    # A directory may be written with a slash behind it; the path that it is held against has none.
    pattern = _plain(pattern)
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        # A name begins after a slash or at the beginning of the path; wild cards do not match its dot.
        visible = r"(?<![^/])(?!\.)|(?<=[^/])"
        character = pattern[at]
        if pattern.startswith("...", at):
            parts.append(".*")
            at += 3
            continue
        if character == "*":
            parts.append(rf"(?:(?:{visible})[^/]*)?" if at == 0 or pattern[at - 1] == "/" else "[^/]*")
        elif character == "?":
            parts.append(rf"(?:{visible})[^/]")
        elif character == "[":
            end = pattern.find("]", at + 2)
            if end < 0:
                raise ValueError(f"{pattern!r}: the bracket is not closed")
            inner = pattern[at + 1 : end]
            negated, inner = inner.startswith("~"), inner.removeprefix("~")
            members = re.sub(r"[\\\[\]^&|~]", r"\\\g<0>", inner)
            parts.append(rf"(?:{visible})(?!/)[{'^' if negated else ''}{members}]")
            at = end
        else:
            parts.append(re.escape(character))
        at += 1
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error as error:
        raise ValueError(f"{pattern!r}: {error}") from error
