"""Where the user wants an image: a file, a folder, or standard output."""

import os
import sys
from pathlib import Path

from langchain_qwen_image.cli.output_stores import OneFile, StandardOutput
from langchain_qwen_image.cli.terminal import UsageError
from langchain_qwen_image.defaults import DATABASE_VARIABLE
from langchain_qwen_image.environment import sandbox_from_environment
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.addresses import (
    KNOWN,
    bucket_address,
    is_bucket_address,
    scheme_of,
)
from langchain_qwen_image.storage.opening import ImageStore
from langchain_qwen_image.storage.paths import checked_folder, nearest_existing


class Output:
    """The place that the user named, checked before anything is paid for.

    Attributes:
        save_to: What the generator takes.
        folder: Where the account is.
        is_stdout: Whether standard output is for the image's bytes alone.
    """

    def __init__(self, output: str | None, *, force: bool, as_json: bool) -> None:
        """Take what was given with `-o`.

        Args:
            output: A file, a folder, an address of an object store, `-`, or None for the current
                folder.
            force: Let a file be overwritten.
            as_json: Whether standard output is wanted for something else.

        Raises:
            UsageError: It cannot be written.
        """
        self.is_stdout = output == "-"
        self.folder = Path.cwd()
        self.save_to: Path | str | ImageStore = self.folder
        if output is None:
            check_folder(self.folder)
        elif self.is_stdout:
            _check_stdout(as_json=as_json)
            check_folder(self.folder)
            self.save_to = StandardOutput(self.folder)
        elif is_bucket_address(output):
            self.save_to = checked_bucket(str(output))
        elif is_folder(output):
            self.save_to = self.folder = checked_new_folder(output)
        else:
            path = checked_output(output, force=force)
            self.folder = path.parent
            self.save_to = OneFile(path, overwrite=force)


def is_folder(output: str) -> bool:
    """Say whether a path that the user gave is a folder's: one that exists, or ends in `/`."""
    ends = ("/", os.sep, os.altsep or "/")
    return output.endswith(ends) or Path(output).is_dir()


def checked_bucket(output: str, option: str = "-o") -> str:
    """Return the address of a place in an object store, in its one spelling.

    Raises:
        UsageError: It cannot be one, or looks like the name of an image.
    """
    try:
        address = bucket_address(output, option)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    if address.lower().endswith((".png", ".jpg", ".jpeg", ".webp")):
        raise UsageError(
            f"{option} {address} names an image. Give the bucket and a prefix: images there have "
            "names of their own."
        )
    return address


def checked_place(out: str, account: str | None, *, sandbox: bool | None) -> str:
    """Return what `--out` names: a folder as it was given, or an address in its one spelling.

    Raises:
        UsageError: Images cannot be saved there, or no account can be.
    """
    if is_bucket_address(out):
        out = checked_bucket(str(out), "--out")
        check_account(out, account, sandbox=sandbox)
    else:
        checked_new_folder(out, "--out")
    return out


def check_account(place: object, account: str | None, *, sandbox: bool | None) -> None:
    """Check that calls are recorded somewhere: books cannot be in an object store.

    Args:
        place: Where images are saved.
        account: What `--account` says.
        sandbox: What `--sandbox` or `--no-sandbox` says; None for what the environment says.

    Raises:
        UsageError: Images go to an object store, and no account is named.
    """
    if account is not None or not is_bucket_address(place):
        return
    sandbox = sandbox_from_environment() if sandbox is None else sandbox
    if sandbox or not os.environ.get(DATABASE_VARIABLE, "").strip():
        ways = "--account" if sandbox else f"--account, or set {DATABASE_VARIABLE}"
        raise UsageError(
            "An account cannot be in an object store. Pass a file or a postgresql:// address as "
            f"{ways}."
        )


def checked_new_folder(output: str, option: str = "-o") -> Path:
    """Return the absolute path of a folder, which need not exist yet.

    Raises:
        UsageError: It cannot be written, or is none.
    """
    _check_path(output, option)
    try:
        folder = checked_folder(output, option)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    check_folder(nearest_existing(folder))
    return folder


def checked_output(output: str, *, force: bool) -> Path:
    """Return the absolute path of a file that an image may be written to.

    Raises:
        UsageError: It may not, or cannot.
    """
    _check_path(output, "-o")
    path = Path(os.path.abspath(output))  # noqa: PTH100, no symlink is followed
    exists = _exists(path, output)
    if exists and not path.is_file() and not path.is_symlink():
        hint = "; use -o - for standard output" if path.is_char_device() or path.is_fifo() else ""
        raise UsageError(f"{output} is not a file{hint}.")
    if exists and not force:
        raise UsageError(f"{output} exists; --force overwrites it.")
    check_folder(path.parent)
    return path


def check_folder(folder: Path) -> None:
    """Check that an image can be written into a folder.

    Raises:
        UsageError: It cannot.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"The folder {folder} cannot be written.")


def _check_stdout(*, as_json: bool) -> None:
    if as_json:
        raise UsageError("-o - and --json both write to standard output; use only one.")
    if sys.stdout is None:  # Python's own word for one that was closed, as by `>&-`
        raise UsageError("-o - writes to standard output, which is closed.")
    if sys.stdout.isatty():
        raise UsageError(
            "-o - writes the image's bytes to standard output, which is a terminal; redirect it "
            "to a file or a program."
        )


def _check_path(output: str, option: str) -> None:
    if output in ("", "-"):
        raise UsageError(f"{option} needs a path.")
    if (scheme := scheme_of(output)) is not None:
        raise UsageError(
            f"{option} {output} is an address ({scheme}:). Give a path of this machine or an "
            f"address of an object store ({KNOWN})."
        )


def _exists(path: Path, output: str) -> bool:
    """Say whether anything has the name, also a symbolic link that leads nowhere."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}.") from None
    except ValueError:
        raise UsageError(f"{output!r} cannot be a path.") from None
    return True
