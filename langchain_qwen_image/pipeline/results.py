"""From what an answer says to what the caller gets."""

from langchain_qwen_image.pipeline.sender import Sender
from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
from langchain_qwen_image.schemas import QwenImageInput
from langchain_qwen_image.wire.answer import WireAnswer


def result_of(
    sender: Sender, call_id: str, arguments: QwenImageInput, answer: WireAnswer
) -> ImageGenerationResult:
    """Put a result together; it costs as many images as the gateway bills, at least one."""
    return ImageGenerationResult(
        images=[
            GeneratedImage.from_link(url, width=answer.width, height=answer.height)
            for url in answer.urls
        ],
        prompt=arguments.prompt,
        parameters=arguments.parameters(),
        request_id=answer.request_id,
        finish_reason=answer.finish_reason,
        cost_usd=round(sender.price_usd * answer.billed_images, 6),
        sandbox=sender.sandbox,
        call_id=call_id,
        warnings=list(answer.warnings),
    )
