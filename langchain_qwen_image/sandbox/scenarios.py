"""List the trouble that a prompt can ask for: `sandbox:NAME`, the rest of the prompt is ignored.

One table, from which the gateway plays, the documentation and `--help` are made.
"""

import re

from langchain_qwen_image.sandbox.answer import (
    Answer,
    Fault,
    error_answer,
    json_answer,
    text_answer,
)
from langchain_qwen_image.sandbox.scenario import Scenario

_REQUEST_ID = "5a4e0b1d-77c2-9e0f-8a43-0c1d2e3f4a5b"
_SLOW = re.compile(r"slow-(\d{1,3})")
_LONGEST_DELAY_SECONDS = 300


def prompt_scenario(prompt: str) -> str | None:
    """Return the name after the prefix `sandbox:` of a prompt, or None without the prefix."""
    match = re.match(r"\s*sandbox:\s*([a-z0-9-]*)", prompt, re.IGNORECASE | re.ASCII)
    return match[1].lower() if match else None


def find_scenario(name: str) -> Scenario:
    """Return the scenario of that name; `slow-N` takes N seconds, 0 to 300.

    Raises:
        KeyError: There is no such scenario; the message lists the names.
    """
    slow = _SLOW.fullmatch(name)
    if slow and int(slow[1]) <= _LONGEST_DELAY_SECONDS:
        return _success(f"Success after {slow[1]} seconds.", delay_seconds=float(slow[1]))
    if name not in SCENARIOS:
        known = ", ".join(SCENARIOS)
        raise KeyError(f"no scenario {name!r}; there are {known}, slow-N (N seconds, 0 to 300)")
    return SCENARIOS[name]


def _document(status: int, text: str, description: str) -> Scenario:
    return Scenario(description=description, layer="document", answer=error_answer(status, text))


def _apim(
    status: int, text: str, description: str, retry_after: str | None = None, *, once: bool = False
) -> Scenario:
    headers = {"Retry-After": retry_after} if retry_after else None
    answer = json_answer(status, {"statusCode": status, "message": text}, headers)
    return Scenario(description=description, layer="APIM", answer=answer, once=once)


def _dashscope(status: int, code: str, text: str, description: str) -> Scenario:
    document = {"request_id": _REQUEST_ID, "code": code, "message": text}
    answer = json_answer(status, document)
    return Scenario(description=description, layer="DashScope", answer=answer)


def _proxy(status: int, text: str, description: str, content_type: str = "text/plain") -> Scenario:
    answer = text_answer(status, text, content_type)
    return Scenario(description=description, layer="proxy", answer=answer)


def _page(status: int, title: str, description: str) -> Scenario:
    html = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return _proxy(status, html, description, "text/html")


def _network(fault: Fault, description: str, *, sends: bool = False) -> Scenario:
    answer = None if sends else Answer(200)
    return Scenario(description=description, layer="network", fault=fault, answer=answer)


def _success(description: str, *, delay_seconds: float = 0.0, images: int = 1) -> Scenario:
    return Scenario(
        description=description, layer="success", delay_seconds=delay_seconds, images=images
    )


def _pictureless(content: list[object], failed: int, description: str) -> Scenario:
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    document = {
        "output": {
            "choices": [choice] if content else [],
            "task_metric": {"TOTAL": 1, "FAILED": failed, "SUCCEEDED": 1 - failed},
        },
        "usage": {"width": 0, "image_count": 0, "height": 0},
        "request_id": _REQUEST_ID,
    }
    return Scenario(description=description, layer="DashScope", answer=json_answer(200, document))


def _link(failure: str, description: str) -> Scenario:
    return Scenario(description=description, layer="link", failure=failure)


_UNAVAILABLE = "Service temporarily unavailable."
_RATE_LIMITED = "Rate limit is exceeded. Try again in 1 seconds."
_MODERATED = "Input data may contain inappropriate content."

SCENARIOS: dict[str, Scenario] = {
    "ok": _success("Success, as for any other prompt."),
    "400": _dashscope(
        400,
        "InvalidParameter",
        "The size does not match the allowed size 1664*928,1472*1104,1328*1328.",
        "400 InvalidParameter: upstream refuses a parameter.",
    ),
    "401": _apim(
        401,
        "Access denied due to invalid subscription key. Make sure to provide a valid key.",
        "401: the subscription key is not accepted.",
    ),
    "402": _document(402, "Insufficient credits", "402: the account is out of credits."),
    "403": _document(
        403, "Access denied for this operation", "403: the subscription lacks this API."
    ),
    "404": _apim(404, "Resource not found", "404: there is no such endpoint."),
    "413": _page(413, "413 Request Entity Too Large", "413: the request is too large."),
    "429": _apim(429, _RATE_LIMITED, "429 with Retry-After: 1, every time.", "1"),
    "500": _document(
        500,
        "An unexpected error occurred, please try again later",
        "500: the gateway failed; the image may have been billed.",
    ),
    "502": _page(502, "502 Bad Gateway", "502 as HTML; the image may have been billed."),
    "503": _dashscope(
        503,
        "ModelUnavailable",
        "Model is unavailable, please try again later.",
        "503 without Retry-After; the image may have been billed.",
    ),
    "504": _proxy(
        504, "upstream request timeout", "504 as plain text; the image may have been billed."
    ),
    "503-retry-after": _apim(
        503, _UNAVAILABLE, "503 with Retry-After: 1, every time; nothing was billed.", "1"
    ),
    "429-once": _apim(429, _RATE_LIMITED, "429 at first, then success.", "1", once=True),
    "503-once": _apim(
        503, _UNAVAILABLE, "503 with Retry-After at first, then success.", "1", once=True
    ),
    "quota": _apim(
        403,
        "Out of call volume quota. Quota will be replenished in 07:01:20.",
        "403 with Retry-After of seven hours: the call quota is used up.",
        "25280",
    ),
    "balance": _document(
        403, "Insufficient balance", "403 that means an empty balance, not a lack of rights."
    ),
    "arrearage": _dashscope(
        400,
        "Arrearage",
        "Access denied, please make sure your account is in good standing.",
        "400 Arrearage: an unpaid account.",
    ),
    "throttling": _dashscope(
        429,
        "Throttling.RateQuota",
        "Requests rate limit exceeded, please try again later.",
        "429 Throttling.RateQuota without Retry-After, every time.",
    ),
    "free-quota": _dashscope(
        429,
        "Throttling.AllocationQuota",
        "Free allocated quota exceeded.",
        "429 that is about billing: waiting does not help.",
    ),
    "moderation": _dashscope(
        400, "DataInspectionFailed", _MODERATED, "400: moderation refuses the prompt."
    ),
    "moderation-500": _dashscope(
        500,
        "InternalError.Algo.DataInspectionFailed",
        "Output data may contain inappropriate content.",
        "500 whose code says that moderation refuses the image.",
    ),
    "infringement": _dashscope(
        400,
        "IPInfringementSuspect",
        "Input data is suspected of being involved in IP infringement.",
        "400: the prompt may infringe rights.",
    ),
    "nested-error": Scenario(
        description="400 with the error as an object of code and message.",
        layer="DashScope",
        answer=json_answer(
            400, {"error": {"code": "invalid_request_error", "message": "Prompt not accepted."}}
        ),
    ),
    "error-200": _dashscope(
        200, "InternalError.Algo", "Generation failed.", "HTTP 200 with an error code in it."
    ),
    "malformed": _page(200, "Maintenance", "HTTP 200 with HTML."),
    "malformed-json": _proxy(
        200, '{"output": {"choices": [{"fin', "HTTP 200 with JSON cut short.", "application/json"
    ),
    "empty": Scenario(
        description="HTTP 200 without a body.", layer="proxy", answer=text_answer(200, "")
    ),
    "no-image": _pictureless(
        [{"text": "I cannot draw that."}], 0, "HTTP 200 whose content is only text."
    ),
    "failed-task": _pictureless([], 1, "HTTP 200 whose task failed: no image."),
    "redirect": Scenario(
        description="307 to another host: following it would hand over the key.",
        layer="proxy",
        answer=Answer(307, headers={"Location": "https://elsewhere.invalid/qwen-image"}),
    ),
    "timeout": _network("timeout", "No answer comes; in process, the read timeout fires at once."),
    "drop": _network("drop", "The connection closes before any answer."),
    "reset": _network("reset", "The connection is reset before any answer."),
    "truncated": _network("truncated", "The answer is cut short of its length.", sends=True),
    "drip": _network("drip", "The answer comes a byte at a time.", sends=True),
    "slow": _success(
        "Success after 3 seconds; slow-N takes N seconds, up to 300.", delay_seconds=3.0
    ),
    "data-uri": Scenario(
        description="Success with the image itself as a data: URI.", layer="success", inline=True
    ),
    "two-images": _success("Success with two images.", images=2),
    "upstream-usage": Scenario(
        description='Success as DashScope words it: output_width, code "".',
        layer="success",
        upstream_usage=True,
    ),
    "jpeg": Scenario(
        description="Success; the link serves a JPEG.", layer="success", picture_format="JPEG"
    ),
    "webp": Scenario(
        description="Success; the link serves a WebP.", layer="success", picture_format="WEBP"
    ),
    "expired": _link("expired", "The link has already expired: 403 with the storage's XML."),
    "image-404": _link("image-404", "The link leads nowhere: 404."),
    "image-500": _link("image-500", "The link gives 500, every time."),
    "image-500-once": _link("image-500-once", "The link gives 500 at first, then the image."),
    "image-html": _link("image-html", "The link serves HTML that calls itself image/png."),
    "image-truncated": _link("image-truncated", "The image is cut short of its length."),
    "image-corrupt": _link("image-corrupt", "One byte of the image is wrong."),
    "image-redirect": _link("image-redirect", "The link redirects to another good link."),
    "image-private": _link("image-private", "The link redirects to a private address."),
    "image-drip": _link("image-drip", "The image comes a byte at a time."),
    "image-drop": _link("image-drop", "The link's connection closes before any answer."),
}
"""Every scenario by its name, in the order of the documentation."""
