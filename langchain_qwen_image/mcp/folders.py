"""Where a server saves its images by default: with the user's other images.

Hosts start servers in any folder, `/` among them, so that the working directory says nothing.
"""

import os
import re
import sys
from pathlib import Path

from langchain_qwen_image.errors import ConfigurationError

__all__ = ["default_folder"]

_NAME = "qwen-image"
_ENTRY = re.compile(r'^\s*XDG_PICTURES_DIR="(.*)"\s*$', re.MULTILINE)


def default_folder() -> Path:
    """Return the folder `qwen-image` in the user's folder for images.

    That is `XDG_PICTURES_DIR`, from the environment or from `user-dirs.dirs` (freedesktop.org's
    xdg-user-dirs), where it is an absolute path; else `Pictures` in the home folder, which macOS
    and Windows have.

    Raises:
        ConfigurationError: The user has no home folder.
    """
    try:
        home = Path.home()
    except RuntimeError:
        raise ConfigurationError(
            "This user has no home folder to save images in. Name a folder with --save-to."
        ) from None
    if not home.is_absolute() or home == Path(home.anchor):
        raise ConfigurationError(
            f"The home folder of this user is {home}, where no images are saved. Name a folder "
            "with --save-to."
        )
    given = [] if sys.platform in ("win32", "darwin") else [_from_environment(), _from_file(home)]
    pictures = next((path for path in given if path is not None and path != home), None)
    return (pictures or home / "Pictures") / _NAME


def _from_environment() -> Path | None:
    return _absolute(os.environ.get("XDG_PICTURES_DIR", ""))


def _from_file(home: Path) -> Path | None:
    config = _absolute(os.environ.get("XDG_CONFIG_HOME", "")) or home / ".config"
    try:
        content = (config / "user-dirs.dirs").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    found = _ENTRY.findall(content)
    if not found:
        return None
    named = re.sub(r"\\(.)", r"\1", found[-1])
    return _absolute(named.replace("$HOME", str(home), 1) if named.startswith("$HOME") else named)


def _absolute(name: str) -> Path | None:
    path = Path(name)
    return path if name and path.is_absolute() else None
