"""Word the successful answer: the document's shape, the owner's second one, and upstream's."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from langchain_qwen_image.sandbox.links import LONGEST_PROMPT, ImageInfo
from langchain_qwen_image.sandbox.request_check import ImageRequest
from langchain_qwen_image.sandbox.scenario import Scenario

Shape = Literal["document", "images"]
"""The two success bodies that the owner documents for this endpoint.

`document`: `output.choices[].message.content[].image`. `images`: `images[].url`, as the owner's
model page and his skills repository have it.
"""


@dataclass(frozen=True, slots=True)
class Success:
    """Hold what a successful answer is made of, whatever its shape."""

    images: list[ImageInfo]
    urls: list[str]
    """The links, or `data:` URIs, in the order of the images."""
    paint: Callable[[ImageInfo], bytes]
    """Returns the bytes of an image, for the shapes that hold them."""


def choose_image(request: ImageRequest, scenario: Scenario, number: int) -> ImageInfo:
    """Return the image that answers a request; `number` counts within one answer, from 0."""
    prompt = request.prompt
    if len(prompt) > LONGEST_PROMPT:
        prompt = prompt[:LONGEST_PROMPT] + "…"
    return ImageInfo(
        prompt,
        *request.width_and_height,
        watermark=request.watermark,
        seed=request.seed(number),
        image_format=scenario.image_format,
        failure=scenario.failure,
    )


def document_shape(success: Success) -> dict[str, object]:
    """Return the body of the API document's sample answer."""
    first = success.images[0]
    count = len(success.urls)
    message = {"role": "assistant", "content": [{"image": url} for url in success.urls]}
    output = {
        "choices": [{"finish_reason": "stop", "message": message}],
        "task_metric": {"TOTAL": count, "FAILED": 0, "SUCCEEDED": count},
    }
    return {
        "output": output,
        "usage": {"width": first.width, "image_count": count, "height": first.height},
        "request_id": str(uuid.uuid4()),
    }


def images_shape(success: Success) -> dict[str, object]:
    """Return the owner's second success body for this endpoint."""
    images = [
        {
            "file_name": urlsplit(url).path.rpartition("/")[2],
            "content_type": image.mime_type,
            "url": url,
        }
        for url, image in zip(success.urls, success.images, strict=True)
    ]
    return {"images": images, "description": ""}


def upstream_shape(success: Success) -> dict[str, object]:
    """Return the document's body as DashScope words it."""
    first = success.images[0]
    usage = {"output_width": first.width, "output_height": first.height}
    return document_shape(success) | {
        "usage": {**usage, "output_image_count": len(success.urls), "input_tokens": 0},
        "code": "",
        "success": True,
    }
