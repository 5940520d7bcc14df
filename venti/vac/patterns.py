"""Patterns that choose which files go into an archive. Source: vac(1).

A pattern is held against the whole path as it was given on the command line. ``*`` and ``?`` match no slash, and no dot
at the beginning of a name; ``...`` matches anything; ``[abc]`` one of these, ``[~abc]`` none of these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Rule(NamedTuple):
    """Files that match are left out, or taken in although a later rule would leave them out."""

    exclude: bool
    pattern: re.Pattern[str]


def excluded(rules: Sequence[Rule], path: str) -> bool:
    """Whether the first rule that matches leaves the file out; without one it is taken in."""
    return next((rule.exclude for rule in rules if rule.pattern.fullmatch(path)), False)


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
