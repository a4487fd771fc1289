"""What a client is told of the three tools."""

from typing import Any

from mcp.types import Tool, ToolAnnotations

from langchain_qwen_image.account.limits import dollars
from langchain_qwen_image.mcp.contents import ARTIFACT_SCHEMA
from langchain_qwen_image.mcp.generating import NEW_IMAGE
from langchain_qwen_image.mcp.looking import RECENT_SCHEMA
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.view import ViewImageInput, ViewImageTool

__all__ = ["tools"]

_LOOKS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_GENERATES = (
    "Generates one image from a text description. Use it when the user asks for an image, photo, "
    "illustration, poster, logo or similar; it renders Chinese and English text well. Each new "
    "image {cost} and takes 20 to 30 seconds: call it once for each image that is wanted, and "
    "never again for one that it has reported done. If a call is cut off or times out, repeat it "
    "with the same arguments: it gets the image that was paid for. To get another image of the "
    f"same arguments, set {NEW_IMAGE} to true. It cannot edit, find or show existing images."
)


def tools(price_usd: float) -> list[Tool]:
    """Return the tools of a server whose images cost so much, in US dollars."""
    cost = f"costs {dollars(price_usd)}" if price_usd else "costs nothing here (sandbox)"
    return [
        Tool(
            name="generate_image",
            title="Generate an image",
            description=_GENERATES.format(cost=cost),
            input_schema=_input_schema(),
            output_schema=dict(ARTIFACT_SCHEMA),
            annotations=ToolAnnotations(
                read_only_hint=False,
                destructive_hint=False,
                idempotent_hint=False,
                open_world_hint=True,
            ),
        ),
        Tool(
            name="view_image",
            title="Look at an image",
            description=ViewImageTool.model_fields["description"].default,
            input_schema=ViewImageInput.model_json_schema(),
            annotations=_LOOKS,
        ),
        Tool(
            name="recent_images",
            title="List recent images",
            description="Lists the images that were saved last, newest first, with their ids and "
            "paths. Free of charge.",
            input_schema={
                "type": "object",
                "properties": {
                    "limit": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 100,
                        "default": 10,
                        "description": "How many; 10 if not given.",
                    }
                },
                "additionalProperties": False,
            },
            output_schema=RECENT_SCHEMA,
            annotations=_LOOKS,
        ),
    ]


def _input_schema() -> dict[str, Any]:
    schema = QwenImageInput.model_json_schema()
    schema["properties"][NEW_IMAGE] = {
        "type": "boolean",
        "default": False,
        "description": "Whether to pay for another image of the same arguments. Default: false.",
    }
    return schema
