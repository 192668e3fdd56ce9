"""The text part of a mail: wrapped lines, lists, quotes."""

from __future__ import annotations

import re

TEXT_WIDTH = 76


_ITEM = re.compile(r"(?:- |\d+\. )")


def wrapped(text: str) -> str:
    """The text with lines of readable length: paragraphs and list items filled, links on lines of their own.

    A line that starts with two spaces continues the list item above it, or else stands as it is; one that starts
    with `> ` is a quotation and stays one.
    """
    lines: list[str] = []
    words: list[str] = []
    first = rest = ""

    def flush() -> None:
        nonlocal first, rest
        if words:
            lines.extend(filled(words, first, rest))
            words.clear()
        first = rest = ""

    for line in text.splitlines():
        stripped = line.strip()
        if not stripped:
            flush()
            if lines and lines[-1]:
                lines.append("")
        elif stripped == "--":
            flush()
            lines.append("-- ")  # the mark by which mail readers know where the signature starts
        elif line.startswith(">"):
            flush()
            lines.extend(filled(stripped[1:].split(), "> ", "> ") or [">"])
        elif stripped.startswith(("http://", "https://", "mailto:")) and " " not in stripped:
            indent = rest if line.startswith("  ") else ""
            lines.extend(filled(words, first, rest))
            words.clear()
            first = rest
            lines.append(indent + stripped)
        elif item := _ITEM.match(line):
            flush()
            first, rest = item[0], " " * len(item[0])
            words.extend(line[item.end() :].split())
        elif line.startswith("  ") and not rest:
            flush()
            lines.append(line.rstrip())
        else:
            words.extend(stripped.split())
    flush()
    return "\n".join(lines).strip("\n") + "\n"


def filled(words: list[str], first: str, rest: str) -> list[str]:
    lines: list[str] = []
    line = first
    length = 0
    for word in words:
        if length and len(line) + 1 + len(word) > TEXT_WIDTH:
            lines.append(line)
            line, length = rest, 0
        line += f" {word}" if length else word
        length += 1
    return [*lines, line] if length else lines
