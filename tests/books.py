"""Where the books of a folder of images are, for tests that look into them."""

from pathlib import Path

from langchain_qwen_image.account.places import own_file


def books(folder: Path) -> Path:
    """Return the file of a folder's own account."""
    return own_file(folder)
