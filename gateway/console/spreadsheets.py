"""Lists as CSV files that a spreadsheet shows and does not execute."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final

from fastapi import Response

_FORMULA: Final = re.compile(r"^[\s\u200b\ufeff]*[=+\-@\t\r|%＝＋－＠]")
"""What a spreadsheet takes for a formula, or may: OWASP's list, and the wide forms that some read like the narrow."""


def csv_file(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """Return a file to save. The mark at its start has spreadsheets read it as UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.csv"',
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    return Response("\ufeff" + text.getvalue(), 200, headers, media_type="text/csv; charset=utf-8")


def cell(value: object) -> str:
    """Return a value as the text of a cell, with an apostrophe before what would be a formula."""
    text = "" if value is None else str(value).replace("\x00", "")
    return f"'{text}" if _FORMULA.match(text) and not isinstance(value, int | float) else text
