"""The lines of a prompt file, whatever wrote it; what cannot be read is refused by its number."""

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from langchain_qwen_image.cli.terminal import UsageError

_MARKS = (  # the longest first: UTF-32's begins with UTF-16's
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_SAMPLE = 4096
_PADDING = "\x00\x1a"
"""NUL and Ctrl-Z fill up the end of a file on some systems."""


def open_text(source: str) -> IO[bytes]:
    """Open a file for several readings; `-` is standard input.

    Raises:
        UsageError: It cannot be read.
    """
    if source == "-":
        return _copy(sys.stdin.buffer)
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - closed by who reads it
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}.") from None
    if file.seekable():
        return file
    with file:  # a pipe, such as a shell's <(…)
        return _copy(file)


class Lines:
    """Yields the lines of a file as text, with their ends, and knows the last one's number."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        """Take the file and its name for messages."""
        self.number = 0
        self._file, self._name = file, name

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        encoding = _encoding(self._file.read(_SAMPLE))
        self._file.seek(0)
        errors = "surrogateescape" if encoding == "utf-8-sig" else "replace"
        text = io.TextIOWrapper(self._file, encoding, errors, newline="")
        try:
            for line in text:
                self.number += 1
                yield self._checked(line, encoding)
        finally:
            with suppress(ValueError):  # the file is closed already
                text.detach()

    def problem(self, what: str) -> UsageError:
        """Return an error that says where it is."""
        return UsageError(f"{self._name}, line {self.number}: {what}.")

    def _checked(self, line: str, encoding: str) -> str:
        content = line.rstrip("\r\n")
        end = line[len(content) :]
        # A mark in the middle comes from files that were joined.
        content = content.rstrip(_PADDING).removeprefix("\ufeff")
        if any("\udc80" <= character <= "\udcff" for character in content):
            raise self.problem("it is not UTF-8; save the file as UTF-8")
        if "\ufffd" in content:
            raise self.problem(
                f"it has a character that is not {encoding.removesuffix('-sig').upper()}, or that "
                "was lost in a conversion (U+FFFD)"
            )
        if "\x00" in content:
            raise self.problem("it has NUL characters; save the file as UTF-8")
        if "\x1a" in content:
            raise self.problem("it has a Ctrl-Z character")
        return content + end


def _encoding(sample: bytes) -> str:
    """Return the encoding by the byte order mark, or by the zeros of UTF-16 without one."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    text = sample.rstrip(_PADDING.encode())
    # Mostly Latin text; other text of UTF-16 without a mark is not UTF-8, and is refused.
    for parity, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = text[parity::2].count(0)
        if zeros * 2 > len(text) // 2 and 0 not in text[1 - parity :: 2]:
            return encoding
    return "utf-8-sig"


def _copy(source: IO[bytes]) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by who reads it
    shutil.copyfileobj(source, file)
    return file
