"""For people who test their own agents and chains: a gateway in a fixture, clean cassettes.

The fixture is `qwen_image_sandbox`, of the pytest plugin `langchain_qwen_image.testing.plugin`.
Names are resolved at first use, so that the plugin costs nothing where it is not used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_qwen_image.testing.scrub import scrub_request, scrub_response, vcr_config

__all__ = ["scrub_request", "scrub_response", "vcr_config"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.scrub"), name)
