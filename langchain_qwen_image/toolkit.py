"""Both tools together: one generates images, the other lets the model look at them."""

import re
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import ConfigDict, Field, model_validator

from langchain_qwen_image.defaults import GENERATE_TOOL, VIEW_TOOL
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.settings import QwenImageSettings
from langchain_qwen_image.storage.opening import folder_of
from langchain_qwen_image.storage.temporary import TemporaryFolder
from langchain_qwen_image.tool import QwenImageTool
from langchain_qwen_image.view import MAX_SIDE, ViewImageTool

_TOOLS = (GENERATE_TOOL, VIEW_TOOL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
"""Names of tools that OpenAI, Anthropic and Gemini all take, by their documents."""


class QwenImageToolkit(QwenImageSettings, BaseToolkit):
    """Tools for an agent that generates, views and improves images.

    They are `generate_image` and `view_image`, and take the settings of `QwenImageTool`. Viewing
    needs saved images: without `save_to` they go to a new temporary folder, which this package
    never removes; `folder` says where it is.

    Two toolkits in one agent need other names in one of them, and folders of their own:
    `names={"generate_image": "draw_logo", "view_image": "view_logo"}`. What the model reads of
    each tool then names its own partner.

    Examples:
        >>> toolkit = QwenImageToolkit(sandbox=True, save_to="images")
        >>> [tool.name for tool in toolkit.get_tools()]
        ['generate_image', 'view_image']
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    max_side: int = Field(
        default=MAX_SIDE, gt=0, description="Longest side that a model is shown, in pixels."
    )

    names: dict[str, str] = Field(
        default_factory=dict,
        description="Other names for the tools, by their own: `generate_image`, `view_image`.",
    )

    @model_validator(mode="after")
    def _check_names(self) -> "QwenImageToolkit":
        for tool, name in self.names.items():
            if tool not in _TOOLS:
                raise ConfigurationError(
                    f"names has {tool!r}, which is no tool of the toolkit. Its tools are "
                    f"{' and '.join(_TOOLS)}."
                )
            if not _NAME.fullmatch(name):
                raise ConfigurationError(
                    f"{name!r} cannot be the name of a tool. Chat models take up to 64 letters of "
                    "ASCII, digits, underscores and hyphens, beginning with a letter or underscore."
                )
        if self._name(GENERATE_TOOL) == self._name(VIEW_TOOL):
            raise ConfigurationError(
                f"Both tools would be called {self._name(VIEW_TOOL)!r}. Give names= another one "
                f"for {GENERATE_TOOL} or {VIEW_TOOL}."
            )
        return self

    @model_validator(mode="after")
    def _give_a_home(self) -> "QwenImageToolkit":
        if self.save_to is None:
            self.save_to = TemporaryFolder()
        return self

    @property
    def folder(self) -> Path | None:
        """The folder where images are saved, absolute; None if they are saved elsewhere."""
        return folder_of(self.save_to)

    def get_tools(self) -> list[BaseTool]:
        """Return the two tools, which share the place of the images."""
        settings: dict[str, Any] = {
            name: getattr(self, name) for name in QwenImageSettings.model_fields
        }
        return [
            QwenImageTool(name=self._name(GENERATE_TOOL), **settings),
            ViewImageTool(
                name=self._name(VIEW_TOOL),
                generated_by=self._name(GENERATE_TOOL),
                save_to=self.save_to,
                public_url=self.public_url,
                account=self.account,
                max_side=self.max_side,
            ),
        ]

    def _name(self, tool: str) -> str:
        return self.names.get(tool, tool)
