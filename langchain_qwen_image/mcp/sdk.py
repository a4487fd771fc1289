"""Whether the MCP SDK is installed, and new enough."""

from importlib.metadata import PackageNotFoundError, version

from langchain_qwen_image.errors import ConfigurationError

__all__ = ["check_sdk"]

_INSTALL = "pip install 'langchain-qwen-image[mcp]'"


def check_sdk() -> None:
    """See whether the server can run here.

    Raises:
        ConfigurationError: The MCP SDK is missing, or older than version 2.
    """
    try:
        found = version("mcp")
    except PackageNotFoundError:
        raise ConfigurationError(f"The MCP server needs its extra: {_INSTALL}") from None
    if int(found.partition(".")[0]) < 2:
        raise ConfigurationError(
            f"The MCP server needs version 2 of the package mcp, and {found} is installed (other "
            f"packages may ask for that one). Use an environment of its own: {_INSTALL}"
        )
