"""MkDocs hook: the links to the repository and to the site itself are those of the project."""

import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_PROJECT = Path(__file__).parent.parent / "pyproject.toml"


def project_urls() -> dict[str, str]:
    """Return the addresses in `[tool.langchain-qwen-image.urls]` that are filled in."""
    tools = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["tool"]
    urls = tools.get("langchain-qwen-image", {}).get("urls", {})
    return {name: url for name, url in urls.items() if url}


def on_config(config: Any, **_: Any) -> Any:
    """Set the addresses; without one the site has no such link."""
    urls = project_urls()
    repository = urls.get("Repository")
    config.repo_url = repository
    config.repo_name = urlsplit(repository).path.strip("/") if repository else None
    config.site_url = urls.get("Documentation", "")
    return config
