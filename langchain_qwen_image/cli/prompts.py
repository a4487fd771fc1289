"""Prompts in a file: a line each, or rows with columns named as the arguments."""

import csv
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import typer

_ARGUMENTS = ("prompt", "negative_prompt", "prompt_extend", "watermark", "size")
_KINDS = {".txt": "txt", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

Row = tuple[int, dict[str, Any]]
"""The number of a line, from 1, and the arguments that it gives."""


class Prompts:
    """Reads a file from its beginning each time; a row at a time is in memory."""

    def __init__(self, source: str, kind: str | None) -> None:
        """Open the file, or copy standard input into a temporary one.

        Raises:
            typer.BadParameter: It cannot be read, or nothing says what kind it is.
        """
        self.name = "standard input" if source == "-" else source
        self._kind = kind or ("txt" if source == "-" else _kind_of(Path(source)))
        self._file = _opened(source)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows; what is blank is left out.

        Raises:
            typer.BadParameter: A line cannot be read; the message has its number.
        """
        self._file.seek(0)
        return _READERS[self._kind](_Lines(self._file, self.name))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Lines:
    """Yields the lines as text, and knows the number of the last one."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name, self.number = file, name, 0

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            self.number += 1
            try:
                yield line.decode("utf-8-sig" if self.number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise self.problem("it is not UTF-8") from None

    def problem(self, what: str) -> typer.BadParameter:
        """Return an error that says where it is."""
        return typer.BadParameter(f"{self._name}, line {self.number}: {what}.")


def _read_txt(lines: _Lines) -> Iterator[Row]:
    for line in lines:
        if prompt := line.strip():
            yield lines.number, {"prompt": prompt}


def _read_jsonl(lines: _Lines) -> Iterator[Row]:
    for line in lines:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise lines.problem("it is not JSON") from None
        if isinstance(row, str):
            row = {"prompt": row}
        if not isinstance(row, dict):
            raise lines.problem("expected a JSON object with the arguments, or a prompt")
        yield lines.number, _lookup(row, lines)


def _read_csv(lines: _Lines) -> Iterator[Row]:
    rows = csv.reader(lines, strict=True)
    columns: list[str] | None = None
    try:
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                columns = [cell.strip() for cell in cells]
                _lookup(dict.fromkeys(columns), lines)
                if "prompt" not in columns or len(set(columns)) < len(columns):
                    raise lines.problem(
                        "the first line must name the columns, once each: prompt, …"
                    )
                continue
            if len(cells) > len(columns):
                raise lines.problem(f"expected {len(columns)} cells, got {len(cells)}")
            named = zip(columns, cells, strict=False)  # cells left off at the end are blank
            yield lines.number, {name: cell for name, cell in named if cell.strip()}
    except csv.Error as error:
        raise lines.problem(str(error)) from None


def _lookup(row: Mapping[str, Any], lines: _Lines) -> dict[str, Any]:
    """Refuse a column of another name: a parameter that is misspelt would be paid for in vain."""
    for name in row:
        if name not in _ARGUMENTS:
            raise lines.problem(
                f"{str(name)[:40]!r} is not an argument; there are {', '.join(_ARGUMENTS)}"
            )
    return dict(row)


_READERS: dict[str, Callable[[_Lines], Iterator[Row]]] = {
    "txt": _read_txt,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}


def _kind_of(path: Path) -> str:
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise typer.BadParameter(
            f"{path} ends in none of {', '.join(_KINDS)}; say what it is with --format."
        )
    return kind


def _opened(source: str) -> IO[bytes]:
    if source != "-":
        try:
            return Path(source).open("rb")
        except OSError as error:
            raise typer.BadParameter(f"{source} cannot be read: {error.strerror}.") from None
    # Read twice: once to say what it will cost, once to do it.
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by who reads it
    shutil.copyfileobj(sys.stdin.buffer, file)
    return file
