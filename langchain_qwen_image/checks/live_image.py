"""What this package assumes of an image's link and bytes, compared with what came."""

import ipaddress
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from langchain_qwen_image.checks.live_body import images_at, last_object
from langchain_qwen_image.checks.live_evidence import (
    SIZE,
    Assumption,
    LiveCall,
    Result,
    SavedImage,
    judged,
)
from langchain_qwen_image.environment import is_loopback
from langchain_qwen_image.wire.links import expires_at, is_inline

_DAY = timedelta(hours=24)
_TOLERANCE = timedelta(hours=1)
_KNOWN_FIELDS = frozenset(
    "expires ossaccesskeyid signature security-token x-oss-signature x-oss-credential x-oss-date "
    "x-oss-expires x-oss-signature-version x-oss-process x-amz-algorithm x-amz-credential "
    "x-amz-date x-amz-expires x-amz-signature x-amz-signedheaders x-amz-security-token "
    "x-goog-signature x-goog-credential x-goog-date x-goog-expires".split(" ")
)
"""Names of query fields that may be shown; another name may itself be a secret."""
_LABELS = (b"TC260", b"AIGC")
"""Of the label that Chinese law requires of generated images."""
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS = 1000


def link(call: LiveCall, result: Result, base_url: str) -> Iterator[Assumption]:
    """Yield what is assumed of the link, as the answer wrote it."""
    image = result.images[0]
    if not image.url or is_inline(image.url):
        yield judged("Link", "an https:// link", "none: the image is in the response", False)
        return
    written = _as_written(call) or image.url
    is_plain = written == image.url
    found = "absolute, nothing else around it" if is_plain else "not usable as it is"
    yield judged("Link", "absolute, nothing else around it", found, is_plain)
    parts = urlsplit(image.url)
    is_here = is_loopback(base_url) and is_loopback(image.url)
    scheme = f"{parts.scheme}{', on this machine' * is_here}"
    yield judged("Link's scheme", "https", scheme, parts.scheme == "https" or is_here)
    host = parts.hostname or ""
    found = f"{host}{', the gateway itself' * (host == urlsplit(base_url).hostname)}"
    yield judged("Link's host", "any, by name", found, is_here or not _is_address(host))
    yield _lifetime(call, image.url)
    yield judged("Link's signature", "in the query", _fields(parts.query), bool(parts.query))


def _as_written(call: LiveCall) -> str | None:
    if call.last is None:
        return None
    _, names = images_at(last_object(call.last))
    return names[0] if names else None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _lifetime(call: LiveCall, url: str) -> Assumption:
    expires = expires_at(url)
    if expires is None or call.last is None:
        return judged("Link's lifetime", "24 h", "not in the link", None)
    lives = expires - call.last.asked_at - timedelta(seconds=call.last.seconds)
    found = f"{lives.total_seconds() / 3600:.1f} h"
    return judged("Link's lifetime", "24 h", found, abs(lives - _DAY) < _TOLERANCE)


def _fields(query: str) -> str:
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    known = [name for name in names if name.lower() in _KNOWN_FIELDS]
    others = len(names) - len(known)
    return ", ".join(known + [f"{others} other"] * (others > 0)) or "none"


def image(call: LiveCall, result: Result) -> Iterator[Assumption]:
    """Yield what is assumed of the image: how it is served, and its bytes."""
    one = result.images[0]
    saved = one.path is not None
    found = "yes" if saved else one.download_error or str(call.error or "no")
    yield judged("Image saved", "by a GET without the key", found, saved)
    yield from _served(call)
    if saved:
        yield from _bytes(one, call.contents.get(one.url or "", b""))


def _served(call: LiveCall) -> Iterator[Assumption]:
    if not call.image_answers:
        return
    last = call.image_answers[-1]
    statuses = [str(answer.status) for answer in call.image_answers]
    at_once = set(statuses) == {"200"}
    yield judged("Image's response", "status 200 at once", f"status {', '.join(statuses)}", at_once)
    if last.status != 200:
        return
    kind = last.headers.get("content-type", "").partition(";")[0].strip().lower()
    yield judged("Image's Content-Type", "image/png", kind or "none", kind == "image/png")
    coding = last.headers.get("content-encoding")
    is_none = coding is None or coding.strip().lower() == "identity"
    said = "none" if coding is None else coding or "an empty header"
    yield judged("Image's coding", "none", said, is_none)


def _bytes(one: SavedImage, content: bytes) -> Iterator[Assumption]:
    yield judged("Type", "image/png", one.mime_type or "none", one.mime_type == "image/png")
    side = int(SIZE.partition("*")[0])
    found = f"{one.width}×{one.height}, {one.size_bytes or 0:,} bytes"
    yield judged("Size", f"{side}×{side}", found, (one.width, one.height) == (side, side))
    texts = _texts(content)
    label = any(mark in text for text in texts for mark in _LABELS)
    found = f"AI label: {'yes' if label else 'no'}; metadata chunks: {len(texts)}"
    yield judged("Watermark", "visible; look at the image", found, None)


def _texts(content: bytes) -> list[bytes]:
    """Return the text chunks of a PNG, in which an AI label is; of others, what is around data."""
    if not content.startswith(_PNG):
        return [content[:65536]] if content else []
    found, place = [], len(_PNG)
    for _ in range(_MOST_CHUNKS):
        length, name = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
        if name in (b"", b"IEND"):
            break
        if name in (b"tEXt", b"iTXt", b"zTXt", b"eXIf"):
            found.append(content[place + 8 : place + 8 + length])
        place += length + 12
    return found
