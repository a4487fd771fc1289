"""The status that an error inside HTTP 200 would have had.

By its code, as DashScope has them, and then by its text, as the API document has them.
"""

import re

from langchain_qwen_image.wire import classification_words as words
from langchain_qwen_image.wire.error_body import ErrorBody

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


def guessed_status(error_body: ErrorBody) -> int:
    """Return what an error inside HTTP 200 would have had as its status."""
    code = re.sub(r"[^a-z0-9]", "", (error_body.code or "").lower())
    by_code = (status for name, status in _STATUS_OF_CODE if code.startswith(name))
    by_text = (status for text, status in _STATUS_OF_TEXT if text in error_body.texts)
    named = next(by_code, None)
    if named is None and words.is_missing_model(error_body.codes, error_body.texts):
        return 404
    return named or next(by_text, 500 if error_body.is_failed_task else 200)
