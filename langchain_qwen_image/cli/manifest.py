"""Which row of a file became which image: `index.csv` and `index.jsonl` beside the images.

They are written from the account, so that they are true whatever happened in a run, and whole or
not at all. The tables have the rows of the file that was run last.
"""

import csv
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from langchain_qwen_image.cli.prompts import Prompts
from langchain_qwen_image.cli.terminal import UsageError

if TYPE_CHECKING:
    from langchain_qwen_image.generator import QwenImageGenerator

_COLUMNS = ("row", "id", "status", "file", "cost")
_CSV, _JSONL = "index.csv", "index.jsonl"
_CSV_HEAD = ",".join(f'"{name}"' for name in _COLUMNS)
_MAX_HEAD = 65_536
# What a spreadsheet would compute (OWASP, CSV injection), also in the full width of East Asia.
_FORMULA = re.compile("[=+\\-@\t\r＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


def check_manifest(folder: Path) -> None:
    """Check that no file of somebody else's has the name of a manifest.

    Raises:
        UsageError: There is one.
    """
    for name in (_CSV, _JSONL):
        path = folder / name
        if (path.exists() or path.is_symlink()) and not _is_ours(path):
            raise UsageError(
                f"{path} exists and was not written by qwen-image; --id-column writes a file of "
                "that name. Move it, or choose another --out."
            )


def write_manifest(
    folder: Path, rows: Prompts, generator: "QwenImageGenerator", run: str | None
) -> None:
    """Write both tables anew, from the account.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
        QwenImageError: The account cannot be read.
    """
    from langchain_qwen_image.storage.atomic import finish, part_file, sync_folder

    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        table_part, table_file = stack.enter_context(part_file(folder))
        lines_part, lines_file = stack.enter_context(part_file(folder))
        # All in quotation marks: a semicolon would begin a cell, and a formula, in some countries.
        table_text = TextIOWrapper(table_file, "utf-8", "backslashreplace", newline="")
        table = csv.writer(table_text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow(_COLUMNS)
        for record in _records(rows, generator, run):
            table.writerow(["" if cell is None else _harmless(cell) for cell in record.values()])
            lines_file.write(_line(record))
        table_text.flush()
        finish(table_text.detach())
        finish(lines_file)
        table_part.replace(folder / _CSV)
        lines_part.replace(folder / _JSONL)
    sync_folder(folder)


def _records(
    rows: Prompts, generator: "QwenImageGenerator", run: str | None
) -> Iterator[dict[str, Any]]:
    from langchain_qwen_image.bulk.report import report
    from langchain_qwen_image.bulk.request import BulkRequest

    lines: list[int] = []

    def requests() -> Iterator[BulkRequest]:
        for row in rows:
            lines[:] = [row.line]
            yield BulkRequest(row.arguments, row.id)

    for one in report(generator, requests(), run=run):
        file = None if one.path is None else Path(one.path).name
        cost = None if one.cost_usd is None else float(one.cost_usd)
        values = (lines[0], one.request.id, one.status, file, cost)
        yield dict(zip(_COLUMNS, values, strict=True))


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False)
    return f"{text}\n".encode(errors="backslashreplace")


def _harmless(cell: object) -> str:
    """Return a cell that no spreadsheet computes; `index.jsonl` has the ids as they are."""
    text = str(cell)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = _first_line(file)
    if path.name == _CSV:
        return head == _CSV_HEAD
    try:
        record = json.loads(head or "{}")
    except ValueError:
        return False
    return not head or (isinstance(record, dict) and tuple(record) == _COLUMNS)


def _first_line(file: IO[bytes]) -> str:
    return file.readline(_MAX_HEAD).decode(errors="replace").rstrip("\r\n")
