"""Prompts in a file: one per line, or rows with columns named as the arguments."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from langchain_qwen_image.cli.prompt_text import Lines, open_text
from langchain_qwen_image.cli.terminal import UsageError, amount

_ARGUMENTS = ("prompt", "negative_prompt", "prompt_extend", "watermark", "size")
_FLAGS = ("prompt_extend", "watermark")
_KINDS = {".txt": "txt", ".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_ID = "--id-column"
_DELIMITERS = ",;\t|"
_MAX_ID = 255


class Row(NamedTuple):
    """One prompt of a file.

    Attributes:
        line: Where it ends, from 1.
        arguments: What the row gives.
        id: The caller's own id of it, where `--id-column` names one.
    """

    line: int
    arguments: dict[str, Any]
    id: str | None = None


class Prompts:
    """Reads a file from its beginning each time; a row at a time is in memory."""

    def __init__(self, source: str, kind: str | None, id_column: str | None = None) -> None:
        """Open the file, or copy standard input into a temporary one.

        Raises:
            UsageError: It cannot be read, or nothing says what kind it is.
        """
        self.name = "standard input" if source == "-" else source
        kind = kind or ("txt" if source == "-" else _kind_of(Path(source)))
        if id_column is not None and kind == "txt":
            raise UsageError("--id-column needs a .csv or .jsonl file.")
        if id_column is not None and _argument(id_column) in _ARGUMENTS:
            raise UsageError(f"--id-column names an argument: {id_column!r}.")
        self._read = _READERS[kind]
        self._id_column = id_column
        self._file = open_text(source)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows; what is blank is left out.

        Raises:
            UsageError: A line cannot be read; the message has its number.
        """
        return self._read(Lines(self._file, self.name), self._id_column)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read_txt(lines: Lines, _: str | None) -> Iterator[Row]:
    from langchain_qwen_image.schemas import is_blank

    for line in lines:
        # Unicode's other line ends too: prompts that run together are one image of both.
        for part in line.splitlines():
            if not is_blank(part):
                yield Row(lines.number, {"prompt": part.strip().strip("\ufeff\u200b").strip()})


def _read_jsonl(lines: Lines, id_column: str | None) -> Iterator[Row]:
    from langchain_qwen_image.schemas import is_blank

    for line in lines:
        if is_blank(line):
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise lines.problem("it is not JSON") from None
        if isinstance(record, str):
            record = {"prompt": record}
        if not isinstance(record, dict):
            raise lines.problem("expected a JSON object with the arguments, or a prompt")
        yield _Columns(list(record), lines, id_column).row(list(record.values()))


def _read_csv(lines: Lines, id_column: str | None) -> Iterator[Row]:
    from langchain_qwen_image.schemas import is_blank

    source = iter(lines)
    header, delimiter = _header(source, id_column)
    if header is None:
        return
    columns = _Columns(header, lines, id_column)
    columns.check_header()
    try:
        for cells in csv.reader(source, strict=True, delimiter=delimiter):
            if all(map(is_blank, cells)):
                continue
            if len(cells) > len(header):
                raise lines.problem(
                    f"expected {amount(len(header), 'cell')}, got {len(cells)}; a cell that has "
                    f"{_named(delimiter)} needs quotation marks"
                )
            if [cell.strip() for cell in cells] == header:
                raise lines.problem("the header line is repeated")
            # Cells that are left off at the end are blank, and a blank cell is not given.
            yield columns.row([None if is_blank(cell) else cell for cell in cells])
    except csv.Error as error:
        raise lines.problem(str(error)) from None


def _header(source: Iterator[str], id_column: str | None) -> tuple[list[str] | None, str]:
    """Return the names of the columns, and the delimiter with which most of them are known."""
    from langchain_qwen_image.schemas import is_blank

    delimiters: Iterable[str] = _DELIMITERS
    for line in source:
        if is_blank(line):
            continue
        if match := re.fullmatch(r"sep=(.)\s*", line):  # Excel's own hint
            delimiters = match[1]
            continue
        found = [([*_split(line, delimiter)], delimiter) for delimiter in delimiters]
        return max(found, key=lambda one: sum(_is_known(name, id_column) for name in one[0]))
    return None, ","


def _split(line: str, delimiter: str) -> Iterator[str]:
    try:
        return (cell.strip() for cell in next(csv.reader([line], delimiter=delimiter)))
    except csv.Error:
        return iter([line])


def _is_known(name: str, id_column: str | None) -> bool:
    return _argument(name) in _ARGUMENTS or _is_id(name, id_column)


def _is_id(name: str, id_column: str | None) -> bool:
    return id_column is not None and name.strip().casefold() == id_column.strip().casefold()


def _argument(name: str) -> str:
    """Return the argument that a column's name means: `Negative Prompt` is `negative_prompt`."""
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


class _Columns:
    """The names of a row's cells, each an argument or the id."""

    def __init__(self, names: Sequence[str], lines: Lines, id_column: str | None) -> None:
        """Take the names.

        Raises:
            UsageError: One is not known: a misspelt parameter would be paid for.
                Or it is there twice.
        """
        self._lines = lines
        self._id_column = id_column
        self.names = [_ID if _is_id(name, id_column) else _argument(name) for name in names]
        for name, meaning in zip(names, self.names, strict=True):
            if meaning not in (*_ARGUMENTS, _ID):
                raise lines.problem(
                    f"{name[:40]!r} is not an argument ({', '.join(_ARGUMENTS)}); "
                    f"if it identifies the rows, use --id-column {name[:40]!r}"
                )
        if len(set(self.names)) < len(self.names):
            raise lines.problem("a column appears twice")

    def check_header(self) -> None:
        """Check the first line of a table.

        Raises:
            UsageError: It does not name the prompt, or not the id.
        """
        if "prompt" not in self.names:
            raise self._lines.problem("the first line must name the columns: prompt, …")
        if self._id_column is not None and _ID not in self.names:
            raise self._lines.problem(f"it names no column {self._id_column!r} for --id-column")

    def row(self, cells: Sequence[Any]) -> Row:
        """Return a row; None is a cell that is not given.

        Raises:
            UsageError: Its id is missing, or cannot be one.
        """
        given = dict(zip(self.names, cells, strict=False))
        row_id = None if self._id_column is None else self._id(given.pop(_ID, None))
        arguments = {name: cell for name, cell in given.items() if cell is not None}
        for name in _FLAGS:
            if isinstance(arguments.get(name), str):
                arguments[name] = arguments[name].strip()
        return Row(self._lines.number, arguments, row_id)

    def _id(self, cell: Any) -> str:
        is_id = isinstance(cell, str | int) and not isinstance(cell, bool)
        text = str(cell).strip() if is_id else ""
        if not 1 <= len(text) <= _MAX_ID or not text.isprintable():
            raise self._lines.problem(
                f"expected an id of 1 to {_MAX_ID} printable characters in {self._id_column!r}"
            )
        return text


_READERS: dict[str, Callable[[Lines, str | None], Iterator[Row]]] = {
    "txt": _read_txt,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}


def _named(delimiter: str) -> str:
    return {",": "a comma", ";": "a semicolon", "\t": "a tab"}.get(delimiter, repr(delimiter))


def _kind_of(path: Path) -> str:
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"Unknown extension: {path.name}. Use --format.")
    return kind
