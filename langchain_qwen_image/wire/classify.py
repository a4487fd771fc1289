"""The class of an answer that is not an image: which error of the tree, and what to do.

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
from langchain_qwen_image.wire import classification_words as words
from langchain_qwen_image.wire.error_body import ErrorBody
from langchain_qwen_image.wire.guessed_status import guessed_status
from langchain_qwen_image.wire.redaction import quote

_MAY_BE_BILLED = (
    "The image may have been billed, so the request is not retried automatically. Check the "
    "account before you repeat it."
)
_UPSTREAM_CODES = (
    "invalidapikey", "arrearage", "accessdenied", "allocationquota", "commoditynotpurchased",
    "prepaidbilloverdue", "postpaidbilloverdue",
)  # fmt: skip
"""Codes of DashScope about its caller, which is the gateway."""

_CHECK_KEY = "Check the API key (PIXAZO_API_KEY or api_key=…)."
_NOT_THE_GATEWAYS = "This page did not come from the gateway, but from something in front of it."
_BEFORE_GATEWAY = (
    "It did not come from the gateway: something in front of it, such as a firewall or a proxy, "
    "refused the request. Try another network or proxy, and check base_url (PIXAZO_BASE_URL)."
)
_EMPTY_403 = (
    "It gives no reason: the subscription may not include this, or a firewall in front of the "
    "gateway refused it."
)
_PAGE = 20_000
"""Characters of a page in which a firewall's name is looked for."""
_BY_STATUS: dict[int, tuple[type[QwenImageError], str]] = {
    401: (AuthenticationError, _CHECK_KEY),
    403: (PermissionDeniedError, "The subscription does not include this API or action."),
    404: (NotFoundError, "Check base_url (PIXAZO_BASE_URL)."),
    410: (NotFoundError, "The gateway does not offer this any more; check base_url."),
    408: (InvalidRequestError, "The gateway gave up waiting."),
    429: (RateLimitError, "Try again later."),
}


_KINDS_OF_TEXTS = (ContentRejectedError, QuotaExceededError)


def error_from_body(error_body: ErrorBody) -> QwenImageError:
    """Return the error of the tree that a refusal means, with its facts and flags."""
    kind, advice = _classify(error_body)
    is_billed = _may_be_billed(error_body, kind)
    wait = _wait(error_body, kind)
    is_retryable = kind.is_retryable and error_body.status == 429
    if error_body.asks_to_come_back:
        is_retryable = kind in {RateLimitError, ServerError}
    return kind(
        _sentence(error_body, advice, wait, is_billed=is_billed),
        is_retryable=is_retryable and not error_body.is_poll,
        may_have_been_billed=is_billed,
        status_code=error_body.status,
        code=error_body.code,
        request_id=error_body.request_id,
        retry_after=wait,
    )


def _may_be_billed(error_body: ErrorBody, kind: type[QwenImageError]) -> bool:
    if error_body.is_failed_task:
        return False  # the owner: not charged
    if error_body.is_poll and kind is not ContentRejectedError:
        return True  # the POST was taken, and this answer says nothing of its end
    if error_body.asks_to_come_back:
        return False
    if kind in _KINDS_OF_TEXTS and _is_unstated(error_body):
        return True
    return kind.may_have_been_billed or _is_unclear(error_body)


def _is_unclear(error_body: ErrorBody) -> bool:
    """Say whether the gateway may have worked on the request: 5xx, and 408.

    A 408 should mean that the request did not arrive whole (RFC 9110), but proxies send it for an
    answer that took too long, too.
    """
    return error_body.status >= 500 or 408 in {error_body.status, error_body.inner_status}


def _is_unstated(error_body: ErrorBody) -> bool:
    """Say whether it is a success by its status, and no error by its own words."""
    return 200 <= error_body.status < 300 and not error_body.is_stated


def _wait(error_body: ErrorBody, kind: type[QwenImageError]) -> float | None:
    """Return the seconds to wait; a text is believed where it is about a rate or a quota."""
    if error_body.header_wait is not None or kind not in {RateLimitError, QuotaExceededError}:
        return error_body.header_wait
    return error_body.text_wait


def _classify(error_body: ErrorBody) -> tuple[type[QwenImageError], str]:
    kind, advice = _kind_and_advice(error_body)
    if (error_body.code or "").lower().startswith(_UPSTREAM_CODES):
        advice = (
            "This concerns the gateway's own account with its provider, not yours. Report it to "
            "the gateway."
        )
    return kind, advice


def _kind_and_advice(error_body: ErrorBody) -> tuple[type[QwenImageError], str]:
    status = error_body.inner_status or error_body.status
    if _is_unstated(error_body) and not error_body.has_named_texts:
        return MalformedResponseError, "It contains no usable image."
    if words.is_moderation(error_body.codes, error_body.texts, status=status):
        return ContentRejectedError, (
            "Moderation refused the prompt or the image; change the wording or the subject."
        )
    if _is_money(error_body, status):
        return QuotaExceededError, "Out of credits, quota or balance. Top up or wait."
    if _is_unstated(error_body):
        return MalformedResponseError, "It contains no usable image."
    if 200 <= status < 300:
        status = guessed_status(error_body)
    return _by_words(error_body, status) or _by_status(error_body, status)


def _is_money(error_body: ErrorBody, status: int) -> bool:
    """Say whether money is the matter; a 403 with `Retry-After` is the gateway's quota (APIM)."""
    page = error_body.message[:_PAGE]
    is_page = error_body.is_foreign and ("<" in page or words.is_firewall(words.plain([page])))
    is_quota = status == 403 and error_body.header_wait is not None and not is_page
    return (
        status == 402
        or is_quota
        or words.is_money(error_body.codes, error_body.texts, status=status)
    )


def _by_words(error_body: ErrorBody, status: int) -> tuple[type[QwenImageError], str] | None:
    """Return what words say that the status alone does not; None where they add nothing."""
    codes, texts = error_body.codes, error_body.texts
    if status in {400, 403, 404, 410, 422} and words.is_missing_model(codes, texts):
        return NotFoundError, (
            "The gateway does not offer this model or route at the moment. The prompt is not the "
            "cause: check base_url (PIXAZO_BASE_URL) and the model's page, or ask the gateway."
        )
    if status in {400, 403} and words.is_key_refused(codes, texts):
        return AuthenticationError, _CHECK_KEY
    if status == 403 and words.is_rate_limit(codes, texts):
        return RateLimitError, "Try again later."
    if 400 <= status < 500 and _is_before_gateway(error_body, status):
        return PermissionDeniedError, _BEFORE_GATEWAY
    return None


def _is_before_gateway(error_body: ErrorBody, status: int) -> bool:
    """Say whether a firewall or a proxy refused it, whose answers are no JSON (gateway-facts)."""
    if status in {401, 404, 408, 429}:
        return False
    page = words.plain([error_body.message[:_PAGE]])
    is_said = words.is_firewall(f"{error_body.texts}\n{page}")  # Cloudflare has pages of JSON too
    if not page.strip():
        return False
    return (
        status == 407
        or (status == 403 and (error_body.is_foreign or is_said))
        or (error_body.is_foreign and is_said)
    )


def _by_status(error_body: ErrorBody, status: int) -> tuple[type[QwenImageError], str]:
    if 300 <= status < 400:
        return NotFoundError, (
            "Redirects are not followed, because that would send the key to another address. Set "
            "base_url to the final address."
        )
    if status >= 500:
        return ServerError, ""
    kind, advice = _BY_STATUS.get(status) or _of_class(status)
    if status == 403 and not error_body.message.strip():
        advice = _EMPTY_403
    if error_body.is_page and kind is not RateLimitError:
        advice = f"{_NOT_THE_GATEWAYS} {advice}"
    return kind, advice


def _of_class(status: int) -> tuple[type[QwenImageError], str]:
    if 400 <= status < 500:
        return InvalidRequestError, "Read its message and change the request."
    return MalformedResponseError, ""


def _sentence(error_body: ErrorBody, advice: str, wait: float | None, *, is_billed: bool) -> str:
    code = f" ({error_body.code})" if error_body.code else ""
    target = error_body.location if 300 <= error_body.status < 400 else None
    said = quote(target or error_body.message, error_body.secret)
    asks = f"It asks to wait {wait:.10g} s." if wait else ""
    outcome = _outcome(error_body, is_billed=is_billed)
    sentences = " ".join(one for one in (advice, outcome, asks) if one)
    return f"The gateway answered {error_body.status}{code}{said}. {sentences}"


def _outcome(error_body: ErrorBody, *, is_billed: bool) -> str:
    if error_body.is_failed_task:
        return "A failed task is not charged. It is not retried automatically."
    if error_body.is_poll and is_billed:
        return "This is about a request that is in the queue; its image may still be billed."
    if error_body.asks_to_come_back:
        return "Nothing was bought; try again later."
    return _MAY_BE_BILLED if is_billed else "Nothing was bought."
