"""What a refusal is about, by all of its words: money, moderation, the model, a firewall, a key."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image import errors as tree
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.wire.error_texts import is_nothing
from langchain_qwen_image.wire.response import parse_response

SECRET = "sk_live_0123456789abcdef"
Body = object


def refused(status: int, body: Body, prompt: str = "", **headers: str) -> QwenImageError:
    """Return the error that an answer means."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(QwenImageError) as caught:
        parse_response(status, headers, content, secret=SECRET, prompt=prompt)
    return caught.value


def table(rows: list[tuple[Any, ...]]) -> Any:
    """Return a table with ids that say what is in each row."""
    return [pytest.param(*row, id=f"{row[0]} {str(row[1])[:70]}") for row in rows]


MONEY = [
    (403, {"error": "The balance is insufficient"}, "The balance is insufficient"),
    (403, {"error": "Forbidden", "message": "Your wallet does not have enough balance."},
     "Your wallet does not have enough balance."),
    (402, {"error": "card_required", "message": "Add a card to go on."}, "Add a card to go on."),
    (403, {"error": "card_required", "message": "Add a card to go on."}, "Add a card to go on."),
    (402, {"error": "Insufficient Balance", "message": "Put money into your wallet first."},
     "Put money into your wallet first."),
    (403, {"message": "Out of bandwidth quota. Quota will be replenished in 01:00:00."}, "01:00"),
    (403, {"code": "AllocationQuota.FreeTierOnly", "message": "The free tier is exhausted."},
     "The free tier is exhausted."),
    (403, {"error": {"code": "insufficient_user_quota", "message": "用户额度不足"}}, "用户额度"),
    (403, {"error": {"code": "insufficient_balance", "message": "Sorry."}}, "Sorry."),
    (403, {"error": {"details": [{"reason": "insufficient_user_quota"}], "message": "No."}}, "No."),
    (400, {"error": "insufficient_credits"}, "insufficient_credits"),
    (403, {"error": "limit", "message": "Your wallet balance: $0.00."}, "Your wallet balance"),
    (403, {"message": "Insufficient funds in wallet"}, "Insufficient funds"),
    (403, {"error": "Your credits are exhausted"}, "exhausted"),
    (403, {"error": "Payment Required", "message": "Please recharge to continue."}, "recharge to"),
    (403, {"message": "No active plan or credits left"}, "credits left"),
    (403, {"message": "Please top up your account"}, "Please top up"),
    (403, {"message": "Please add funds"}, "add funds"),
    (403, {"message": "Monthly usage limit reached"}, "Monthly"),
    (403, {"message": "You have reached your spending limit"}, "spending"),
    (403, {"message": "Your free trial has ended"}, "trial"),
    (403, {"error": "Billing hard limit has been reached"}, "Billing"),
    (403, {"code": "QuotaExceeded", "message": "Usage quota exceeded."}, "Usage quota"),
    (403, {"detail": "User does not have sufficient credits"}, "sufficient credits"),
    (403, {"detail": {"reason": "no_credits"}}, "no_credits"),
    (403, [{"error": {"message": "Insufficient balance"}}], "Insufficient balance"),
    (403, {"error": ["Your balance is too low"]}, "too low"),
    (403, {"errors": [{"message": "余额不足，请充值"}]}, "余额不足，请充值"),
    (403, {"success": False, "data": {"msg": "Balance not sufficient"}}, "Balance not sufficient"),
    (403, {"fault": {"faultstring": "Out of credits"}}, "Out of credits"),
    (403, {"result": "You are out of credits"}, "out of credits"),
    (403, b"Insufficient balance", "Insufficient balance"),
    (403, {"detail": "Not enough coins to generate"}, "Not enough coins"),
    (403, json.dumps({"error": "Insufficient balance"}), "Insufficient balance"),
    (403, {"message": 'upstream: {"error": {"message": "Insufficient balance"}}'}, "balance"),
    (403, {"message": "upstream error: 'Insufficient balance'"}, "balance"),
    (429, {"message": "Out of call volume quota. Quota will be replenished in 07:01:20."}, "Out"),
    (429, {"error": {"type": "insufficient_quota", "message": "Check your plan and billing."}},
     "Check your plan"),
    (429, {"code": "Throttling.AllocationQuota", "message": "Free allocated quota exceeded."},
     "Free allocated"),
    (200, {"code": 403, "message": "Insufficient balance"}, "Insufficient balance"),
    (200, {"status_code": 402, "code": "", "message": "Pay first.", "output": {"text": None}},
     "Pay first."),
    (200, {"output": {"error": {"message": "Out of credits"}}}, "Out of credits"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "said"), table(MONEY))
def test_money_is_told_by_any_word(status: int, body: Body, said: str) -> None:
    """Balance, credits, quota, wallet and card are money, wherever they stand; it is shown."""
    error = refused(status, body)
    assert type(error) is tree.QuotaExceededError
    assert (error.is_retryable, error.may_have_been_billed) == (False, False)
    assert said in str(error)


NOT_MONEY = [
    (429, {"error": {"message": "Quota exceeded for 'Requests' per minute"}}, tree.RateLimitError),
    (429, {"code": "Throttling.AllocationQuota", "message": "Allocated quota exceeded."},
     tree.RateLimitError),
    (429, {"message": "Rate limit exceeded. Upgrade your plan."}, tree.RateLimitError),
    (403, {"message": "Rate quota exceeded, 5 requests per second"}, tree.RateLimitError),
    (403, {"message": "API rate limit exceeded"}, tree.RateLimitError),
    (403, {"error": "Access denied for this operation"}, tree.PermissionDeniedError),
    (401, {"error": "Invalid or missing authentication"}, tree.AuthenticationError),
    (400, {"error": "Invalid prompt: a balance, insufficient"}, tree.InvalidRequestError),
    (400, {"error": "The prompt 'out of credits' is too long"}, tree.InvalidRequestError),
    (400, {"error": "The prompt “out of credits” is too long"}, tree.InvalidRequestError),
    (400, {"error": "The prompt ‘you don't have credits’ is long"}, tree.InvalidRequestError),
    (400, {"detail": [{"loc": ["body", "prompt"], "msg": "too long", "input": "out of credits"}]},
     tree.InvalidRequestError),
    (400, {"error": "Too long", "request": {"prompt": "out of credits"}}, tree.InvalidRequestError),
    (400, {"error": "Image contrast balance is not supported"}, tree.InvalidRequestError),
    (500, {"error": "Insufficient balance"}, tree.ServerError),
    (503, {"error": "Low capacity, not enough GPUs"}, tree.ServerError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), table(NOT_MONEY))
def test_other_words_are_not_money(status: int, body: Body, kind: type[QwenImageError]) -> None:
    """A rate, an echoed prompt and a 5xx are not taken for an empty account."""
    assert type(refused(status, body)) is kind


MODERATION = [
    (200, {"output": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "No."}}),
    (200, {"output": {"task_status": "FAILED", "code": "InternalError.Algo.DataInspectionFailed"}}),
    (200, {"status": "FAILED", "error": "Content flagged as NSFW"}),
    (200, {"code": "DataInspectionFailed", "message": "No."}),
    (422, {"error": "flagged by the content checker"}),
    (422, {"detail": [{"msg": "The prompt was rejected by moderation."}]}),
    (422, {"detail": "Prompt flagged"}),
    (400, {"code": "content_policy_violation", "message": "No."}),
    (400, {"error": {"code": "content_policy_violation", "message": "No."}}),
    (400, {"error": "ContentPolicyViolationError: blocked"}),
    (400, {"error": {"code": "moderation_blocked", "message": "No."}}),
    (400, {"error": {"code": "content_filter", "message": "No."}}),
    (400, {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
    (400, {"error": "Your prompt was flagged by our safety system"}),
    (400, {"error": "NSFW content detected"}),
    (400, {"error": "The prompt contains sensitive words"}),
    (400, {"error": "The content violates our usage policies"}),
    (400, {"error": "Bad Request", "message": "Input data may contain inappropriate content."}),
    (400, {"error": "It does not comply with green network verification"}),
    (400, {"message": "输入数据可能包含不适当的内容"}),
    (400, {"message": "输入内容违规"}),
    (400, {"message": "內容包含不適當的內容"}),
    (400, {"message": "输入内容包含违法信息"}),
    (400, {"message": "图片含有色情内容"}),
    (400, {"message": "提示词触发风控"}),
    (400, {"error": "请求被安全策略拦截"}),
    (400, {"error": "您的输入违反了内容政策"}),
    (400, {"error": "内容审核失败"}),
    (400, {"error": "This prompt is not allowed"}),
    (400, {"error": "Prompt rejected: inappropriate"}),
    (400, {"errors": {"prompt": ["was flagged by the content checker"]}}),
    (403, {"error": "Content moderation failed"}),
    (451, {"error": "prohibited content"}),
    (400, b"Green net check failed"),
    (400, {"message": 'upstream: {"code": "DataInspectionFailed", "message": "x"}'}),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body"), table(MODERATION))
def test_moderation_is_told_by_any_word(status: int, body: Body) -> None:
    """Moderation may say so by code or by words, in a refusal as in a failed task."""
    error = refused(status, body)
    assert type(error) is tree.ContentRejectedError
    assert (error.is_retryable, error.may_have_been_billed) == (False, False)
    assert "change the wording" in str(error)


NOT_MODERATION = [
    (400, {"code": "InvalidParameter.DataInspection", "message":
           "Unable to download the media resource during the data inspection process."},
     tree.InvalidRequestError),
    (503, {"error": "Moderation service unavailable"}, tree.ServerError),
    (500, {"error": "content checker crashed"}, tree.ServerError),
    (403, {"error": "Your account has been flagged for suspicious activity"},
     tree.PermissionDeniedError),
    (403, {"error": "Request flagged as a bot"}, tree.PermissionDeniedError),
    (400, {"error": 'The prompt "nsfw flagged content policy" is too short'},
     tree.InvalidRequestError),
    (422, {"detail": [{"loc": ["body", "size"], "msg": "field required"}]},
     tree.InvalidRequestError),
    (400, {"error": "parameter safety_checker is not supported"}, tree.InvalidRequestError),
    (400, {"error": "Unknown parameter: content_filter"}, tree.InvalidRequestError),
    (429, {"error": "flagged"}, tree.RateLimitError),
    (403, b"<html>flagged by our content policy</html>", tree.PermissionDeniedError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind"), table(NOT_MODERATION))
def test_other_words_are_not_moderation(
    status: int, body: Body, kind: type[QwenImageError]
) -> None:
    """A checker that is down, a parameter of that name and an echo are not its verdict."""
    assert type(refused(status, body)) is kind


PROMPT = "a bank that has insufficient balance, flagged as nsfw content"


@pytest.mark.parametrize(
    "text",
    [f"Cannot draw {PROMPT}!", f"Size is wrong for {PROMPT} at 7*7", PROMPT, f"{PROMPT[:40]}…"],
)
def test_the_prompt_itself_is_no_verdict(text: str) -> None:
    """What was asked for is known, so its words are left out where they are echoed."""
    assert type(refused(400, {"error": text}, PROMPT)) is tree.InvalidRequestError


def test_a_short_prompt_hides_no_verdict() -> None:
    """A prompt of one word leaves the server's own words alone."""
    error = refused(403, {"error": "The balance is insufficient"}, "balance")
    assert type(error) is tree.QuotaExceededError


MODEL = [
    (400, {"error": "Model not found", "message": "Model 'qwen-image' not found or is disabled"}),
    (404, {"code": "ModelNotFound", "message": "Model not exist."}),
    (400, {"error": {"code": "model_not_found", "message": "The model `x` does not exist."}}),
    (400, {"error": "Model is disabled"}),
    (400, {"error": "Unknown model: qwen-image"}),
    (400, {"error": "model qwen-image is deprecated"}),
    (422, {"detail": "Model is not available"}),
    (400, {"error": "Endpoint disabled"}),
    (400, {"message": "模型不存在"}),
    (200, {"error": "Model not found"}),
    (200, {"code": "ModelNotFound", "message": "x"}),
]


@pytest.mark.parametrize(("status", "body"), table(MODEL))
def test_a_missing_model_is_not_the_requests_fault(status: int, body: Body) -> None:
    """What only the operator or the gateway can fix is not blamed on the prompt."""
    error = refused(status, body)
    assert type(error) is tree.NotFoundError
    assert "change the request" not in str(error)


NOT_MODEL = [
    (400, {"error": "The model does not support size 512*512"}, tree.InvalidRequestError),
    (400, {"error": "Size 7*7 is not available for model qwen-image"}, tree.InvalidRequestError),
    (400, {"error": "Invalid model parameter: size"}, tree.InvalidRequestError),
    (503, {"error": "Model is unavailable"}, tree.ServerError),
    (429, {"error": "Model is unavailable at this rate"}, tree.RateLimitError),
]


@pytest.mark.parametrize(("status", "body", "kind"), table(NOT_MODEL))
def test_other_words_of_a_model(status: int, body: Body, kind: type[QwenImageError]) -> None:
    """A size that the model does not have is the request's fault; a 5xx and 429 stay so."""
    assert type(refused(status, body)) is kind


KEYS = [
    (403, {"message": "Invalid API key"}),
    (400, {"error": "Missing subscription key"}),
    (403, {"error": "The access token has expired", "message": "Access token is expired"}),
    (200, {"statusCode": 403, "message": "Access denied due to invalid subscription key."}),
    (401, b"<html>Sign in</html>"),
]


@pytest.mark.parametrize(("status", "body"), table(KEYS))
def test_a_refused_key_is_told_by_its_words(status: int, body: Body) -> None:
    """A key that was not accepted is that, with 400 and 403 too."""
    error = refused(status, body)
    assert type(error) is tree.AuthenticationError
    assert "PIXAZO_API_KEY" in str(error)


FIREWALL = [
    (403, b"<html><head><title>403</title></head><body>Forbidden</body></html>"),
    (403, b"error code: 1010"),
    (403, b"The request is blocked."),
    (403, b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>"),
    (403, b"<html>You are out of quota of this page, buy a subscription</html>"),
    (403, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
    (403, b"Forbidden"),
    (403, b"Access denied | Reference #18.abc"),
    (403, {"title": "Error 1010: Access denied", "cloudflare_error": True}),
    (
        403,
        {
            "title": "Error 1010: Access denied",
            "status": 403,
            "cloudflare_error": True,
            "detail": "The site owner has blocked access based on your browser's signature.",
        },
    ),
    (403, {"message": "The request is blocked."}),
    (400, b"error code: 1001"),
    (405, b"<html>your request has been blocked as it may be a threat</html>"),
    (406, b"<h1>Not Acceptable!</h1> generated by Mod_Security"),
    (407, b"Proxy Authentication Required"),
    (451, b"<html>blocked by zscaler</html>"),
]


GATEWAYS_OWN = [b"Forbidden", *(body for _, body in FIREWALL if not isinstance(body, bytes))]


@pytest.mark.parametrize(("status", "body"), table(FIREWALL))
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "5"}], ids=["", "with Retry-After"])
def test_a_firewall_says_nothing_of_the_subscription(
    status: int, body: Body, headers: dict[str, str]
) -> None:
    """What was written before the gateway is said to be so, and blames no subscription."""
    if headers and body in GATEWAYS_OWN:  # what asks to wait, and is no page, is its quota
        assert type(refused(status, body, **headers)) is tree.QuotaExceededError
        return
    error = refused(status, body, **headers)
    assert type(error) is tree.PermissionDeniedError
    assert "firewall" in str(error)
    advice = str(error).partition("firewall")[0].rpartition(". ")[2] + str(error)[-200:]
    assert "subscription" not in advice


NOT_FIREWALL = [
    (403, {"message": "Forbidden"}, tree.PermissionDeniedError, "subscription"),
    (403, b'{"error": "Forbidden", "mess', tree.PermissionDeniedError, "subscription"),
    (403, b"", tree.PermissionDeniedError, "no reason"),
    (400, b"<html><center>nginx</center></html>", tree.InvalidRequestError, "in front of it"),
    (404, b"<html>nginx</html>", tree.NotFoundError, "in front of it"),
    (413, b"<html>413</html>", tree.InvalidRequestError, "in front of it"),
    (429, b"error code: 1015", tree.RateLimitError, "Try again"),
    (502, b"<html>cloudflare</html>", tree.ServerError, "may have been billed"),
    (200, b"<html>Just a moment</html>", tree.MalformedResponseError, "may have been billed"),
]


@pytest.mark.parametrize(("status", "body", "kind", "said"), table(NOT_FIREWALL))
def test_other_pages(status: int, body: Body, kind: type[QwenImageError], said: str) -> None:
    """Other statuses keep their class; a page is said to be one."""
    error = refused(status, body)
    assert type(error) is kind
    assert said in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param({"error": "Forbidden", "message": "A b c d."}, "A b c d.", id="sentence"),
        pytest.param({"error": "A b c d.", "message": "Forbidden"}, "A b c d.", id="turned"),
        pytest.param({"error": "Forbidden"}, "Forbidden", id="label alone"),
        pytest.param({"message": "", "error": {"msg": "A b c."}}, "A b c.", id="empty above"),
        pytest.param({"title": "Bad", "detail": "A b c."}, "A b c.", id="problem details"),
        pytest.param({"detail": [{"msg": "A b c."}]}, "A b c.", id="list"),
        pytest.param({"output": {"message": "A b c."}}, "A b c.", id="output"),
        pytest.param({"error_description": "A b c."}, "A b c.", id="OAuth"),
        pytest.param({"error": {"errors": [{"info": "A b c."}]}}, "A b c.", id="deep"),
        pytest.param({"x": {"y": ["A b c."]}}, "A b c.", id="no name of an error"),
        pytest.param({"error": {"message": "A b c.", "stack": "x y z"}}, "A b c.", id="stack"),
        pytest.param({"error": 7, "message": "A b c."}, "A b c.", id="number"),
    ],
)
def test_the_sentence_is_shown(body: Body, said: str) -> None:
    """The text that a person understands is shown, not the short label beside it."""
    assert f': "{said}"' in str(refused(400, body))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param({"code": "400", "error": {"code": "Arrearage"}}, "Arrearage", id="telling"),
        pytest.param({"error": {"type": "a_type", "code": "a_code"}}, "a_code", id="code first"),
        pytest.param({"output": {"code": "Deep"}}, "Deep", id="output"),
        pytest.param({"error": "card_required", "message": "A b c."}, "card_required", id="label"),
        pytest.param({"errorCode": 7}, "7", id="camel case"),
        pytest.param({"code": "Success", "error": {"code": "E7"}}, "E7", id="a fine code"),
        pytest.param({"error": "Forbidden"}, None, id="a word is no code"),
    ],
)
def test_the_telling_code_is_the_code(body: Body, code: str | None) -> None:
    """The code that says most is the error's, wherever it stands."""
    assert refused(400, body).code == code


def test_an_inner_status_means_what_it_means() -> None:
    """A refusal inside HTTP 200 is read by its own status, and never repeated."""
    kinds = {
        400: tree.InvalidRequestError, 401: tree.AuthenticationError,
        402: tree.QuotaExceededError, 403: tree.PermissionDeniedError, 404: tree.NotFoundError,
        429: tree.RateLimitError, 500: tree.ServerError, 503: tree.ServerError,
    }  # fmt: skip
    for name in ("statusCode", "status_code", "httpStatus", "status", "code"):
        for status, kind in kinds.items():
            for value in (status, str(status)):
                error = refused(200, {name: value, "message": "It says no."})
                assert type(error) is kind
                assert not error.is_retryable
                assert error.may_have_been_billed is (status >= 500)


def test_a_status_inside_a_5xx_may_be_billed() -> None:
    """A caller's mistake may arrive as a 500; then nobody knows what was bought."""
    error = refused(500, {"statusCode": 400, "message": "It says no."})
    assert type(error) is tree.InvalidRequestError
    assert error.may_have_been_billed
    assert "Nothing was bought" not in str(error)


def test_words_in_a_success_may_be_billed() -> None:
    """A 2xx that calls itself no error, and whose words say one, may have been billed."""
    for text, kind in (
        ("Insufficient balance", tree.QuotaExceededError),
        ("Content flagged", tree.ContentRejectedError),
        ("It is done.", tree.MalformedResponseError),
    ):
        error = refused(200, {"message": text})
        assert type(error) is kind
        assert error.may_have_been_billed


_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(_value)
def test_nothing_is_nothing(value: object) -> None:
    """Wrapping nothing gives nothing, and wrapping something gives something."""
    assert is_nothing([value, {}, None]) is is_nothing(value)
    assert is_nothing({"a": value, "b": ""}) is is_nothing(value)


@pytest.mark.parametrize("deep", [5000, 100_000])
def test_a_refusal_of_any_depth_is_read(deep: int) -> None:
    """Objects within objects end somewhere."""
    refused(400, b'{"error":' * deep + b'"x"' + b"}" * deep)
    refused(400, {"error": [{"message": "A b c."}] * deep})
    assert not is_nothing([{}] * deep)


@given(st.text(), st.text(), st.integers(400, 499))
def test_any_two_texts_are_read(one: str, other: str, status: int) -> None:
    """Whatever a gateway says, it is one of its 4xx, and nothing was bought."""
    error = refused(status, {"error": one, "message": other})
    assert not error.may_have_been_billed or status == 408
    assert str(error).isprintable()
