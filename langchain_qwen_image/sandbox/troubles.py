"""Make the GET of an image's link go wrong, as its ticket asks."""

from langchain_qwen_image.sandbox.answer import Answer, Fault, storage_error, text_answer

FIXED: dict[str, Answer] = {
    "image-404": storage_error(404, "NoSuchKey", "The specified key does not exist."),
    "image-500": storage_error(500, "InternalError", "We encountered an internal error."),
    "image-html": text_answer(200, "<html><body>Please log in.</body></html>", "image/png"),
    # The address where clouds serve an instance's credentials: a client must not follow.
    "image-private": Answer(302, headers={"Location": "http://169.254.169.254/latest/meta-data/"}),
}
"""Troubles whose answer does not depend on the image."""

FAULTS: dict[str, Fault] = {
    "image-truncated": "truncated",
    "image-drip": "drip",
    "image-drop": "drop",
}
"""Troubles on the way of a good answer."""


def corrupt(picture: bytes) -> bytes:
    """Return the image with the byte in its middle flipped."""
    middle = len(picture) // 2
    return picture[:middle] + bytes([picture[middle] ^ 0xFF]) + picture[middle + 1 :]
