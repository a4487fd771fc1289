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
_ID_CHARACTERS = 8
_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: none looks like another


def new_image_id() -> str:
    """Return a short random id, 8 characters, safe in file names and easy to say."""
    number = secrets.randbits(5 * _ID_CHARACTERS)
    return "".join(_ID_LETTERS[number >> 5 * place & 31] for place in range(_ID_CHARACTERS))


def stem(prompt: str, image_id: str, created_at: datetime, *, ascii_only: bool = False) -> str:
    """Return a name without suffix, such as `2026-11-23-a-red-fox-in-the-snow-k3v9q2xd`.

    At most 130 bytes long, in lower case, of letters, digits and hyphens only. It begins with a
    digit, so it is no reserved name, no hidden file and no option of a command.
    """
    return (
        f"{created_at.date().isoformat()}-{slug(prompt, ascii_only=ascii_only)}-{short(image_id)}"
    )


def slug(prompt: str, *, ascii_only: bool = False) -> str:
    """Return the beginning of a prompt as a part of a file name, `image` when nothing is left.

    Letters of every script stay, in the form NFKC; controls, signs and emoji become hyphens.
    """
    text = normalize("NFKC", normalize("NFKC", prompt[:_READ]).lower())
    saved = "".join(c if _stays(c, ascii_only=ascii_only) else "-" for c in text)
    words = re.sub("-+", "-", saved).strip("-")[:_SLUG_CHARACTERS]
    cut = words.encode()[:_SLUG_BYTES].decode(errors="ignore").strip("-")
    if not cut:
        return "image"
    return cut if _fits_file_system(cut) else slug(prompt, ascii_only=True)


def short(image_id: str) -> str:
    """Return a short id in lower-case letters and digits, the same for the same `image_id`."""
    if re.fullmatch("[a-z0-9]{4,16}", image_id):
        return image_id
    digest = hashlib.sha256(image_id.encode(errors="replace")).digest()
    return b32encode(digest).decode().lower()[:_ID_CHARACTERS]


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
