"""List the scenarios whose POST is refused, or fails at the gateway."""

from langchain_qwen_image.sandbox.answer import error_answer, json_answer, text_answer
from langchain_qwen_image.sandbox.scenario import Scenario

REQUEST_ID = "5a4e0b1d-77c2-9e0f-8a43-0c1d2e3f4a5b"


def _document(status: int, text: str, description: str) -> Scenario:
    return Scenario(description=description, layer="document", answer=error_answer(status, text))


def _apim(
    status: int, text: str, description: str, retry_after: str | None = None, *, once: bool = False
) -> Scenario:
    headers = {"Retry-After": retry_after} if retry_after else None
    answer = json_answer(status, {"statusCode": status, "message": text}, headers)
    return Scenario(description=description, layer="APIM", answer=answer, once=once)


def dashscope_failure(status: int, code: str, text: str, description: str) -> Scenario:
    """Answer in the shape of DashScope."""
    document = {"request_id": REQUEST_ID, "code": code, "message": text}
    answer = json_answer(status, document)
    return Scenario(description=description, layer="DashScope", answer=answer)


def _gateway(status: int, error: str, message: str, description: str) -> Scenario:
    answer = json_answer(status, {"error": error, "message": message})
    return Scenario(description=description, layer="gateway", answer=answer)


def proxy_failure(
    status: int, text: str, description: str, content_type: str = "text/plain"
) -> Scenario:
    """Answer with text, as what stands between does."""
    answer = text_answer(status, text, content_type)
    return Scenario(description=description, layer="proxy", answer=answer)


def page_failure(status: int, title: str, description: str) -> Scenario:
    """Answer with an HTML page."""
    html = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return proxy_failure(status, html, description, "text/html")


_UNAVAILABLE = "Service temporarily unavailable."
_RATE_LIMITED = "Rate limit is exceeded. Try again in 1 seconds."
_MODERATED = "Input data may contain inappropriate content."

FAILURES: dict[str, Scenario] = {
    "400": dashscope_failure(
        400,
        "InvalidParameter",
        "The size does not match the allowed size 1664*928,1472*1104,1328*1328.",
        "400 InvalidParameter: upstream refuses a parameter.",
    ),
    "401": _apim(
        401,
        "Access denied due to invalid subscription key. Make sure to provide a valid key.",
        "401: the API key is not accepted.",
    ),
    "402": _document(402, "Insufficient credits", "402: the account is out of credits."),
    "403": _document(
        403, "Access denied for this operation", "403: the subscription lacks this API."
    ),
    "404": _apim(404, "Resource not found", "404: there is no such endpoint."),
    "413": page_failure(413, "413 Request Entity Too Large", "413: the request is too large."),
    "429": _apim(429, _RATE_LIMITED, "429 with Retry-After: 1, every time.", "1"),
    "500": _document(
        500,
        "An unexpected error occurred, please try again later",
        "500: the gateway failed; the image may have been billed.",
    ),
    "502": page_failure(502, "502 Bad Gateway", "502 as HTML; the image may have been billed."),
    "503": dashscope_failure(
        503,
        "ModelUnavailable",
        "Model is unavailable, please try again later.",
        "503 without Retry-After; the image may have been billed.",
    ),
    "504": proxy_failure(
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
        403, "Insufficient balance", "403 that means an empty balance, not a missing permission."
    ),
    "arrearage": dashscope_failure(
        400,
        "Arrearage",
        "Access denied, please make sure your account is in good standing.",
        "400 Arrearage: an unpaid account.",
    ),
    "throttling": dashscope_failure(
        429,
        "Throttling.RateQuota",
        "Requests rate limit exceeded, please try again later.",
        "429 Throttling.RateQuota without Retry-After, every time.",
    ),
    "free-quota": dashscope_failure(
        429,
        "Throttling.AllocationQuota",
        "Free allocated quota exceeded.",
        "429 that is about billing: waiting does not help.",
    ),
    "moderation": dashscope_failure(
        400, "DataInspectionFailed", _MODERATED, "400: moderation refuses the prompt."
    ),
    "moderation-500": dashscope_failure(
        500,
        "InternalError.Algo.DataInspectionFailed",
        "Output data may contain inappropriate content.",
        "500 whose code says that moderation refuses the image.",
    ),
    "infringement": dashscope_failure(
        400,
        "IPInfringementSuspect",
        "Input data is suspected of being involved in IP infringement.",
        "400: the prompt may infringe rights.",
    ),
    "wallet": _gateway(
        403,
        "Forbidden",
        "Your wallet does not have enough balance.",
        "403 whose text says that the balance is used up.",
    ),
    "card-required": _gateway(
        402, "card_required", "Add a card to go on.", "402: the account needs a card."
    ),
    "bandwidth": _apim(
        403,
        "Out of bandwidth quota. Quota will be replenished in 01:00:00.",
        "403 without Retry-After: the bandwidth quota is used up.",
    ),
    "free-tier": dashscope_failure(
        403,
        "AllocationQuota.FreeTierOnly",
        "The free tier of the model has been exhausted.",
        "403 AllocationQuota.FreeTierOnly: the free quota is used up.",
    ),
    "model-disabled": _gateway(
        400,
        "Model not found",
        "Model 'qwen-image' not found or is disabled",
        "400: the gateway does not offer the model now.",
    ),
    "moderation-task": Scenario(
        description="HTTP 200 with a failed task that moderation refused.",
        layer="DashScope",
        answer=json_answer(
            200,
            {
                "request_id": REQUEST_ID,
                "output": {
                    "task_status": "FAILED",
                    "code": "DataInspectionFailed",
                    "message": _MODERATED,
                },
            },
        ),
    ),
    "moderation-422": _document(
        422, "The prompt was flagged by the content checker.", "422: moderation refuses the prompt."
    ),
    "policy": dashscope_failure(
        400,
        "content_policy_violation",
        "Your request was rejected by the safety system.",
        "400 content_policy_violation: moderation refuses the prompt.",
    ),
    "firewall": page_failure(
        403, "The request is blocked.", "403 as HTML: a firewall in front of the gateway refuses."
    ),
    "firewall-code": proxy_failure(
        403,
        "error code: 1010",
        "403 as a line of text: a firewall in front of the gateway refuses.",
    ),
    "429-text": _apim(
        429,
        "Rate limit is exceeded. Try again in 26 seconds.",
        "429 with the delay only in its text.",
    ),
    "inner-status": Scenario(
        description="HTTP 200 around an inner status of 429.",
        layer="DashScope",
        answer=json_answer(
            200,
            {
                "status_code": 429,
                "request_id": REQUEST_ID,
                "code": "Throttling.RateQuota",
                "message": "Requests rate limit exceeded, please try again later.",
                "output": None,
            },
        ),
    ),
    "nested-error": Scenario(
        description="400 with the error as an object of code and message.",
        layer="DashScope",
        answer=json_answer(
            400, {"error": {"code": "invalid_request_error", "message": "Prompt not accepted."}}
        ),
    ),
}
"""Refusals and failures with a status of their own, in the order of the documentation."""
