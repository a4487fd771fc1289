"""What an image's link says by itself: when it expires, and what of it may be shown."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def without_query(url: str) -> str:
    """Return the link without its query, which is the secret of a signed link.

    A `data:` URI is cut to its media type: the rest is the image.
    """
    if is_inline(url):
        return url.partition(",")[0][:60]
    return url.partition("?")[0].partition("#")[0]


def is_inline(url: str) -> bool:
    """Say whether the link is the image itself, as a `data:` URI."""
    return url[:5].lower() == "data:"


def expires_at(url: str) -> datetime | None:
    """Return when the link dies, if it says so.

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
