"""What an answer can be, besides an error: images, or a place in a queue."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WireAnswer:
    """What a successful answer says: links of the images, never none.

    Attributes:
        urls: Distinct absolute links, trimmed; a `data:` URI where the image came inline or was
            the body itself.
        request_id: Identifier to quote to support.
        finish_reason: Documented only as `stop`.
        width: Pixels, as far as the answer says them.
        height: Pixels, as far as the answer says them.
        warnings: Sentences on what is beside the images: an error text, more images than asked for.
        is_candidate: Whether the links were found in no documented place, so that only their
            bytes can say whether they are images.
        billed_images: Number of images that `usage` counts, at least 1.
    """

    urls: tuple[str, ...] = field(repr=False)
    request_id: str | None
    finish_reason: str | None
    width: int | None
    height: int | None
    warnings: tuple[str, ...] = ()
    is_candidate: bool = False
    billed_images: int = 1


@dataclass(frozen=True, slots=True)
class QueuedAnswer:
    """The gateway has taken the request and is not done: the answer is asked for by GET.

    Attributes:
        request_id: Identifier to quote to support.
        polling_path: Path and query to ask for at the configured gateway, with the key.
        status: What the gateway calls the state, such as `QUEUED` or `PROCESSING`.
        retry_after: Seconds that the answer asked to wait.
    """

    request_id: str | None
    polling_path: str = field(repr=False)
    status: str
    retry_after: float | None = None
