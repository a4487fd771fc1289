"""Word the successful answer."""

import uuid

from langchain_qwen_image.sandbox.checks import ImageRequest
from langchain_qwen_image.sandbox.links import ImageInfo
from langchain_qwen_image.sandbox.scenario import Scenario

_PROMPT_IN_LINK = 300


def choose_picture(request: ImageRequest, scenario: Scenario, number: int) -> ImageInfo:
    """Return the image that answers a request; `number` counts within one answer, from 0."""
    prompt = request.prompt
    if len(prompt) > _PROMPT_IN_LINK:
        prompt = prompt[:_PROMPT_IN_LINK] + "…"
    return ImageInfo(
        prompt,
        *request.width_and_height,
        watermark=request.watermark,
        seed=request.seed(number),
        picture_format=scenario.picture_format,
        failure=scenario.failure,
    )


def success_document(
    request: ImageRequest, urls: list[str], scenario: Scenario
) -> dict[str, object]:
    """Return the document's sample answer, or the way that DashScope words it."""
    width, height = request.width_and_height
    count = len(urls)
    message = {"role": "assistant", "content": [{"image": url} for url in urls]}
    output = {
        "choices": [{"finish_reason": "stop", "message": message}],
        "task_metric": {"TOTAL": count, "FAILED": 0, "SUCCEEDED": count},
    }
    document: dict[str, object] = {
        "output": output,
        "usage": {"width": width, "image_count": count, "height": height},
        "request_id": str(uuid.uuid4()),
    }
    if scenario.upstream_usage:
        usage = {"output_width": width, "output_height": height, "output_image_count": count}
        document |= {"usage": {**usage, "input_tokens": 0}, "code": "", "success": True}
    return document
