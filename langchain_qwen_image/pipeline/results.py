"""From what an answer, or the account, says to what the caller gets."""

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_qwen_image.account.records import CallRecord, ImageRecord
from langchain_qwen_image.defaults import SANDBOX_URL
from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import ImageParameters, QwenImageInput
from langchain_qwen_image.storage.filenames import image_id
from langchain_qwen_image.wire.answer import WireAnswer


def result_of(
    sender: Sender, call_id: str, arguments: QwenImageInput, answer: WireAnswer
) -> ImageGenerationResult:
    """Put a result together; it costs as many images as the gateway bills, at least one.

    An answer that is read twice names the same images.
    """
    images = [
        GeneratedImage.from_link(
            url, id=image_id(call_id, position), width=answer.width, height=answer.height
        )
        for position, url in enumerate(answer.urls)
    ]
    return ImageGenerationResult(
        images=images,
        prompt=arguments.prompt,
        parameters=arguments.parameters(),
        request_id=answer.request_id,
        finish_reason=answer.finish_reason,
        cost_usd=round(sender.price_usd * answer.billed_images, 6),
        sandbox=sender.sandbox,
        call_id=call_id,
        warnings=list(answer.warnings),
    )


def given_result(given: ImageGenerationResult | Mapping[str, Any]) -> ImageGenerationResult:
    """Return a copy of a result, or the one that an artifact describes.

    Raises:
        InvalidRequestError: It is no artifact.
    """
    if isinstance(given, ImageGenerationResult):
        return given.model_copy(deep=True)
    return ImageGenerationResult.from_artifact(given)


def recorded_result(call: CallRecord, images: Iterable[ImageRecord]) -> ImageGenerationResult:
    """Return what a call made, with these of its images, as far as the account knows it."""
    return ImageGenerationResult(
        images=[
            GeneratedImage(
                id=one.id,
                url=one.url,
                expires_at=one.expires_at,
                path=one.path,
                sha256=one.sha256,
                size_bytes=one.size_bytes,
                download_error=one.error,
            )
            for one in images
        ],
        prompt=call.prompt,
        parameters=ImageParameters.model_construct(**call.parameters),  # any size that was sent
        model=call.model,
        request_id=call.request_id,
        cost_usd=float(call.cost_usd),
        created_at=call.updated_at,
        sandbox=call.base_url == SANDBOX_URL,
        call_id=call.id,
    )
