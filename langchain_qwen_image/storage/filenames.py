"""Names for images: date, a slug of the prompt, a short id; good on every file system."""

import hashlib
import os
import re
import secrets
from base64 import b32encode
from datetime import datetime
from unicodedata import category, normalize

_READ = 400
_SLUG_CHARACTERS = 48
_SLUG_BYTES = 96
_ITEM_CHARACTERS = 32
_ITEM_BYTES = 32
_ID_CHARACTERS = 8
_DERIVED_CHARACTERS = 10  # of a million images two would have one id in 1 of 2,000 accounts
_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: none looks like another
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that are not seen (Unicode: Default_Ignorable_Code_Point)."""

OUR_STEM = re.compile(r"\d{4}-\d\d-\d\d-.+-[0-9a-z]{4,16}(?:-[0-9a-f]{6})?")
"""What `stem` returns, with what is added where the name was taken."""


def new_image_id() -> str:
    """Return a short random id, 8 characters, safe in file names and easy to say."""
    number = secrets.randbits(5 * _ID_CHARACTERS)
    return "".join(_ID_LETTERS[number >> 5 * place & 31] for place in range(_ID_CHARACTERS))


def image_id(call_id: str, position: int) -> str:
    """Return the short id of an image of a call, 10 characters: the same at each reading."""
    digest = hashlib.sha256(f"{call_id}/{position}".encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    return "".join(_ID_LETTERS[number >> 5 * place & 31] for place in range(_DERIVED_CHARACTERS))


def stem(
    prompt: str,
    image_id: str,
    created_at: datetime,
    *,
    item_id: str | None = None,
    ascii_only: bool = False,
) -> str:
    """Return a name without suffix, such as `2026-11-23-a-red-fox-in-the-snow-k3v9q2xd`.

    With `item_id="SKU 7"` it is `2026-11-23-a-red-fox-in-the-snow-sku-7-k3v9q2xd`.

    At most 130 bytes long, in lower case, of letters, digits and hyphens only. It begins with a
    digit, so it is no reserved name, no hidden file and no option of a command.
    """
    item = _words(item_id or "", _ITEM_CHARACTERS, _ITEM_BYTES, ascii_only=ascii_only)
    room = _SLUG_BYTES - len(item.encode()) - 1 if item else _SLUG_BYTES
    words = _words(prompt, _SLUG_CHARACTERS, room, ascii_only=ascii_only) or "image"
    parts = [created_at.date().isoformat(), words, item, short(image_id)]
    return "-".join(filter(None, parts))


def slug(prompt: str, *, ascii_only: bool = False) -> str:
    """Return the beginning of a prompt as a part of a file name, `image` when nothing is left.

    Letters of every script stay, in the form NFKC; controls, signs and emoji become hyphens.
    """
    return _words(prompt, _SLUG_CHARACTERS, _SLUG_BYTES, ascii_only=ascii_only) or "image"


def short(image_id: str) -> str:
    """Return a short id in lower-case letters and digits, the same for the same `image_id`."""
    if re.fullmatch("[a-z0-9]{4,16}", image_id):
        return image_id
    digest = hashlib.sha256(image_id.encode(errors="replace")).digest()
    return b32encode(digest).decode().lower()[:_ID_CHARACTERS]


def _words(text: str, max_characters: int, max_bytes: int, *, ascii_only: bool) -> str:
    """Return the beginning of a text in letters, digits and hyphens."""
    plain = _INVISIBLE.sub("", normalize("NFKC", normalize("NFKC", text[:_READ]).lower()))
    letters = "".join(c if _stays(c, ascii_only=ascii_only) else "-" for c in plain)
    words = re.sub("-+", "-", letters).strip("-")[:max_characters]
    cut = words.encode()[:max_bytes].decode(errors="ignore").strip("-")
    if _fits_file_system(cut):
        return cut
    return _words(text, max_characters, max_bytes, ascii_only=True)


def _stays(character: str, *, ascii_only: bool) -> bool:
    if character.isascii():
        return character.isalnum()
    return not ascii_only and category(character)[0] in "LMN"


def _fits_file_system(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True
