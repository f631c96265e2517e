"""
What a stream of bytes is, by how it begins: a web page that was saved as CSV is no table, whatever its name says.
"""

from __future__ import annotations

import codecs
import re

from interlock.domain.data.source import Format
from interlock.errors import SourceError

MAGIC = {
    b"PK\x03\x04": "a ZIP or Excel file",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel workbook (.xls)",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"SQLite format 3\x00": "an SQLite database",
    b"{\\rtf": "a text document (RTF)",
}
_MARKUP = re.compile(rb"<(!doctype|html|head|body|table|script|meta|title)\b|<!--", re.IGNORECASE)
_JSON = re.compile(rb"""\[?\s*\{\s*["}]|\[\s*[\[\]]""")


def refuse_other_content(head: bytes, chosen: Format, encoding: str, label: str) -> None:
    """
    Refuse what begins like something that *chosen* is not.

    :param head: the first bytes, at least the first line where there is one of a usual length.
    :raises SourceError: with what it is, and what to do.
    """
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            raise SourceError(f"{label} is {name}, not text. Export it as CSV, JSON lines or Parquet.")
    if encoding.startswith(("utf-16", "utf-32")):
        return
    if (other := _wide_encoding(head)) is not None:
        raise SourceError(f'{label} is not {encoding}: it looks like UTF-16. Say so: {{"encoding": "{other}"}}.')
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if _MARKUP.match(text):
        raise SourceError(
            f"{label} is a web page (HTML), not {_NAMES[chosen]}. Was it saved in place of the data, or is a login "
            "missing? Export the data as CSV, JSON lines or Parquet."
        )
    if text.startswith(b"<?xml"):
        raise SourceError(f"{label} is XML, not {_NAMES[chosen]}. Export it as CSV, JSON lines or Parquet.")
    if chosen in ("csv", "tsv") and _JSON.match(text):
        is_lines = text.startswith(b"{") and b"}\n" in text.replace(b"\r", b"")
        raise SourceError(f'{label} is JSON, not CSV. Say so: {{"format": "{"jsonl" if is_lines else "json"}"}}.')


_NAMES: dict[Format, str] = {
    "csv": "CSV",
    "tsv": "TSV",
    "jsonl": "JSON lines",
    "json": "JSON",
    "parquet": "Parquet",
}


def _wide_encoding(head: bytes) -> str | None:
    """Return the encoding of text in two bytes a character; None: it is no such text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    sample = head[: len(head) // 2 * 2]
    if len(sample) < 4:
        return None
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if sample[start::2].count(0) * 3 > len(sample) and not sample[1 - start :: 2].count(0):
            return name
    return None
