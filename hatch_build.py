"""Fill in what the package's metadata takes from settings: its addresses, and a README that works.

On a package index a relative link leads nowhere and a relative image is not shown. Both become
addresses below the repository, or are left out while the repository's address is not set.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?://|mailto:|#)([^)\s]+)\)")
_IMAGE = re.compile(r'<img src="(?!https?://)([^"]+)"[^>]*>')


class ProjectMetadata(MetadataHookInterface):
    """Reads `[tool.langchain-qwen-image.urls]` of pyproject.toml and README.md."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the addresses that are filled in, and the README."""
        root = Path(self.root)
        project = tomllib.loads(_text(root, "pyproject.toml"))
        urls = project["tool"]["langchain-qwen-image"]["urls"]
        metadata["urls"] = filled(urls)
        version = re.search(
            r'^__version__ = "(.+)"', _text(root, "langchain_qwen_image/_version.py"), re.MULTILINE
        )
        if version is None:
            raise ValueError("langchain_qwen_image/_version.py names no version")
        text = readme_for_an_index(_text(root, "README.md"), urls.get("Repository", ""), version[1])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def filled(urls: dict[str, str]) -> dict[str, str]:
    """Return the addresses that are set: metadata cannot hold an empty one."""
    return {name: url for name, url in urls.items() if url}


def readme_for_an_index(text: str, repository: str, version: str) -> str:
    """Return the README with links that work outside the repository.

    Args:
        text: The README.
        repository: The repository's address, or "" while it is not set.
        version: The release, whose tag is `v` and the version.
    """
    base = repository.rstrip("/")

    def link(match: re.Match[str]) -> str:
        return f"[{match[1]}]({base}/blob/v{version}/{match[2]})" if base else match[1]

    def image(match: re.Match[str]) -> str:
        return match[0].replace(match[1], f"{base}/raw/v{version}/{match[1]}") if base else ""

    return _IMAGE.sub(image, _LINK.sub(link, text))


def _text(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")
