"""The small part of YAML that model configurations are written in, read strictly.

Mappings and lists in block style, lists of scalars in flow style, quoted and plain scalars on one line, comments.
Anything else is an error, and never taken for something that it is not.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

Node: TypeAlias = "str | list[str] | dict[str, Node]"

_KEY = re.compile(r"""("[^"]*"|'[^']*'|[^\s"'\[\]{}#&*!|>%@`-][^"'\[\]{}#]*?)\s*:(?:\s+(.*))?$""")
_QUOTED = re.compile(r"""("[^"\\]*"|'[^']*')$""")


class _Line(NamedTuple):
    number: int
    indent: int
    text: str


def read_section(text: str, section: str) -> dict[str, Node]:
    """The mapping under one key of the top level; other sections are not looked at.

    Scalars stay text, without quotes; an empty value is an empty text.

    Raises:
        ValueError: there is no such section, or it uses something else of YAML; the message names the line.
    """
    lines = _lines(text)
    starts = [index for index, line in enumerate(lines) if line.indent == 0]
    for index, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        if lines[index].text == f"{section}:":
            node = _block(lines[index + 1 : end])
            if isinstance(node, dict):
                return node
    raise ValueError(f"no section {section!r} with keys in it")


def _lines(text: str) -> list[_Line]:
    lines = []
    for number, raw in enumerate(text.splitlines(), 1):
        content = _without_comment(raw).rstrip()
        if content.strip() and content != "---":
            lines.append(_Line(number, len(content) - len(content.lstrip(" ")), content.strip(" ")))
    return lines


def _without_comment(raw: str) -> str:
    quote = ""
    for place, character in enumerate(raw):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'" and raw[:place][-1:] in ("", " ", "[", ","):
            quote = character
        elif character == "#" and (place == 0 or raw[place - 1] in " \t"):
            return raw[:place]
    return raw


def _block(lines: list[_Line]) -> Node:
    """The node that these lines, all of them, are."""
    if not lines:
        return ""
    indent = lines[0].indent
    if lines[0].text.startswith("- "):
        for line in lines:
            if line.indent != indent or not line.text.startswith("- "):
                raise _not_understood(line)
        return [_scalar(line, line.text[2:].strip()) for line in lines]
    mapping: dict[str, Node] = {}
    index = 0
    while index < len(lines):
        line = lines[index]
        match = _KEY.match(line.text)
        if line.indent != indent or not match:
            raise _not_understood(line)
        key, value = match[1].strip("\"'"), match[2] or ""
        if key in mapping:
            raise ValueError(f"line {line.number}: {key} is there twice")
        index += 1
        start = index
        # A list may stand as far to the left as the key that it belongs to.
        while index < len(lines) and (
            lines[index].indent > indent
            or (lines[index].indent == indent and lines[index].text.startswith("- "))
        ):
            index += 1
        if value and index > start:
            raise _not_understood(lines[start])
        mapping[key] = _value(line, value) if value else _block(lines[start:index])
    return mapping


def _value(line: _Line, value: str) -> Node:
    if value.startswith("[") and value.endswith("]"):
        inside = value[1:-1].strip()
        return [_scalar(line, part.strip()) for part in inside.split(",")] if inside else []
    return _scalar(line, value)


def _scalar(line: _Line, value: str) -> str:
    if _QUOTED.match(value):
        return value[1:-1]
    if not value or value[0] in "\"'[]{}&*!|>%@`," or ": " in value or value.endswith(":"):
        raise _not_understood(line)
    return value


def _not_understood(line: _Line) -> ValueError:
    return ValueError(f"line {line.number}: {line.text!r} is not understood")
