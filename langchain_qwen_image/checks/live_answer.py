"""What this package assumes of the gateway's answers, one by one, compared with what came."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from langchain_qwen_image.checks.live_body import (
    DOCUMENTED,
    SECOND,
    images_at,
    is_json_object,
    kind_of,
    last_object,
)
from langchain_qwen_image.checks.live_evidence import (
    BAD_SIZE,
    SIZE,
    Assumption,
    LiveCall,
    judged,
)
from langchain_qwen_image.checks.live_exchange import Exchange
from langchain_qwen_image.defaults import TIMEOUT
from langchain_qwen_image.errors import InvalidRequestError

_CLOCK_SECONDS = 300
_CODINGS = {"", "identity", "gzip", "deflate"}
_REFUSED = {401, 403}


def is_refused(call: LiveCall) -> bool:
    """Say whether the gateway itself refused a key: 401 or 403, and no page of a firewall."""
    post = call.post
    if post is None or call.result is not None or post.status not in _REFUSED:
        return False
    is_markup = post.body.lstrip()[:1] == b"<"
    return is_json_object(post) or (post.status == 401 and not is_markup)


def wrong_key(call: LiveCall) -> Assumption:
    """Return whether a wrong key is refused as we think."""
    return judged(
        "Wrong key",
        "401 or 403 from the gateway itself, before an image is generated",
        f"status {call.post.status}" if call.post and is_refused(call) else _how_it_ended(call),
        is_refused(call),
    )


def bad_size(call: LiveCall) -> Assumption:
    """Return whether a size that is not documented is refused."""
    found = _how_it_ended(call)
    if call.result is not None:
        image = call.result.images[0]
        found = f"an image of {image.width}×{image.height}"
    return judged(
        f"Size {BAD_SIZE}",
        "refused as an invalid request (400), not billed",
        found,
        isinstance(call.error, InvalidRequestError),
    )


def success(call: LiveCall) -> Iterator[Assumption]:
    """Yield what is assumed of a successful answer; without an answer, only that there is one."""
    post, last = call.post, call.last
    is_success = call.result is not None
    yield judged("Success", "status 200 and an image", _how_it_ended(call), is_success)
    if post is None or last is None or last.status is None:
        return
    yield judged(
        "Synchronous",
        "the image is in the response to the POST, without a queue",
        "yes" if len(call.exchanges) == 1 else f"queued: {len(call.exchanges) - 1} polls",
        len(call.exchanges) == 1 and post.status != 202,
    )
    seconds = sum(one.seconds for one in call.exchanges)
    expected = f"usually 20 to 30 s, {TIMEOUT:g} s at most"
    yield judged("Time", expected, f"{seconds:.1f} s", seconds < TIMEOUT)
    if 200 <= last.status < 300:
        yield from _headers(last)
    if is_success:
        yield from _body(call, last)


def _headers(last: Exchange) -> Iterator[Assumption]:
    content_type = last.headers.get("content-type", "")
    is_json = content_type.partition(";")[0].strip().lower() == "application/json"
    yield judged("Content-Type", "application/json", content_type or "none", is_json)
    coding = last.headers.get("content-encoding", "").strip().lower()
    length = _number(last.headers.get("content-length"))
    is_plain = length == len(last.body)
    found = coding or "none"
    if coding not in ("", "identity") and is_plain:
        found = f"{found}, but the bytes are not encoded"
    is_true = coding in _CODINGS and (coding in ("", "identity") or not is_plain)
    yield judged("Coding", "none, gzip or deflate, as asked for", found, is_true)
    if coding in ("", "identity") and length is not None:
        found = f"{length} announced, {len(last.body)} received"
        yield judged("Content-Length", "the number of bytes received", found, is_plain)
    yield _clock(last)
    cookies = "set-cookie" in last.headers
    yield judged("Cookies", "none", "set" if cookies else "none", not cookies)


def _clock(last: Exchange) -> Assumption:
    expected = f"correct to within {_CLOCK_SECONDS} s"
    try:
        said = parsedate_to_datetime(last.headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return judged("Date header", expected, "none, or unreadable", None)
    ahead = said - (last.asked_at.timestamp() + last.seconds)
    return judged(
        "Date header",
        expected,
        f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's clock",
        abs(ahead) < _CLOCK_SECONDS,
    )


def _body(call: LiveCall, last: Exchange) -> Iterator[Assumption]:
    assert call.result is not None  # noqa: S101 - only a success comes here
    top = last_object(last)
    place, names = images_at(top)
    yield judged("Body", "a JSON object in UTF-8", kind_of(last), is_json_object(last))
    found = place or "elsewhere"
    yield judged("Success shape", f"{DOCUMENTED}, or {SECOND}", found, place is not None)
    count = len(names) or len(call.result.images)
    yield judged("Images", "1, named once", str(count), count == 1)
    text = " ".join(call.result.warnings)
    yield judged("Text next to the image", "none", text or "none", not text)
    yield _optional("finish_reason", "stop", call.result.finish_reason)
    request_id = call.result.request_id
    yield judged("request_id", "present", "yes" if request_id else "none", bool(request_id) or None)
    output = top.get("output")
    metric = output.get("task_metric") if isinstance(output, dict) else None
    yield _counts("task_metric", metric, {"TOTAL": 1, "FAILED": 0, "SUCCEEDED": 1})
    side = int(SIZE.partition("*")[0])
    usage = {"width": side, "image_count": 1, "height": side}
    yield _counts("usage", top.get("usage"), usage, prefix="output_")


def _counts(name: str, value: object, expected: dict[str, int], *, prefix: str = "") -> Assumption:
    """Compare numbers; upstream writes a prefix before their names, and adds others."""
    said = ", ".join(f"{key} {one}" for key, one in expected.items())
    if not isinstance(value, dict):
        return judged(name, said, "none", None if value is None else False)
    numbers = {
        str(key): one for key, one in list(value.items())[:10] if isinstance(one, int | None)
    }
    found = ", ".join(f"{key} {one}" for key, one in numbers.items()) or "no numbers"
    wordings = (expected, {f"{prefix}{key}": one for key, one in expected.items()})
    return judged(name, said, found, any(one.items() <= numbers.items() for one in wordings))


def _optional(name: str, expected: str, found: str | None) -> Assumption:
    return judged(name, expected, found or "none", None if found is None else found == expected)


def _how_it_ended(call: LiveCall) -> str:
    post = call.post
    status = "no answer" if post is None or post.status is None else f"status {post.status}"
    if call.result is not None:
        return f"{status} and an image"
    if call.error is not None:
        return f"{status}, {type(call.error).__name__}: {call.error}"
    return f"{status}, interrupted"


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 20 else None
