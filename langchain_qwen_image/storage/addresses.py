"""Addresses of places for images in an object store, such as `s3://bucket/prefix`.

The schemes are those of `obstore` that name a bucket; its https:// addresses of some hosts are left
out, because they cannot be told from links.
"""

import os
import re
from typing import TypeGuard

from langchain_qwen_image.errors import ConfigurationError

__all__ = [
    "KNOWN",
    "bucket_address",
    "is_bucket_address",
    "parent_of",
    "scheme_of",
]

KNOWN = "s3://, gs://, az:// or abfss://"
_WITH_ACCOUNT = {"abfs", "abfss"}
_SAME = {"s3a": "s3", "azure": "az", "adl": "az"}
_SCHEMES = {"s3", "gs", "az", *_SAME, *_WITH_ACCOUNT}
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]+):[/\\]")
"""Two letters at least: `C:/` is a drive. One slash is enough: `Path("s3://b")` is `s3:/b`."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CONTAINER = re.compile(r"[A-Za-z0-9$][A-Za-z0-9-]*@[A-Za-z0-9.-]+")


def scheme_of(path: str | os.PathLike[str]) -> str | None:
    """Return the scheme of what is an address and no path of this machine, else None."""
    found = _SCHEME.match(os.fsdecode(path))
    return found[1].lower() if found else None


def is_bucket_address(given: object) -> TypeGuard[str | os.PathLike[str]]:
    """Say whether something names a place in an object store that is known here."""
    return isinstance(given, str | os.PathLike) and scheme_of(given) in _SCHEMES


def bucket_address(given: str | os.PathLike[str], option: str = "save_to") -> str:
    """Return the address of a bucket, and of the prefix in it, in its one spelling.

    It ends in no slash, and its scheme is the shortest of those that mean the same, in lower case.
    `Path("s3://b")` is understood.

    Args:
        given: What `is_bucket_address` is true of.
        option: The setting or the option of a command that it was given as, for messages.

    Raises:
        ConfigurationError: It names no bucket, or has what an address of a bucket cannot have; the
            message shows none of what may be a secret.
    """
    text = os.fsdecode(given).strip()
    scheme, _, rest = text.partition(":")
    scheme = _SAME.get(scheme.lower(), scheme.lower())
    bucket, *prefix = rest.lstrip("/").rstrip("/").split("/")
    problem = _problem(rest, bucket, prefix, has_account=scheme in _WITH_ACCOUNT)
    if problem is not None:
        raise ConfigurationError(
            f"{option} is an address of an object store that cannot be used: {problem}. Expected "
            f"an address such as {_example(scheme)}. Credentials come from the environment."
        )
    return f"{scheme}://{'/'.join([bucket, *prefix])}"


def parent_of(address: str) -> str:
    """Return the address of the place that an image is in, by the image's own address."""
    return address.rpartition("/")[0]


def _problem(rest: str, bucket: str, prefix: list[str], *, has_account: bool) -> str | None:
    """Say what speaks against an address; no part that could hold a secret is shown."""
    if any(sign in rest for sign in "?#"):
        return "it has a query or a fragment"
    if "\\" in rest or not rest.isprintable():
        return "it has a backslash or a character that cannot be seen"
    if any(part in ("", ".", "..") for part in prefix):
        return "a part of its path is empty, '.' or '..'"
    try:
        rest.encode()
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if (_CONTAINER if has_account else _BUCKET).fullmatch(bucket):
        return None
    if "@" in bucket and not has_account:
        return "it has a user or a password"
    what = "container@account" if has_account else "bucket"
    return f"it names no {what}"


def _example(scheme: str) -> str:
    if scheme in _WITH_ACCOUNT:
        return f"{scheme}://container@account.dfs.core.windows.net/prefix"
    return f"{scheme}://bucket/prefix"
