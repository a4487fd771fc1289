"""Write and read the signed links of images.

A link carries all that its image needs, so that any process can serve it, also one that is
started later. The form is that of the upstream's object storage (OSS): public, signed in its
query string, valid for 24 hours.
"""

import base64
import hmac
import json
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode

from langchain_qwen_image.sandbox.answer import Answer, storage_error

PictureFormat = Literal["PNG", "JPEG", "WEBP"]
LIFETIME_SECONDS = 24 * 3600
_EXTENSIONS: dict[PictureFormat, str] = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
# No secret: it keeps changed and re-encoded links out, and every sandbox must know it.
_SIGNING_KEY = b"langchain-qwen-image sandbox"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Say which image a link serves."""

    prompt: str
    width: int
    height: int
    watermark: bool
    seed: str
    picture_format: PictureFormat = "PNG"
    failure: str | None = None
    """The link trouble that its GET plays (see `troubles.py`)."""

    @property
    def mime_type(self) -> str:
        """Return the media type of the image."""
        return f"image/{self.picture_format.lower()}"


def write_link(
    picture: ImageInfo, *, now: float, lifetime_seconds: float = LIFETIME_SECONDS
) -> str:
    """Return the path and the signed query string of an image's link; `now` is Unix seconds."""
    day = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")
    path = f"/images/{day}/{picture.seed}.{_EXTENSIONS[picture.picture_format]}"
    call_state = zlib.compress(json.dumps(asdict(picture), ensure_ascii=False).encode(), 9)
    fields = [
        ("Expires", str(int(now + lifetime_seconds))),
        ("OSSAccessKeyId", "sandbox"),
        ("CallState", base64.b64encode(call_state).decode()),
    ]
    signed = [*fields, ("Signature", _sign(path, fields))]
    return f"{path}?{urlencode(signed, quote_via=quote, safe='')}"


def read_link(target: str, *, now: float) -> ImageInfo | Answer:
    """Return the image that a link names, or the storage's refusal."""
    path, _, query_string = target.partition("?")
    *fields, last = parse_qsl(query_string) or [("", "")]
    if last[0] != "Signature" or not hmac.compare_digest(
        last[1].encode(), _sign(path, fields).encode()
    ):
        return storage_error(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    signed = dict(fields)
    if int(signed["Expires"]) < now:
        return storage_error(403, "AccessDenied", "Request has expired.")
    return ImageInfo(**json.loads(zlib.decompress(base64.b64decode(signed["CallState"]))))


def _sign(path: str, fields: list[tuple[str, str]]) -> str:
    text = "\n".join([path, *(f"{name}={value}" for name, value in fields)])
    signature = hmac.digest(_SIGNING_KEY, text.encode(), "sha256")
    return base64.b64encode(signature).decode()
