"""Looks at what was found outside the documented places: only its bytes say that it is an image."""

from dataclasses import replace

from langchain_qwen_image.concurrency.runtime import Runtime
from langchain_qwen_image.errors import DownloadError, MalformedResponseError
from langchain_qwen_image.storage.reader import ImageReader
from langchain_qwen_image.wire.answer import WireAnswer


async def confirmed(
    runtime: Runtime, reader: ImageReader, answer: WireAnswer
) -> tuple[WireAnswer, DownloadError | None]:
    """Return an answer without the links that lead to something else than an image.

    Returns:
        The answer, and why none of its links could be looked at, if that is so.

    Raises:
        MalformedResponseError: None of its links leads to an image.
    """
    if not answer.is_candidate:
        return answer, None
    images: list[str] = []
    unsure: list[str] = []
    problem: DownloadError | None = None
    for url in answer.urls:
        try:
            kind = await runtime.beside(reader.probe, url)
        except DownloadError as error:
            unsure.append(url)
            problem = error
        else:
            images += [url] if kind is not None else []
    if not images and problem is None:
        raise MalformedResponseError(
            "The gateway's response has links, and none of them leads to an image. The image may "
            "have been billed, so the request is not retried automatically. An account has the raw "
            "answer: qwen-image recover DIR --raw-answers OUT_DIR."
        )
    return replace(answer, urls=(*images, *unsure)), None if images else problem
