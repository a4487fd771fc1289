"""Answers that are not an image: every shape, its class, its facts, and what is quoted of it."""

import html
import json
from datetime import UTC, datetime
from urllib.parse import quote as percent_encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image import errors as tree
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.wire.redaction import QUOTE_LIMIT, quote
from langchain_qwen_image.wire.response import parse_response

SECRET = "sk_live_0123456789abcdef/+key"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
ID = "5a4e0b1d-77c2-9e0f-8a43-0c1d2e3f4a5b"

Body = dict[str, object] | bytes


def refused(status: int, body: Body, headers: dict[str, str] | None = None) -> QwenImageError:
    """Return the error that an answer means."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(QwenImageError) as caught:
        parse_response(status, headers or {}, content, secret=SECRET, now=NOW)
    return caught.value


def apim(status: int, text: str, **more: object) -> dict[str, object]:
    """Return a body in the shape of Azure API Management."""
    return {"statusCode": status, "message": text, **more}


def dashscope(code: str, text: str = "Said.") -> dict[str, object]:
    """Return a body in the shape of DashScope."""
    return {"request_id": ID, "code": code, "message": text}


RETRYABLE, BILLED = "retryable", "billed"
WAIT = {"Retry-After": "7"}

SORTED = [
    # The document's own table.
    (400, {"error": "Invalid request parameters"}, {}, tree.InvalidRequestError, None),
    (401, {"error": "Invalid or missing authentication"}, {}, tree.AuthenticationError, None),
    (403, {"error": "Access denied for this operation"}, {}, tree.PermissionDeniedError, None),
    (404, {"error": "Endpoint not found"}, {}, tree.NotFoundError, None),
    (429, {"error": "Rate limit exceeded, please retry later"}, {}, tree.RateLimitError, RETRYABLE),
    (500, {"error": "An unexpected error occurred"}, {}, tree.ServerError, BILLED),
    (400, {"error": "Invalid parameters"}, {}, tree.InvalidRequestError, None),
    # Azure API Management.
    (401, apim(401, "Access denied due to missing subscription key."),
     {"WWW-Authenticate": "AzureApiManagementKey realm=x"}, tree.AuthenticationError, None),
    (401, apim(401, "Access denied due to invalid subscription key."), {},
     tree.AuthenticationError, None),
    (429, apim(429, "Rate limit is exceeded. Try again in 60 seconds."), {"Retry-After": "60"},
     tree.RateLimitError, RETRYABLE),
    (403, apim(403, "Out of call volume quota. Quota will be replenished in 07:01:20."),
     {"Retry-After": "25280"}, tree.QuotaExceededError, None),
    (403, apim(403, "Out of call volume quota. Quota will be replenished in 20.09:58:55."), {},
     tree.QuotaExceededError, None),
    (403, apim(403, "Forbidden"), WAIT, tree.QuotaExceededError, None),
    (403, apim(403, "Forbidden"), {}, tree.PermissionDeniedError, None),
    (404, apim(404, "Resource not found"), {}, tree.NotFoundError, None),
    (500, apim(500, "Internal server error"), {}, tree.ServerError, BILLED),
    # DashScope.
    (400, dashscope("InvalidParameter"), {}, tree.InvalidRequestError, None),
    (429, dashscope("Throttling"), {}, tree.RateLimitError, RETRYABLE),
    (429, dashscope("Throttling.RateQuota"), {}, tree.RateLimitError, RETRYABLE),
    (429, dashscope("Throttling.BurstRate"), WAIT, tree.RateLimitError, RETRYABLE),
    (429, dashscope("Throttling.AllocationQuota"), {}, tree.RateLimitError, RETRYABLE),
    (429, dashscope("Throttling.AllocationQuota", "Free allocated quota exceeded."), {},
     tree.QuotaExceededError, None),
    (429, dashscope("CommodityNotPurchased"), {}, tree.QuotaExceededError, None),
    (429, dashscope("PrepaidBillOverdue"), {}, tree.QuotaExceededError, None),
    (429, dashscope("PostpaidBillOverdue"), WAIT, tree.QuotaExceededError, None),
    (400, dashscope("Arrearage"), {}, tree.QuotaExceededError, None),
    (500, dashscope("InternalError"), {}, tree.ServerError, BILLED),
    (500, dashscope("InternalError.Algo"), {}, tree.ServerError, BILLED),
    (500, dashscope("InternalError.Upload"), {}, tree.ServerError, BILLED),
    (500, dashscope("InternalError.Timeout"), {}, tree.ServerError, BILLED),
    (500, dashscope("RequestTimeOut"), {}, tree.ServerError, BILLED),
    (500, dashscope("SystemError"), {}, tree.ServerError, BILLED),
    (500, dashscope("ModelServiceFailed"), {}, tree.ServerError, BILLED),
    (500, dashscope("RewriteFailed"), {}, tree.ServerError, BILLED),
    (503, dashscope("ModelServingError"), {}, tree.ServerError, BILLED),
    (503, dashscope("ModelUnavailable"), {}, tree.ServerError, BILLED),
    (503, dashscope("ModelUnavailable"), WAIT, tree.ServerError, RETRYABLE),
    # Moderation, whatever the status.
    (400, dashscope("DataInspectionFailed"), {}, tree.ContentRejectedError, None),
    (400, dashscope("data_inspection_failed"), {}, tree.ContentRejectedError, None),
    (400, dashscope("IPInfringementSuspect"), {}, tree.ContentRejectedError, None),
    (400, dashscope("CustomRoleBlocked"), {}, tree.ContentRejectedError, None),
    (400, dashscope("FaqRuleBlocked"), {}, tree.ContentRejectedError, None),
    (500, dashscope("InternalError.Algo.DataInspectionFailed"), {}, tree.ContentRejectedError,
     BILLED),
    (400, {"error": "Input data may contain inappropriate content."}, {},
     tree.ContentRejectedError, None),
    (400, b"Green net check failed", {}, tree.ContentRejectedError, None),
    (200, dashscope("DataInspectionFailed"), {}, tree.ContentRejectedError, None),
    (503, dashscope("DataInspectionFailed"), WAIT, tree.ContentRejectedError, None),
    (400, dashscope("InvalidParameter.DataInspection", "Unable to download."), {},
     tree.InvalidRequestError, None),
    # Money.
    (402, {"error": "Out of credits"}, {}, tree.QuotaExceededError, None),
    (402, b"", {}, tree.QuotaExceededError, None),
    (403, {"error": "Insufficient balance"}, {}, tree.QuotaExceededError, None),
    (403, {"error": "Your account balance is not enough"}, {}, tree.QuotaExceededError, None),
    (500, {"error": "Insufficient balance"}, {}, tree.ServerError, BILLED),
    (503, dashscope("Arrearage"), WAIT, tree.QuotaExceededError, None),
    # An error as an object.
    (400, {"error": {"code": "invalid_request_error", "message": "No."}}, {},
     tree.InvalidRequestError, None),
    (400, {"error": {"type": "DataInspectionFailed", "message": "No."}}, {},
     tree.ContentRejectedError, None),
    # Proxies.
    (500, b"Error processing request", {}, tree.ServerError, BILLED),
    (502, b"<html><h1>502 Bad Gateway</h1></html>", {}, tree.ServerError, BILLED),
    (503, b"", {}, tree.ServerError, BILLED),
    (503, b"", {"Retry-After": "0"}, tree.ServerError, RETRYABLE),
    (503, b"", {"Retry-After": "soon"}, tree.ServerError, BILLED),
    (503, apim(429, "Too many."), WAIT, tree.RateLimitError, RETRYABLE),
    (504, b"upstream request timeout", WAIT, tree.ServerError, BILLED),
    (522, b"\xff\xfe\x00\x80", {}, tree.ServerError, BILLED),
    (500, b"", WAIT, tree.ServerError, BILLED),
    (599, b"[]", {}, tree.ServerError, BILLED),
    (999, b"", {}, tree.ServerError, BILLED),
    # Other 4xx, redirects, and what is no status at all.
    (405, b"", {}, tree.InvalidRequestError, None),
    (408, b"Request Timeout", {}, tree.InvalidRequestError, BILLED),
    (408, b"", WAIT, tree.InvalidRequestError, BILLED),
    (408, {"error": "Insufficient balance"}, {}, tree.QuotaExceededError, BILLED),
    (500, dashscope("Arrearage"), {}, tree.QuotaExceededError, BILLED),
    (413, b"<html>413</html>", {}, tree.InvalidRequestError, None),
    (422, {"detail": [{"msg": "field required"}]}, {}, tree.InvalidRequestError, None),
    (301, b"", {"Location": "https://elsewhere.example/"}, tree.NotFoundError, None),
    (307, b"", {}, tree.NotFoundError, None),
    (0, b"", {}, tree.MalformedResponseError, BILLED),
    (101, b"", {}, tree.MalformedResponseError, BILLED),
    # Inside HTTP 200, where no 429 or 503 proves that nothing was bought.
    (200, dashscope("Throttling.RateQuota"), {}, tree.RateLimitError, None),
    (200, dashscope("InvalidApiKey"), {}, tree.AuthenticationError, None),
    (200, dashscope("AccessDenied.Unpurchased"), {}, tree.PermissionDeniedError, None),
    (200, dashscope("ModelNotFound"), {}, tree.NotFoundError, None),
    (200, dashscope("InvalidParameter"), {}, tree.InvalidRequestError, None),
    (200, dashscope("InternalError.Algo"), {}, tree.ServerError, BILLED),
    (200, dashscope("ModelUnavailable"), WAIT, tree.ServerError, BILLED),
    (200, dashscope("SomethingNew"), {}, tree.MalformedResponseError, BILLED),
    (200, {"error": "Rate limit exceeded, please retry later"}, {}, tree.RateLimitError, None),
    (200, {"error": "Invalid or missing authentication"}, {}, tree.AuthenticationError, None),
    (200, {"error": "Access denied for this operation"}, {}, tree.PermissionDeniedError, None),
    (200, {"error": "Endpoint not found"}, {}, tree.NotFoundError, None),
    (200, {"error": "Invalid parameters"}, {}, tree.InvalidRequestError, None),
    (200, {"error": "An unexpected error occurred"}, {}, tree.ServerError, BILLED),
    (200, {"error": "Out of credits"}, {}, tree.QuotaExceededError, None),
    (200, {"error": {"message": "No."}}, {}, tree.MalformedResponseError, BILLED),
    (200, apim(401, "Access denied."), {}, tree.AuthenticationError, None),
    (200, apim(408, "Request timeout."), {}, tree.InvalidRequestError, BILLED),
    (200, apim(429, "Rate limit is exceeded."), WAIT, tree.RateLimitError, None),
    (200, {"success": False}, {}, tree.MalformedResponseError, BILLED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "flag"),
    [
        pytest.param(*row, id=f"{number}-{row[0]}-{row[3].__name__}")
        for number, row in enumerate(SORTED)
    ],
)
def test_every_refusal_has_its_class(
    status: int, body: Body, headers: dict[str, str], kind: type[QwenImageError], flag: str | None
) -> None:
    """A refusal is sorted into its class, with the flags that say whether it cost anything."""
    error = refused(status, body, headers)
    assert type(error) is kind
    assert error.status_code == status
    assert (error.is_retryable, error.may_have_been_billed) == (flag == RETRYABLE, flag == BILLED)
    assert not (error.may_have_been_billed and "Nothing was bought" in str(error))
    assert f"answered {status}" in str(error)
    if "Nothing was bought" in str(error):
        assert not error.may_have_been_billed


@pytest.mark.parametrize(
    ("body", "headers", "code", "request_id"),
    [
        pytest.param({"error": "No."}, {}, None, None, id="document"),
        pytest.param(apim(400, "No.", activityId=ID), {}, None, ID, id="APIM"),
        pytest.param(dashscope("Throttling"), {}, "Throttling", ID, id="DashScope"),
        pytest.param({"error": {"code": "a", "request_id": ID}}, {}, "a", ID, id="nested"),
        pytest.param({"error": {"type": "b"}}, {}, "b", None, id="nested type"),
        pytest.param({"code": "", "error": {"code": "c"}}, {}, "c", None, id="empty code above"),
        pytest.param({"code": 1234, "message": "No."}, {}, "1234", None, id="number"),
        pytest.param({"code": True, "request_id": [1]}, {}, None, None, id="odd"),
        pytest.param({"code": 10**12}, {}, None, None, id="huge number"),
        pytest.param(b"No.", {"X-Request-Id": ID}, None, ID, id="header"),
        pytest.param(b"No.", {"apim-request-id": ID}, None, ID, id="APIM header"),
        pytest.param({"code": " \n ", "request_id": "\x00\x01"}, {}, None, None, id="blank"),
        pytest.param({"code": "a\x1b[31mb"}, {}, "a [31mb", None, id="control characters"),
    ],
)
def test_the_facts_are_attributes(
    body: Body, headers: dict[str, str], code: str | None, request_id: str | None
) -> None:
    """Code and request id are read wherever the answer has them."""
    error = refused(400, body, headers)
    assert (error.code, error.request_id) == (code, request_id)
    assert code is None or f"({code})" in str(error)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        pytest.param(401, {"error": "No."}, "PIXAZO_API_KEY", id="key"),
        pytest.param(404, {"error": "No."}, "PIXAZO_BASE_URL", id="address"),
        pytest.param(307, b"", "not followed", id="redirect"),
        pytest.param(400, {"error": "No."}, "change the request", id="request"),
        pytest.param(400, dashscope("DataInspectionFailed"), "change the wording", id="moderation"),
        pytest.param(402, b"", "Top up", id="money"),
        pytest.param(401, dashscope("InvalidApiKey"), "gateway's own account", id="upstream key"),
        pytest.param(400, dashscope("Arrearage"), "gateway's own account", id="upstream bill"),
        pytest.param(403, dashscope("AccessDenied"), "gateway's own account", id="upstream rights"),
        pytest.param(500, b"", "may have been billed", id="server"),
        pytest.param(200, b"", "may have been billed", id="malformed"),
    ],
)
def test_the_message_says_what_to_do(status: int, body: Body, words: str) -> None:
    """The message tells a person what to fix, and whom to ask."""
    assert words in str(refused(status, body))


def test_the_wait_is_said() -> None:
    """How long the gateway asks to wait stands in the message."""
    assert "wait 25280 s" in str(refused(403, b"", {"Retry-After": "25280"}))
    assert "wait" not in str(refused(429, b"", {"Retry-After": "0"}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "", id="empty"),
        pytest.param(" \n\t ", "", id="blank"),
        pytest.param("No.", ': "No."', id="plain"),
        pytest.param("a\nb\r\n\tc", ': "a b c"', id="one line"),
        pytest.param("a\x00\x1b[2Jb\u202ec\ud800d", ': "a [2Jb c d"', id="control characters"),
        pytest.param("<html><b>Bad</b> gate</html>", ': "Bad gate"', id="HTML"),
        pytest.param("<style>a{}</style>Bad<SCRIPT>x</script >", ': "Bad"', id="style and script"),
        pytest.param("Bad<script>x = 1", ': "Bad"', id="script without an end"),
        pytest.param("&lt;p&gt;5 &amp; 6", ': "5 & 6"', id="entities"),
        pytest.param("x" * 200, f': "{"x" * 200}"', id="at the limit"),
        pytest.param("x" * 201, f': "{"x" * 199}…"', id="over the limit"),
    ],
)
def test_what_a_server_said_is_quoted_short(text: str, said: str) -> None:
    """A quotation is one printable line of 200 characters at most, without markup."""
    assert quote(text, "") == said


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("at https://h/a.png?Expires=1&Signature=s%2Bt.", id="plain"),
        pytest.param("HTTPS://h/a.png?Signature=s%2Bt", id="capitals"),
        pytest.param(r'"https:\/\/h\/a.png?Signature=s%2Bt"', id="JSON slashes"),
        pytest.param(r'"https://h/a.png\u003fSignature=s%2Bt"', id="JSON question mark"),
        pytest.param("<a href=x>https://h/a.png?a&amp;Signature=s%2Bt</a>", id="HTML"),
        pytest.param("//h/a.png?Signature=s%2Bt", id="no scheme"),
        pytest.param("https://h/a.png#Signature=s%2Bt", id="fragment"),
    ],
)
def test_signed_links_are_cut(text: str) -> None:
    """A link in a quotation ends before its signature."""
    assert "Signature" not in quote(text, "")
    assert "//h/a.png?…" in quote(text, "")


def test_a_signed_link_in_a_malformed_answer_is_cut() -> None:
    """An answer that is cut short in its link quotes the link without its query."""
    error = refused(200, b'{"output": {"image": "https://h/a.png?Expires=1&Signature=abc')
    assert "https://h/a.png" in str(error)
    assert "Signature" not in str(error)


def test_a_redirect_names_its_target_without_query() -> None:
    """The message of a redirect says where it leads, without what follows the path."""
    error = refused(302, b"Found", {"Location": "/login?ticket=abc"})
    assert ': "/login"' in str(error)


ECHOES = {
    "plain": SECRET,
    "capitals": SECRET.upper(),
    "JSON": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "JSON code points": "".join(f"\\u{ord(c):04x}" for c in SECRET),
    "HTML": html.escape(SECRET),
    "HTML code points": "".join(f"&#{ord(c)};" for c in SECRET),
    "percent": percent_encode(SECRET, safe=""),
}


@pytest.mark.parametrize("echo", [pytest.param(value, id=name) for name, value in ECHOES.items()])
@pytest.mark.parametrize("lead", [0, QUOTE_LIMIT - 30, QUOTE_LIMIT - 12, QUOTE_LIMIT - 5])
@pytest.mark.parametrize("status", [200, 302, 401, 429, 500, 503])
def test_an_echoed_key_is_hidden(status: int, lead: int, echo: str) -> None:
    """However a server sends the key back, also at the limit of the quotation, it is not shown."""
    text = "x" * lead + echo
    bodies: list[Body] = [
        text.encode(),
        {"error": text},
        {"error": {"code": echo, "message": text, "request_id": echo}},
        {"code": echo, "message": text, "request_id": echo},
        f'{{"cut": "{text}'.encode(),
        json.dumps({"other": text}).encode(),
    ]
    for body in bodies:
        error = refused(status, body, {"x-request-id": echo, "Location": f"https://h/{echo}?a"})
        shown = [str(error), repr(error), error.message, str(error.args), str(vars(error))]
        assert not [one for one in shown if SECRET[:12].lower() in one.lower()]
        assert "[key]" in str(error) or lead


@pytest.mark.parametrize("length", [8, 20, len(SECRET) - 1])
def test_a_key_that_is_cut_short_is_hidden(length: int) -> None:
    """An answer that ends in the middle of the key does not show the part that came."""
    error = refused(401, b"Not accepted: " + SECRET[:length].encode())
    assert str(error).count("Not accepted: [key]") == 1
    assert SECRET[:8] not in str(error)


def test_a_page_of_megabytes_is_read_quickly() -> None:
    """Markup that never ends costs no more than the part that is looked at."""
    assert quote("<" * 5_000_000, SECRET).startswith(': "<<<')
    assert quote("<script" * 1_000_000, SECRET) == ""


@given(st.text(), st.text(alphabet=st.characters(codec="ascii", exclude_characters=" ")))
def test_a_quotation_is_always_fit_to_print(text: str, secret: str) -> None:
    """Any text and any key give a short printable quotation, without the key."""
    said = quote(text, secret)
    assert said.isprintable()
    assert len(said) <= QUOTE_LIMIT + 4


@given(st.text(max_size=100), st.text(max_size=100))
def test_a_key_within_any_text_is_hidden(before: str, after: str) -> None:
    """The key is hidden wherever it stands."""
    assert SECRET not in quote(before + SECRET + after, SECRET)


@pytest.mark.parametrize(
    ("levels", "is_quoted"),
    [pytest.param(3, True, id="shallow"), pytest.param(60, False, id="too deep")],
)
def test_texts_are_quoted_from_a_depth(levels: int, is_quoted: bool) -> None:
    """A text far inside an answer is judged with the whole body, and not sought to be quoted."""
    body: dict[str, object] = {"message": "Your wallet is empty."}
    for _ in range(levels):
        body = {"error": body}
    error = refused(403, body)
    assert type(error) is tree.QuotaExceededError
    assert ("Your wallet is empty." in str(error)) is is_quoted
