"""When an image that was paid for is lost: its link brings nothing any more, by two witnesses."""

from datetime import datetime

from langchain_qwen_image.account.records import ImageRecord
from langchain_qwen_image.errors import DownloadError
from langchain_qwen_image.wire.links import is_inline

INLINE = "It came inside the answer and was not written to the disk."
# By these a host says that a link brings nothing any more (gateway-facts: an expired one is 403).
_GONE = (403, 404, 410)


def expired(image: ImageRecord, now: datetime) -> str | None:
    """Return since when a link has expired by this machine's clock; None if it has not."""
    if image.expires_at is None or image.expires_at > now:
        return None
    return f"Its link expired at {image.expires_at:%Y-%m-%d %H:%M} UTC by this machine's clock."


def why_lost(image: ImageRecord, error: BaseException, now: datetime) -> str | None:
    """Return why an image is lost that could not be fetched just now; None if it is not.

    A clock may be wrong (WSL#10006), so that its host must say so too.
    """
    if is_inline(image.url):
        return INLINE
    since = expired(image, now)
    is_gone = isinstance(error, DownloadError) and error.status_code in _GONE
    return f"{since} {error}" if since is not None and is_gone else None
