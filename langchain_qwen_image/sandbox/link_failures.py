"""Make the GET of an image's link go wrong."""

from langchain_qwen_image.sandbox.answer import Answer, Fault, storage_error, text_answer

FIXED: dict[str, Answer] = {
    "image-404": storage_error(404, "NoSuchKey", "The specified key does not exist."),
    "image-500": storage_error(500, "InternalError", "We encountered an internal error."),
    "image-html": text_answer(200, "<html><body>Please log in.</body></html>", "image/png"),
    # The address where clouds serve an instance's credentials: a client must not follow.
    "image-private": Answer(302, headers={"Location": "http://169.254.169.254/latest/meta-data/"}),
}
"""Failures whose answer does not depend on the image."""

FAULTS: dict[str, Fault] = {
    "image-truncated": "truncated",
    "image-drip": "drip",
    "image-drop": "drop",
}
"""Failures on the way of a good answer."""

CODINGS = {"image-aws-chunked": "aws-chunked", "image-binary": "binary"}
"""Content codings that the storage claims over plain bytes (aws-sdk-java-v2#5769)."""

LINK_FAILURES = frozenset(
    {*FIXED, *FAULTS, *CODINGS, "expired", "image-500-once", "image-redirect", "image-corrupt"}
)


def corrupt(image: bytes) -> bytes:
    """Return the image with the byte in its middle flipped."""
    middle = len(image) // 2
    return image[:middle] + bytes([image[middle] ^ 0xFF]) + image[middle + 1 :]
