"""The verdict on an answer that is not an image: which error of the tree, and what to do.

Codes and texts are those of the API document, of Azure API Management and of DashScope.
"""

from langchain_qwen_image.errors import (
    AuthenticationError,
    ContentRejectedError,
    InvalidRequestError,
    MalformedResponseError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    QwenImageError,
    RateLimitError,
    ServerError,
)
from langchain_qwen_image.wire.error_body import ErrorBody
from langchain_qwen_image.wire.redaction import quote

_CHECK_ACCOUNT = (
    "The image may have been billed; do not ask for it again without checking the account."
)

_MODERATION_CODES = (
    "datainspectionfailed",
    "data_inspection_failed",
    "ipinfringementsuspect",
    "customroleblocked",
    "faqruleblocked",
)
_MODERATION_TEXTS = ("inappropriate content", "green net check failed")
_BILLING_CODES = ("arrearage", "commoditynotpurchased", "prepaidbilloverdue", "postpaidbilloverdue")
_BILLING_TEXTS = (
    "free allocated quota exceeded",
    "out of call volume quota",
    "out of credit",
    "insufficient balance",
    "insufficient credit",
    "insufficient fund",
    "not enough credit",
    "balance is not enough",
)
_UPSTREAM_ACCOUNT_CODES = ("invalidapikey", "arrearage", "accessdenied")

# What an error inside HTTP 200 would have had as its status: by code (DashScope), then by text
# (the document's own sentences).
_STATUS_OF_CODE = (
    ("invalidapikey", 401),
    ("accessdenied", 403),
    ("modelnotfound", 404),
    ("throttling", 429),
    ("invalidparameter", 400),
    ("invalidurl", 400),
    ("badrequest", 400),
    ("internalerror", 500),
    ("requesttimeout", 504),
    ("systemerror", 500),
    ("modelservicefailed", 500),
    ("rewritefailed", 500),
    ("modelservingerror", 503),
    ("modelunavailable", 503),
)
_STATUS_OF_TEXT = (
    ("rate limit", 429),
    ("invalid or missing authentication", 401),
    ("subscription key", 401),
    ("access denied", 403),
    ("endpoint not found", 404),
    ("invalid request", 400),
    ("invalid parameter", 400),
    ("unexpected error", 500),
    ("internal server error", 500),
)


def error_from_body(error_body: ErrorBody) -> QwenImageError:
    """Return the error of the tree that a refusal means, with its facts and flags."""
    kind, advice = _classify(error_body)
    error = kind(
        _sentence(error_body, advice),
        status_code=error_body.status,
        code=error_body.code,
        request_id=error_body.request_id,
        retry_after=error_body.retry_after,
    )
    if kind is RateLimitError and error_body.status != 429:
        error.is_retryable = False
    if error_body.asks_to_come_back:
        error.is_retryable = kind in {RateLimitError, ServerError}
        error.may_have_been_billed = False
    elif _is_unclear(error_body):
        error.may_have_been_billed = True
    return error


def _classify(error_body: ErrorBody) -> tuple[type[QwenImageError], str]:
    code = (error_body.code or "").lower()
    kind, advice = _kind_and_advice(error_body, code)
    if code.startswith(_UPSTREAM_ACCOUNT_CODES):
        advice = "This is about the gateway's own account upstream; report it to the gateway."
    return kind, advice


def _kind_and_advice(error_body: ErrorBody, code: str) -> tuple[type[QwenImageError], str]:
    status = error_body.inner_status or error_body.status
    text = error_body.text.lower()
    if 200 <= status < 300 and not error_body.is_stated:
        return MalformedResponseError, f"It holds no image that can be used. {_CHECK_ACCOUNT}"
    if _is_moderation(code, text):
        return ContentRejectedError, (
            "Moderation refused the prompt or the image; change the wording or the subject."
        )
    if _is_billing(error_body, status, code, text):
        advice = "Credits, quota or balance are used up; top up or wait, then check the account."
        return QuotaExceededError, (
            advice if _is_unclear(error_body) else f"{advice} Nothing was bought."
        )
    if 200 <= status < 300:
        status = _guessed_status(code, text)
    return _by_status(status)


def _by_status(status: int) -> tuple[type[QwenImageError], str]:
    if 300 <= status < 400:
        return NotFoundError, (
            "Redirects are not followed, because the key would travel; set base_url to the "
            "address that answers."
        )
    if status == 401:
        return AuthenticationError, "Check the subscription key (PIXAZO_API_KEY or api_key=…)."
    if status == 403:
        return PermissionDeniedError, "The subscription does not include this API or action."
    if status == 404:
        return NotFoundError, "Check base_url (PIXAZO_BASE_URL)."
    if status == 429:
        return RateLimitError, "Nothing was bought; try again later."
    if status >= 500:
        return ServerError, (
            "The image may have been billed all the same, so it is not asked for again by itself."
        )
    if status == 408:
        return InvalidRequestError, f"The gateway gave up waiting. {_CHECK_ACCOUNT}"
    if 400 <= status < 500:
        return InvalidRequestError, "Nothing was bought; change the request."
    return MalformedResponseError, _CHECK_ACCOUNT


def _is_unclear(error_body: ErrorBody) -> bool:
    """Say whether the gateway may have worked on the request: 5xx, and 408.

    A 408 should mean that the request did not arrive whole (RFC 9110), but proxies send it for an
    answer that took too long, too.
    """
    return error_body.status >= 500 or 408 in {error_body.status, error_body.inner_status}


def _sentence(error_body: ErrorBody, advice: str) -> str:
    code = f" ({error_body.code})" if error_body.code else ""
    target = error_body.location if 300 <= error_body.status < 400 else None
    said = quote(target or error_body.text, error_body.secret)
    if error_body.asks_to_come_back:
        advice = "Nothing was bought; try again later."
    wait = f" It asks to wait {error_body.retry_after:g} s." if error_body.retry_after else ""
    return f"The gateway answered {error_body.status}{code}{said}. {advice}{wait}"


def _is_moderation(code: str, text: str) -> bool:
    """Say whether moderation spoke; `InvalidParameter.DataInspection` is not it (upstream)."""
    return any(name in code for name in _MODERATION_CODES) or any(
        words in text for words in _MODERATION_TEXTS
    )


def _is_billing(error_body: ErrorBody, status: int, code: str, text: str) -> bool:
    """Say whether money is the matter; a 403 with `Retry-After` is the gateway's quota (APIM)."""
    return (
        status == 402
        or (status == 403 and error_body.retry_after is not None)
        or any(name in code for name in _BILLING_CODES)
        or (status < 500 and any(words in text for words in _BILLING_TEXTS))
    )


def _guessed_status(code: str, text: str) -> int:
    by_code = (status for name, status in _STATUS_OF_CODE if code.startswith(name))
    by_text = (status for words, status in _STATUS_OF_TEXT if words in text)
    return next(by_code, None) or next(by_text, 200)
