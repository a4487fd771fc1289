"""`server.json`, by which the MCP registry knows the server."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from langchain_qwen_image import __version__
from langchain_qwen_image.cli import app

ROOT = Path(__file__).parents[2]
SERVER: dict[str, Any] = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))


def test_it_is_what_the_registry_takes() -> None:
    """Name, length of the description and versions are within the registry's rules."""
    [package] = SERVER["packages"]
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", SERVER["name"])
    assert len(SERVER["description"]) <= 100
    assert SERVER["version"] == package["version"] == __version__
    assert package["transport"] == {"type": "stdio"}


def test_its_arguments_are_those_of_the_command() -> None:
    """What a client puts together from it is an option of `qwen-image mcp`, or its name."""
    [package] = SERVER["packages"]
    help_text = CliRunner().invoke(app, ["mcp", "--help"], env={"COLUMNS": "200"}).output
    for argument in package["packageArguments"]:
        assert argument.get("name", argument.get("value")) in help_text
    assert package["packageArguments"][0]["value"] == "mcp"
    assert package["runtimeArguments"][0]["value"] == f"{package['identifier']}[mcp]"


@pytest.mark.parametrize(
    "block", re.findall(r"```json\n(.+?)```", (ROOT / "docs/mcp.md").read_text("utf-8"), re.DOTALL)
)
def test_the_files_of_hosts_start_the_server(block: str) -> None:
    """What the page shows for a host is JSON, and its options exist."""
    [[name, entry]] = json.loads(block)["mcpServers"].items()
    assert name == "qwen-image"
    assert [entry["command"], *entry["args"][:4]] == shlex.split(
        "uvx --from langchain-qwen-image[mcp] qwen-image mcp"
    )
    help_text = CliRunner().invoke(app, ["mcp", "--help"], env={"COLUMNS": "200"}).output
    assert [one for one in entry["args"][4:] if one.startswith("--") and one not in help_text] == []
