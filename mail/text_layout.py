"""The text part of a mail: wrapped lines, lists, quotations."""

from __future__ import annotations

import re

TEXT_WIDTH = 76
"""Characters of a line: mail programs that quote a line add two, and terminals show 80."""

_ITEM = re.compile(r"(?:- |\d+\. )")
_LINKS = ("http://", "https://", "mailto:")


def wrapped(text: str) -> str:
    """Return the text with lines of readable length: paragraphs and list items filled, links on lines of their own.

    A line that starts with two spaces continues the list item above it, or else stays as it is. One that starts with
    `>` is a quotation and stays one.
    """
    layout = _Layout()
    for line in text.splitlines():
        layout.add(line)
    layout.flush()
    return "\n".join(layout.lines).strip("\n") + "\n"


def filled(words: list[str], first: str, rest: str) -> list[str]:
    """Return words as lines of at most TEXT_WIDTH characters, where a word fits; `first` and `rest` are indents."""
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


class _Layout:
    """The lines so far, and the words of the paragraph or list item that is not complete yet."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._words: list[str] = []
        self._first = self._rest = ""

    def add(self, line: str) -> None:
        """Take the next line of the text."""
        stripped = line.strip()
        if not stripped:
            self.flush()
            if self.lines and self.lines[-1]:
                self.lines.append("")
        elif stripped == "--":
            self.flush()
            # Mail programs recognize the signature by this line, with its space (RFC 3676, 4.3).
            self.lines.append("-- ")
        elif line.startswith(">"):
            self.flush()
            self.lines.extend(filled(stripped[1:].split(), "> ", "> ") or [">"])
        elif stripped.startswith(_LINKS) and " " not in stripped:
            self._add_link(stripped, continues_item=line.startswith("  "))
        elif item := _ITEM.match(line):
            self.flush()
            self._first, self._rest = item[0], " " * len(item[0])
            self._words.extend(line[item.end() :].split())
        elif line.startswith("  ") and not self._rest:
            self.flush()
            self.lines.append(line.rstrip())
        else:
            self._words.extend(stripped.split())

    def flush(self) -> None:
        """End the paragraph or list item."""
        self._fill()
        self._first = self._rest = ""

    def _add_link(self, link: str, *, continues_item: bool) -> None:
        self._fill()
        self._first = self._rest
        self.lines.append((self._rest if continues_item else "") + link)

    def _fill(self) -> None:
        self.lines.extend(filled(self._words, self._first, self._rest))
        self._words.clear()
