"""What can go wrong with a fetch, and the sentences for it; no sentence holds a link's query."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import httpx

from langchain_qwen_image.download.url import place
from langchain_qwen_image.errors import DownloadError
from langchain_qwen_image.wire.links import expires_at, is_inline
from langchain_qwen_image.wire.retry import retry_after

_AGAIN_STATUSES = {408, 425, 429}
_GONE_STATUSES = {403, 404, 410}
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_DETAIL = 160


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a fetch did not bring the image.

    Attributes:
        what: A clause for a sentence.
        again: Whether another attempt may bring it.
        lasting: Whether no later attempt can bring it either.
        expired: Whether the link has expired.
        not_an_image: Whether what came is no image.
        status_code: HTTP status of the answer, if one came.
        retry_after: Seconds that the answer asked to wait.
    """

    what: str
    again: bool = False
    lasting: bool = False
    expired: bool = False
    not_an_image: bool = False
    status_code: int | None = None
    retry_after: float | None = None


class FetchError(Exception):
    """Carries a failure out of the depth of an attempt."""

    def __init__(self, failure: Failure) -> None:
        """Take the failure."""
        super().__init__(failure.what)
        self.failure = failure


def to_error(failure: Failure, link: str, now: datetime) -> DownloadError:
    """Say what happened, whether the image still exists, until when, and what to do."""
    error = DownloadError(
        f"The image is paid for, but {_story(failure, link)} "
        f"{_advice(failure, link, now)} Do not generate it again.",
        status_code=failure.status_code,
        retry_after=failure.retry_after,
    )
    error.not_an_image = failure.not_an_image
    return error


def refused(
    status: int, headers: Mapping[str, str], body: bytes, link: str, now: datetime
) -> Failure:
    """Say what an answer other than an image means; `body` is the beginning of what came."""
    expiry = expires_at(link)
    code = _quoted_code(body, link)
    has_passed = expiry is not None and expiry <= now
    return Failure(
        f"the host answered {status}{code}",
        again=status in _AGAIN_STATUSES or status >= 500,
        expired=status in _GONE_STATUSES and (has_passed or _says_expired(status, body)),
        status_code=status,
        retry_after=retry_after(headers, now),
    )


def disturbed(error: httpx.TransportError) -> Failure:
    """Say what a failed exchange means, in our own words: a server's may quote the link."""
    if isinstance(error, httpx.ConnectError):
        detail = " ".join(str(error).split())[:_DETAIL]
        return Failure(f"no connection was made ({detail}){_advice_on(detail)}", again=True)
    if isinstance(error, httpx.ProxyError):
        return Failure("the proxy did not make the connection", again=True)
    if isinstance(error, httpx.TimeoutException):
        return Failure("the download took too long", again=True)
    return Failure("the connection was lost before the download was complete", again=True)


def _advice_on(detail: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" not in detail:
        return ""
    return "; set SSL_CERT_FILE, or `verify` of an http_client, to the CA of this network"


def _story(failure: Failure, link: str) -> str:
    expiry = expires_at(link)
    if not failure.expired:
        return f"could not be fetched from {place(link)}: {failure.what}."
    when = f" at {_moment(expiry)}" if expiry else ""
    return f"its link to {place(link)} expired{when}: {failure.what}."


def _advice(failure: Failure, link: str, now: datetime) -> str:
    expiry = expires_at(link)
    if failure.expired:
        return "It can no longer be fetched from there."
    if is_inline(link) or failure.lasting:
        return "Fetching it again will not help."
    if expiry is None:
        return (
            "Fetch it again soon: the link does not say when it expires (usually after 24 hours)."
        )
    if expiry <= now:
        return f"Its link was valid until {_moment(expiry)}, so it may be gone."
    return f"Fetch it again: its link is valid until {_moment(expiry)}."


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _says_expired(status: int, body: bytes) -> bool:
    return status == 403 and b"expired" in body.lower()


def _quoted_code(body: bytes, link: str) -> str:
    """Return the code of OSS's or S3's XML; a longer quote could hold the signature."""
    found = _CODE.search(body)
    code = found[1].decode("ascii") if found else ""
    return f" {code}" if code and code not in link else ""
