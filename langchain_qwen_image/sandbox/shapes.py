"""Word success in the other ways in which a paid answer has named its image.

They were seen on sister routes of the gateway and in front of DashScope, or made by what stands on
the way (a proxy, a compressing front end). The image is paid for in all of them.
"""

import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from langchain_qwen_image.sandbox.answer import Answer, json_answer
from langchain_qwen_image.sandbox.success import (
    Success,
    document_shape,
    images_shape,
    upstream_shape,
)

_JSON = "application/json"


def task_shape(success: Success) -> dict[str, object]:
    """Return the body of a finished task of the owner's sister routes."""
    return {
        "status": "COMPLETED",
        "error": None,
        "output": {"media_url": success.urls, "media_type": success.images[0].mime_type},
    }


def _content_object(success: Success) -> dict[str, object]:
    return _with_message(success, {"content": {"image": success.urls}})


def _content_text(success: Success) -> dict[str, object]:
    return _with_message(success, {"content": success.urls[0]})


def _with_message(success: Success, message: dict[str, object]) -> dict[str, object]:
    choice = {"finish_reason": "stop", "message": {"role": "assistant", **message}}
    return document_shape(success) | {"output": {"choices": [choice]}}


def _text_beside(success: Success) -> dict[str, object]:
    warning = {"error": "The prompt was shortened.", "code": "PromptShortened"}
    return document_shape(success) | warning


def _null_error(success: Success) -> dict[str, object]:
    return document_shape(success) | {"error": {"code": None, "message": None}, "code": "SUCCEEDED"}


def _unknown(success: Success) -> dict[str, object]:
    return {"result": {"assets": [{"href": url, "kind": "still"} for url in success.urls]}}


def _same_link(success: Success) -> dict[str, object]:
    return _with_message(success, {"content": [{"image": success.urls[0]}] * 3})


def _links(change: Callable[[str], str]) -> Callable[[Success], dict[str, object]]:
    """Return the document's shape with its links written in another way."""
    return lambda success: document_shape(
        replace(success, urls=[change(url) for url in success.urls])
    )


def _relative(url: str) -> str:
    return "/" + url.partition("//")[2].partition("/")[2]


def _raw_bytes(success: Success) -> Answer:
    image = success.images[0]
    return Answer(200, success.paint(image), {"Content-Type": image.mime_type})


def _bare_base64(success: Success) -> Answer:
    contents = (success.paint(image) for image in success.images)
    urls = [base64.b64encode(content).decode() for content in contents]
    return json_answer(200, document_shape(replace(success, urls=urls)))


def _body(success: Success) -> bytes:
    return json.dumps(document_shape(success), ensure_ascii=False).encode()


def _json_in_string(success: Success) -> Answer:
    return json_answer(200, _body(success).decode())


def _json_and_more(success: Success) -> Answer:
    return Answer(200, _body(success) + b"\n<!-- served by proxy-7 -->\n", {"Content-Type": _JSON})


def _event_stream(success: Success) -> Answer:
    frame = b"event: message\ndata: " + _body(success) + b"\n\n"
    return Answer(200, frame, {"Content-Type": "text/event-stream"})


def _utf_16(success: Success) -> Answer:
    body = _body(success).decode().encode("utf-16")
    return Answer(200, body, {"Content-Type": f"{_JSON}; charset=utf-16"})


def _x_gzip(success: Success) -> Answer:
    headers = {"Content-Type": _JSON, "Content-Encoding": "x-gzip"}
    return Answer(200, gzip.compress(_body(success), mtime=0), headers)


def _false_coding(coding: str) -> Callable[[Success], Answer]:
    headers = {"Content-Type": _JSON, "Content-Encoding": coding}
    return lambda success: Answer(200, _body(success), headers)


SHAPES: dict[str, Callable[[Success], dict[str, Any] | Answer]] = {
    "document": document_shape,
    "images": images_shape,
    "upstream": upstream_shape,
    "media-url": task_shape,
    "output-link": lambda success: {"output": success.urls[0]},
    "image-url": lambda success: {"imageUrl": success.urls[0]},
    "content-object": _content_object,
    "content-text": _content_text,
    "text-beside": _text_beside,
    "null-error": _null_error,
    "unknown-shape": _unknown,
    "same-link": _same_link,
    "untrimmed-link": _links(lambda url: f"\n  {url} \n"),
    "relative-link": _links(_relative),
    "no-scheme": _links(lambda url: url.partition(":")[2]),
    "http-link": _links(lambda url: "http:" + url.partition(":")[2]),
    "base64": _bare_base64,
    "raw-bytes": _raw_bytes,
    "json-in-string": _json_in_string,
    "json-and-more": _json_and_more,
    "event-stream": _event_stream,
    "utf-16": _utf_16,
    "x-gzip": _x_gzip,
    "false-gzip": _false_coding("gzip"),
    "false-br": _false_coding("br"),
}
"""Every shape by its name: what makes the body, or the whole answer where headers belong to it."""


def answer_in_shape(success: Success, shape: str) -> Answer:
    """Return the successful answer in that shape."""
    body = SHAPES[shape](success)
    return body if isinstance(body, Answer) else json_answer(200, body)
