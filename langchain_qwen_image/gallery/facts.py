"""What a sidecar, or else an account, says about an image; nothing in it is trusted."""

import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from os import PathLike
from pathlib import Path

from langchain_qwen_image.account.account import Account
from langchain_qwen_image.account.places import books_of, books_to_read
from langchain_qwen_image.account.records import CallRecord
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.errors import AccountError, ConfigurationError, QwenImageError
from langchain_qwen_image.storage.paths import file_name
from langchain_qwen_image.storage.sidecar import Sidecar

_MAX_CHARACTERS = 5_000
"""Shown of a prompt; upstream reads 800."""
_SIZE = re.compile(r"([1-9]\d{0,4})\s*[*x×]\s*([1-9]\d{0,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an image; None, or the default, where nothing is.

    Attributes:
        size: Width and height in pixels, such as `1328×1328`.
        cost_usd: Price of the whole call in US dollars; 0 in the sandbox.
        created_at: When the answer came, in UTC.
    """

    prompt: str
    negative_prompt: str
    size: str | None
    watermark: bool
    prompt_extend: bool
    cost_usd: Decimal | None
    created_at: datetime | None
    request_id: str | None
    model: str | None
    sandbox: bool
    call_id: str | None = None

    @property
    def call(self) -> tuple[object, ...]:
        """The call that made the image; images of one call share its price."""
        told = self.call_id or self.request_id  # sidecars before schema 1 have no call_id
        return (told,) if told else (self.created_at, self.prompt)


def facts_of(sidecar: Sidecar) -> Facts | None:
    """Return what a sidecar tells; None if it has no prompt."""
    if sidecar.prompt is None:
        return None
    given = sidecar.parameters
    return Facts(
        prompt=_text(sidecar.prompt),
        negative_prompt=_text(given.get("negative_prompt")),
        size=_size(sidecar),
        watermark=given.get("watermark") is not False,
        prompt_extend=given.get("prompt_extend") is not False,
        cost_usd=Decimal(0) if sidecar.sandbox else sidecar.cost_usd,
        created_at=sidecar.created_at,
        request_id=sidecar.request_id,
        model=sidecar.model,
        sandbox=sidecar.sandbox,
        call_id=sidecar.call_id,
    )


def sidecars_of_accounts(
    folder: Path | None, sizes: Mapping[str, int], account: str | PathLike[str] | None = None
) -> dict[str, Sidecar]:
    """Return what accounts know of images by their names, as sidecars would tell it.

    They are the folder's own, which knows nothing where it is missing or cannot be read, and the
    one that is named. That one may have the images of many folders, so the size must be the same
    too. A folder may have been moved since, so paths are not compared.

    Args:
        folder: Where the images are, if in a folder.
        sizes: Their names, each with its size in bytes.
        account: The account that is named; by default by the environment, if there it is.

    Raises:
        AccountError: The account that is named cannot be read.
        ConfigurationError: It is none, or the argument names a file that does not exist.
    """
    named = _named_account(folder, account)
    if not sizes:
        return {}
    found = {} if folder is None else _of_own(folder, sizes)
    if named is not None:
        found |= _look_up(named, sizes, compares=True)
    return found


def _named_account(folder: Path | None, account: str | PathLike[str] | None) -> Account | None:
    try:
        place = books_of(account, folder and folder.absolute(), sandbox=False)
    except AccountError:  # the folder's own books are in two places
        return None
    if place is None or place.source == "folder":
        return None
    found = Account(place.location)
    if place.source == "argument" and found.path is not None and not found.path.is_file():
        raise ConfigurationError(f"There is no account at {found.path}.")
    return found


def _of_own(folder: Path, sizes: Mapping[str, int]) -> dict[str, Sidecar]:
    try:
        path = books_to_read(folder)
        if path.stat().st_size == 0:  # an empty file would become an account
            return {}
        return _look_up(Account(path), sizes, compares=False)
    except (QwenImageError, OSError):
        return {}


def _look_up(account: Account, sizes: Mapping[str, int], *, compares: bool) -> dict[str, Sidecar]:
    with closing(account):
        return {
            name: _as_sidecar(call)
            for call in account.calls(states={"saved"})
            for image in call.images
            if (name := file_name(image.path or "")) in sizes
            and (not compares or image.size_bytes == sizes[name])
        }


def _as_sidecar(call: CallRecord) -> Sidecar:
    return Sidecar(
        call_id=call.id,
        prompt=call.prompt,
        parameters=dict(call.parameters),
        model=call.model,
        request_id=call.request_id,
        cost_usd=call.cost_usd,
        created_at=call.created_at,
        sandbox=call.base_url == SANDBOX_URL,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return value if len(value) <= _MAX_CHARACTERS else f"{value[: _MAX_CHARACTERS - 1]}…"


def _size(sidecar: Sidecar) -> str | None:
    """Return the size that the bytes have, else the one that was asked for."""
    for told in (f"{sidecar.width}×{sidecar.height}", sidecar.parameters.get("size")):
        found = _SIZE.fullmatch(told) if isinstance(told, str) else None
        if found:
            return f"{found[1]}×{found[2]}"
    return None
