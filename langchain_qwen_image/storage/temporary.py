"""A folder for images that nobody named a place for."""

import secrets
import tempfile
from pathlib import Path

from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.storage.folder import FolderStore

__all__ = ["TemporaryFolder"]


class TemporaryFolder(FolderStore):
    """A new folder in the system's place for temporary files, which only this user can read.

    It is made when it is first asked for, and not before: that takes the disk, and what is to have
    it may be made on an event loop. It is never removed here. A pickle names the same folder.
    """

    def __init__(self) -> None:
        """Choose a name; nothing is made."""
        self._name = f"qwen-image-{secrets.token_hex(8)}"
        self._sweep_at = 0.0

    @property
    def folder(self) -> Path:  # type: ignore[override]  # nobody sets it after `__init__`
        """The folder, absolute; it is made if it is not there.

        Raises:
            ConfigurationError: It cannot be made.
        """
        try:
            folder = Path(tempfile.gettempdir(), self._name)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        else:
            return folder
        raise ConfigurationError(
            f"No temporary folder for images can be made: {problem}. Set save_to=…. Nothing was "
            "sent."
        )

    def __repr__(self) -> str:
        return f"TemporaryFolder({self._name!r})"

    def __reduce__(self) -> tuple[type[FolderStore], tuple[str]]:
        return FolderStore, (str(self.folder),)
