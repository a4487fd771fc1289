"""Which row of a file became which image: `index.csv` and `index.jsonl` beside the images.

They are written from the account, so that they are true whatever happened in a run, and whole or
not at all. The tables have the rows of the file that was run last.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from langchain_qwen_image.cli.prompts import Prompts
from langchain_qwen_image.cli.terminal import UsageError, shown
from langchain_qwen_image.errors import SaveError
from langchain_qwen_image.storage.addresses import is_bucket_address
from langchain_qwen_image.storage.paths import file_name

if TYPE_CHECKING:
    from decimal import Decimal

    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.storage.bucket import Bucket

_COLUMNS = ("row", "id", "status", "file", "cost")
_CSV, _JSONL = "index.csv", "index.jsonl"
_LINES = "application/jsonl"
_CSV_HEAD = ",".join(f'"{name}"' for name in _COLUMNS)
_MAX_HEAD = 65_536
# What a spreadsheet would compute (OWASP, CSV injection), also in the full width of East Asia.
_FORMULA = re.compile("[=+\\-@\t\r＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


def check_manifest(out: str) -> None:
    """Check that no file of somebody else's has the name of a manifest.

    Raises:
        UsageError: There is one, or it cannot be told.
    """
    for name in (_CSV, _JSONL):
        head = _head(out, name)
        if head is not None and not _is_ours(name, head):
            raise UsageError(
                f"{shown(f'{out}/{name}')} exists and was not written by qwen-image; --id-column "
                "writes a file of that name. Move it, or choose another --out."
            )


def write_manifest(out: str, records: Iterable[dict[str, Any]]) -> None:
    """Write both tables anew, of records as `record` makes them.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
        QwenImageError: The account cannot be read.
    """
    with _new_files(out) as (table_file, lines_file):
        # All in quotation marks: a semicolon would begin a cell, and a formula, in some countries.
        table_text = TextIOWrapper(table_file, "utf-8", "backslashreplace", newline="")
        table = csv.writer(table_text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow(_COLUMNS)
        for one in records:
            table.writerow(["" if cell is None else _harmless(cell) for cell in one.values()])
            lines_file.write(_line(one))
        table_text.flush()
        table_text.detach()


@contextmanager
def _new_files(out: str) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Open both files; they take their names when all is written."""
    if is_bucket_address(out):
        with TemporaryFile() as table, TemporaryFile() as lines:
            yield table, lines
            with _asking(out) as bucket:
                for name, file, kind in ((_CSV, table, "text/csv"), (_JSONL, lines, _LINES)):
                    file.seek(0)
                    bucket.put(name, file, kind)
        return
    from langchain_qwen_image.storage.atomic import finish, part_file, sync_folder

    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with part_file(folder) as (table_part, table), part_file(folder) as (lines_part, lines):
        yield table, lines
        finish(table)
        finish(lines)
        table_part.replace(folder / _CSV)
        lines_part.replace(folder / _JSONL)
    sync_folder(folder)


@contextmanager
def _asking(address: str) -> "Iterator[Bucket]":
    from langchain_qwen_image.storage.bucket import Bucket, BucketError

    try:
        yield Bucket(address)
        return
    except BucketError as error:
        problem = f"The tables in {address} could not be read or written: {error}."
    raise SaveError(problem)


def record(
    row: int, row_id: str | None, status: str, path: str | None, cost_usd: "Decimal | None"
) -> dict[str, Any]:
    """Return a record of a manifest: its line, id, status, file and cost."""
    file = None if path is None else file_name(path)
    cost = None if cost_usd is None else float(cost_usd)
    return dict(zip(_COLUMNS, (row, row_id, status, file, cost), strict=True))


def records_of(
    rows: Prompts, generator: "QwenImageGenerator", run: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the record of each row, from the account."""
    from langchain_qwen_image.bulk.report import report
    from langchain_qwen_image.bulk.request import BulkRequest

    lines: list[int] = []

    def requests() -> Iterator[BulkRequest]:
        for row in rows:
            lines[:] = [row.line]
            yield BulkRequest(row.arguments, row.id)

    for one in report(generator, requests(), run=run):
        yield record(lines[0], one.request.id, one.status, one.path, one.cost_usd)


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False)
    return f"{text}\n".encode(errors="backslashreplace")


def _harmless(cell: object) -> str:
    """Return a cell that no spreadsheet computes; `index.jsonl` has the ids as they are."""
    text = str(cell)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _head(out: str, name: str) -> str | None:
    """Return the first line of what has the name; None if nothing has, empty if it is no file."""
    if is_bucket_address(out):
        with _asking(out) as bucket:
            start = bucket.start_of(name, _MAX_HEAD)
        return None if start is None else _first_line(BytesIO(start))
    path = Path(out, name)
    if not path.exists() and not path.is_symlink():
        return None
    if not path.is_file():
        return "not a file"
    with path.open("rb") as file:
        return _first_line(file)


def _is_ours(name: str, head: str) -> bool:
    if name == _CSV:
        return head == _CSV_HEAD
    try:
        record = json.loads(head or "{}")
    except ValueError:
        return False
    return not head or (isinstance(record, dict) and tuple(record) == _COLUMNS)


def _first_line(file: IO[bytes]) -> str:
    return file.readline(_MAX_HEAD).decode(errors="replace").rstrip("\r\n")
