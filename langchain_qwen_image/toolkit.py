"""Both tools together: one generates images, the other lets the model look at them."""

import tempfile
from typing import Any

from langchain_core.tools import BaseTool, BaseToolkit
from pydantic import ConfigDict, Field, model_validator

from langchain_qwen_image.settings import QwenImageSettings
from langchain_qwen_image.tool import QwenImageTool
from langchain_qwen_image.view import MAX_SIDE, ViewImageTool


class QwenImageToolkit(QwenImageSettings, BaseToolkit):
    """Tools for an agent that generates, views and improves images.

    They are `generate_image` and `view_image`, and take the settings of `QwenImageTool`. Viewing
    needs saved images: without `save_to` they go to a new temporary folder, named in `save_to`
    from then on and never removed by this package.

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

    @model_validator(mode="after")
    def _give_a_home(self) -> "QwenImageToolkit":
        if self.save_to is None:
            self.save_to = tempfile.mkdtemp(prefix="qwen-image-")
        return self

    def get_tools(self) -> list[BaseTool]:
        """Return `generate_image` and `view_image`, which share the place of the images."""
        settings: dict[str, Any] = {
            name: getattr(self, name) for name in QwenImageSettings.model_fields
        }
        return [
            QwenImageTool(**settings),
            ViewImageTool(save_to=settings["save_to"], max_side=self.max_side),
        ]
