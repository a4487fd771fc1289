"""What can be read from an image's link: where it leads, when it expires, what of it is shown."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_AROUND = " \t\r\n\0\"'`<>\ufeff\u200b"
_LONGEST = 32_768
"""Characters of a link; signed ones have some hundreds."""
IMAGE_SUFFIX = re.compile(r"\.(?:png|jpe?g|webp)\Z", re.IGNORECASE)
_RELATIVE_FILE = re.compile(r"(?:[\w.~%+-]+/)+[\w.~%+-]+\.(?:png|jpe?g|webp)(?:\?|\Z)", re.I)


def absolute_link(text: str, base_url: str = "") -> str | None:
    """Return a link as it can be fetched; None for what is no link.

    Blanks, quotation marks and line ends around it are dropped; inside it nothing but the escapes
    of JSON and HTML is changed, as its signature covers its percent-encoding. Protocol-relative and
    relative links are joined to the gateway's address.

    Args:
        text: The link, as an answer has it.
        base_url: Address of the gateway; without it a relative link is none.
    """
    if len(text) > _LONGEST:
        return None
    link = text.strip(_AROUND)
    if link.partition(":")[2].startswith("\\/\\/") or link.startswith("\\/"):
        link = link.replace("\\/", "/")  # escaped once too often by who wrote the JSON
    link = link.replace("&amp;", "&")  # text of a page: no signed query has a name like `amp;x`
    if not link.isprintable() or " " in link or "\\" in link:
        return None
    try:
        return _joined(link, base_url)
    except ValueError:
        return None


def _joined(link: str, base_url: str) -> str | None:
    base = urlsplit(base_url)
    if link.startswith("//"):
        link = f"{base.scheme or 'https'}:{link}"
    elif base.netloc and len(link) > 1 and (link[0] == "/" or _RELATIVE_FILE.match(link)):
        link = f"{base.scheme}://{base.netloc}/{link.removeprefix('/')}"
    parts = urlsplit(link)
    return link if parts.scheme in {"http", "https"} and parts.hostname else None


def path_of(url: str) -> str:
    """Return the path of a link, without its query."""
    return url.partition("?")[0].partition("#")[0]


def without_query(url: str) -> str:
    """Return the link without its query, which is the secret of a signed link.

    A `data:` URI is cut to its media type: the rest is the image.
    """
    return url.partition(",")[0][:60] if is_inline(url) else path_of(url)


def is_inline(url: str) -> bool:
    """Say whether the link is the image itself, as a `data:` URI."""
    return url[:5].lower() == "data:"


def expires_at(url: str) -> datetime | None:
    """Return when the link expires, if it says so.

    Read are `Expires` in Unix seconds (Alibaba's OSS) and `X-Amz-Date` with `X-Amz-Expires`
    (S3 and R2). Anything else gives None.
    """
    if is_inline(url):
        return None
    try:
        fields = {name.lower(): values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        if "expires" in fields:
            return _from_unix(float(fields["expires"]))
        signed = datetime.strptime(fields["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return signed + timedelta(seconds=float(fields["x-amz-expires"]))
    except (KeyError, ValueError, OverflowError):
        return None


def _from_unix(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < _LATEST else None
