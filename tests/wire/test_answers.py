"""Answers that are paid for: however they name, write or wrap an image, it is found."""

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest
from loopback import LINK, SUCCESS

from langchain_qwen_image.errors import MalformedResponseError, QwenImageError
from langchain_qwen_image.wire.answer import WireAnswer
from langchain_qwen_image.wire.response import parse_response

BASE = "https://gateway.example"
SECRET = "sk_live_0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(200))
WEBP = b"RIFF\xc4\x00\x00\x00WEBPVP8 " + bytes(range(200))
PNG_URI = "data:image/png;base64," + b64encode(PNG).decode()
UNNAMED = "https://images.example/a7f3?sig=s%2Bt"


def read(body: object, status: int = 200, **headers: str) -> WireAnswer:
    """Read an answer; bytes are sent as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = parse_response(
        status, {"Content-Type": "application/json", **headers}, content, secret=SECRET,
        base_url=BASE,
    )  # fmt: skip
    assert isinstance(answer, WireAnswer)
    return answer


def message(content: object, **more: object) -> dict[str, object]:
    """Return the API document's shape with this content."""
    return {"output": {"choices": [{"message": {"content": content}}]}, **more}


FILE = {"file_name": "x.png", "content_type": "image/png", "url": LINK}
DOCUMENTED = {
    "the document's": SUCCESS,
    "the model page's": {"images": [FILE], "description": ""},
    "content as an object": message({"image": LINK}),
    "content as a string": message(LINK),
    "content as a list of strings": message([LINK]),
    "image as a list": message([{"image": [LINK]}]),
    "image as an object": message([{"image": {"url": LINK}}]),
    "image as a list of objects": message([{"image": [{"url": LINK}]}]),
    "choices as an object": {"output": {"choices": {"message": {"content": {"image": LINK}}}}},
    "images as an object": {"images": FILE},
    "images as strings": {"images": [LINK]},
    "images as a string": {"images": LINK},
    "url as a list": {"images": [{"url": [LINK]}]},
    "a list around it": [SUCCESS],
    "both shapes, one link": {**SUCCESS, "images": [FILE]},
    "odd parts beside it": {"images": [None, 3, [], {"url": None}, {"url": {}}, FILE]},
    "a text beside it": message([{"text": "Here it is."}, {"image": LINK}]),
    "a huge number beside it": json.dumps({**SUCCESS, "seed": 7}).encode().replace(
        b": 7", b": " + b"7" * 5000
    ),
    "a line end in a string": json.dumps({**SUCCESS, "x": "a b"}).encode().replace(b"a b", b"a\nb"),
}  # fmt: skip


@pytest.mark.parametrize("body", DOCUMENTED.values(), ids=DOCUMENTED)
def test_both_documented_shapes_are_read(body: object) -> None:
    """An image in either documented place is one, also where a list is written as one thing."""
    answer = read(body)
    assert answer.urls == (LINK,)
    assert (answer.is_candidate, answer.billed_images) == (False, 1)
    assert answer.warnings == ()


LINKS = {
    "as it is": (LINK, LINK),
    "line end": (f"{LINK}\n", LINK),
    "blanks": (f" \t {LINK}\r\n", LINK),
    "byte order mark": (f"\ufeff{LINK}\u200b", LINK),
    "quotation marks": (f'"{LINK}"', LINK),
    "angle brackets": (f"<{LINK}>", LINK),
    "HTML's escapes": (LINK.replace("&", "&amp;"), LINK),
    "escaped slashes": (LINK.replace("/", "\\/"), LINK),
    "no scheme": (f"//{LINK.removeprefix('https://')}", LINK),
    "relative": ("/files/a.png?sig=s%2Bt", f"{BASE}/files/a.png?sig=s%2Bt"),
    "relative without slash": ("files/a.png?x=1", f"{BASE}/files/a.png?x=1"),
    "http": ("http://images.example/a", "http://images.example/a"),
    "capitals": ("HTTPS://images.example/a", "HTTPS://images.example/a"),
    "data URI": (f"\n{PNG_URI} ", PNG_URI),
    "data URI of another encoding": ("data:image/png,%89PNG", "data:image/png,%89PNG"),
    "bare base64": (b64encode(PNG).decode(), PNG_URI),
    "base64 in lines": (b64encode(PNG).decode().replace("A", "A\r\n "), PNG_URI),
    "base64 for URLs": (urlsafe_b64encode(PNG).decode(), PNG_URI),
    "JPEG": (b64encode(JPEG).decode(), "data:image/jpeg;base64," + b64encode(JPEG).decode()),
    "WebP": (b64encode(WEBP).decode(), "data:image/webp;base64," + b64encode(WEBP).decode()),
    "data URI that says another type": (PNG_URI.replace("png", "jpeg", 1), PNG_URI),
}


@pytest.mark.parametrize(("written", "url"), LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("wrap", [lambda link: message([{"image": link}]),
                                  lambda link: {"images": [{"url": link}]}])  # fmt: skip
def test_a_link_is_trimmed_and_whole(wrap: Any, written: str, url: str) -> None:
    """Whatever is around a link goes, what is missing before it comes from the gateway's."""
    assert read(wrap(written)).urls == (url,)


@pytest.mark.parametrize(
    "written",
    ["", " ", "/", "//", "///a.png", "a.png", "a", "ftp://h/a.png", "https://", "https://h/a b",
     "https://[h/a", "/a b.png", "\\\\h\\a.png", "javascript:alert(1)", "https:", "h/a", "/9j/4AAQ",
     "x" * 40_000, "https://h/" + "a" * 40_000, "iVBORw0KGgo", "See https://h/a.png."],
)  # fmt: skip
def test_what_is_no_link_is_none(written: str) -> None:
    """What cannot be fetched is no image, in either documented place."""
    if written == "/9j/4AAQ":  # a path, and too short for base64 of an image
        assert read(message([{"image": written}])).urls == (f"{BASE}/9j/4AAQ",)
        return
    for body in (message([{"image": written}]), {"images": [{"url": written}]}, message(written)):
        with pytest.raises(MalformedResponseError):
            read(body)


def test_without_an_address_a_relative_link_is_none() -> None:
    """A relative link needs the gateway's address; a link without scheme is https."""
    with pytest.raises(MalformedResponseError):
        parse_response(200, {}, json.dumps({"images": ["/a.png"]}).encode())
    answer = parse_response(200, {}, json.dumps({"images": ["//h/a.png"]}).encode())
    assert isinstance(answer, WireAnswer)
    assert answer.urls == ("https://h/a.png",)


BODY = json.dumps(SUCCESS)
WRAPPED = {
    "JSON in a string": json.dumps(BODY).encode(),
    "JSON in a string in a string": json.dumps(json.dumps(BODY)).encode(),
    "bytes after it": BODY.encode() + b"\n<!-- served by proxy-7 -->",
    "zeros after it": BODY.encode() + b"\0\0\0\r\n",
    "a second object after it": BODY.encode() + b'{"a": 1}',
    "a cut object after it": BODY.encode() + b'{"a": ',
    "blanks before it": b" \r\n\t" + BODY.encode(),
    "byte order mark": b"\xef\xbb\xbf" + BODY.encode(),
    "UTF-16": BODY.encode("utf-16"),
    "UTF-16, little": BODY.encode("utf-16-le"),
    "UTF-16, big": BODY.encode("utf-16-be"),
    "UTF-32": BODY.encode("utf-32"),
    "UTF-32, big": BODY.encode("utf-32-be"),
    "one frame": b"data: " + BODY.encode() + b"\n\n",
    "one frame without its end": b"data:" + BODY.encode(),
    "one frame with its name": b"id: 1\r\nevent: result\r\ndata: " + BODY.encode() + b"\r\n\r\n",
    "frames of progress before": b': ping\n\ndata: {"status": "PROCESSING"}\n\ndata: '
    + BODY.encode() + b"\n\ndata: [DONE]\n\n",
    "frames without blank lines": b'data: {"a": 1}\ndata: ' + BODY.encode() + b"\n",
    "a frame of many lines": b"".join(
        b"data: " + line.encode() + b"\n" for line in json.dumps(SUCCESS, indent=1).splitlines()
    ),
    "one value per line": b'{"status": "PROCESSING"}\n' + BODY.encode() + b"\n",
    "JSONP": b"callback(" + BODY.encode() + b");",
    "JSONP with a comment": b"/**/ a.b_c(" + BODY.encode() + b")",
    "against inclusion": b")]}',\n" + BODY.encode(),
    "a loop before it": b"for(;;);" + BODY.encode(),
    "a fence": b"```json\n" + BODY.encode() + b"\n```",
    "a chunk's length before it": b"1a3\r\n" + BODY.encode() + b"\r\n0\r\n\r\n",
    "a server's log before it": b"<br />\n<b>Warning</b>: x in y.php\n" + BODY.encode(),
}  # fmt: skip


@pytest.mark.parametrize("body", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize(
    "label", ["application/json", "text/html; charset=utf-16", "image/png", ""]
)
def test_the_content_decides(body: bytes, label: str) -> None:
    """What it is wrapped in, how it is encoded and what it is called does not hide an image."""
    assert read(body, **{"Content-Type": label}).urls == (LINK,)


def test_frames_are_bounded() -> None:
    """Of very many frames the first thousand are read, each once."""
    frame, image = b'data: {"a": 1}\n\n', b"data: " + BODY.encode() + b"\n\n"
    assert read(frame * 900 + image).urls == (LINK,)
    with pytest.raises(MalformedResponseError):
        read(frame * 1500 + image)


@pytest.mark.parametrize("end", [b"", b"}", b"x"], ids=["cut", "whole", "broken"])
def test_a_huge_number_is_no_crash(end: bytes) -> None:
    """Python reads no integer of more than 4,300 digits; an answer with one is read or refused."""
    with pytest.raises(MalformedResponseError):
        read(b'{"a":' + b"7" * 5000 + end)


@pytest.mark.parametrize(
    ("charset", "said"),
    [("gbk", "错误"), ("big5", "錯誤"), ("iso-8859-1", "déjà"), ("shift_jis", "エラー")],
)
def test_a_charset_is_believed_where_it_matters(charset: str, said: str) -> None:
    """Text that is no UTF-8 is read as its label says; a label that nobody should use is not."""
    body = json.dumps({"error": f"{said} Nothing."}, ensure_ascii=False).encode(charset)
    for label, is_read in ((charset, True), ("idna", False), ("zip", False), ("", False)):
        with pytest.raises(QwenImageError) as caught:
            read(body, 400, **{"Content-Type": f"application/json; charset={label}"})
        assert (said in str(caught.value)) is is_read


@pytest.mark.parametrize(
    ("image", "media_type"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp")],
    ids=["PNG", "JPEG", "WebP"],
)
@pytest.mark.parametrize("label", ["image/png", "application/json", "text/plain", ""])
def test_the_body_may_be_the_image(image: bytes, media_type: str, label: str) -> None:
    """A body that begins as an image does is the image, whatever it is called."""
    answer = read(image, **{"Content-Type": label, "X-Request-Id": "r-1"})
    assert answer.urls == (f"data:{media_type};base64,{b64encode(image).decode()}",)
    assert (answer.request_id, answer.is_candidate) == ("r-1", False)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 304])
def test_an_image_is_no_refusal_s(status: int) -> None:
    """Only a 2xx sells an image: a page of errors may be a picture."""
    for body in (PNG, SUCCESS, {"images": [FILE]}, {"imageUrl": LINK}):
        with pytest.raises(QwenImageError):
            read(body, status)


NO_ERROR: dict[str, dict[str, object]] = {
    "null values": {"error": {"code": None, "message": None}},
    "empty values": {"error": {"code": "", "message": "", "details": []}},
    "null as a word": {"error": "null"},
    "none as a word": {"error": "None"},
    "empty object": {"error": {}},
    "empty list": {"errors": []},
    "false": {"error": False},
    "zero": {"error": 0},
    "no error": {"error": "No error"},
    "object of success": {"error": {"code": 0, "message": "success"}},
    "SUCCEEDED": {"code": "SUCCEEDED"},
    "Success": {"code": "Success", "message": "Success"},
    "COMPLETED": {"code": "COMPLETED", "status": "COMPLETED"},
    "ok": {"code": "ok"},
    "200": {"code": 200, "statusCode": 200, "status_code": "200"},
    "zero code": {"code": 0, "msg": ""},
    "zeros": {"code": "00000"},
    "number of a success": {"code": 1000, "message": "success"},
    "number of a success, by flag": {"success": True, "code": 1},
    "inner": {"output": {"error": None, "code": ""}},
}


@pytest.mark.parametrize("beside", NO_ERROR.values(), ids=NO_ERROR)
def test_an_empty_error_is_none(beside: dict[str, object]) -> None:
    """What serialisers write where there is no error changes nothing, in any shape."""
    output: Any = beside.get("output", {})
    documented = {"output": {**SUCCESS["output"], **output}}
    for body, is_candidate in (({**SUCCESS, **beside, **documented}, False),
                               ({**beside, "imageUrl": LINK}, True)):  # fmt: skip
        answer = read(body)
        assert (answer.urls, answer.is_candidate) == ((LINK,), is_candidate)
        assert answer.warnings == ()


ERRORS: dict[str, tuple[dict[str, object], str]] = {
    "text": ({"error": "Insufficient credits"}, "Insufficient credits"),
    "object": ({"error": {"code": "E7", "message": "It is late."}}, "It is late."),
    "code": ({"code": "InternalError", "message": "It broke."}, "(InternalError): \"It broke.\""),
    "flag": ({"success": False, "message": "It broke."}, "It broke."),
    "status": ({"statusCode": 500, "message": "It broke."}, "It broke."),
    "state": ({"status": "FAILED", "message": "It broke."}, "It broke."),
    "list": ({"errors": [{"message": "It broke."}]}, "It broke."),
    "echoed key": ({"error": f"Key {SECRET} is old."}, "Key [key] is old."),
    "signed link": ({"error": "At https://h/a?Signature=s."}, "At https://h/a?…"),
}  # fmt: skip


@pytest.mark.parametrize(("beside", "said"), ERRORS.values(), ids=ERRORS)
def test_an_image_wins_over_an_error_beside_it(beside: dict[str, object], said: str) -> None:
    """An image in a documented place is paid for; what is said beside it becomes a warning."""
    for body in ({**SUCCESS, **beside}, {"images": [FILE], **beside}):
        answer = read(body)
        assert answer.urls == (LINK,)
        (warning,) = answer.warnings
        assert said in warning
        assert SECRET not in warning


@pytest.mark.parametrize("beside", [beside for beside, _ in ERRORS.values()], ids=ERRORS)
def test_elsewhere_an_error_wins(beside: dict[str, object]) -> None:
    """A link in no documented place is not taken for an image where the answer says an error."""
    with pytest.raises(QwenImageError):
        read({"imageUrl": LINK, **beside})


@pytest.mark.parametrize(
    ("usage", "billed"),
    [
        pytest.param({}, 1, id="empty"),
        pytest.param(None, 1, id="absent"),
        pytest.param({"image_count": 1}, 1, id="one"),
        pytest.param({"image_count": 3}, 3, id="three"),
        pytest.param({"output_image_count": 2}, 2, id="upstream's name"),
        pytest.param({"image_count": 0}, 1, id="none"),
        pytest.param({"image_count": -5}, 1, id="negative"),
        pytest.param({"image_count": 10**9}, 1, id="beyond belief"),
        pytest.param({"image_count": "many"}, 1, id="word"),
        pytest.param({"image_count": [2]}, 1, id="list"),
    ],
)
def test_usage_says_how_many_are_billed(usage: object, billed: int) -> None:
    """What is billed is what `usage` counts, at least the one image that was asked for."""
    links = [{"image": f"https://h/{number}.png"} for number in range(4)]
    assert read(message(links, usage=usage)).billed_images == billed
    assert read({"imageUrl": LINK, "usage": usage}).billed_images == billed


def test_equal_links_are_one_image() -> None:
    """The same link, also written in another way, is one image; others are all there."""
    same = [{"image": LINK}, {"image": f" {LINK}\n"}, {"image": LINK.removeprefix("https:")}]
    assert read(message(same)).urls == (LINK,)
    assert read({**message(same), "images": [FILE] * 3}).urls == (LINK,)
    many = read({"images": [f"https://h/{number}" for number in range(2000)]})
    assert len(many.urls) == 2000
    assert many.billed_images == 1
    assert many.warnings == ("The gateway's response has 2000 images; one was requested.",)


def test_the_repr_of_an_answer_shows_no_link() -> None:
    """A signed link is a secret, so it is not in the repr of what was read."""
    assert "Signature" not in repr(read(SUCCESS))


@pytest.mark.parametrize(
    "headers", [{"X-Request-Id": "r-1"}, {"apim-request-id": "r-1"}], ids=["proxy", "APIM"]
)
def test_the_request_id_is_read_where_it_is(headers: dict[str, str]) -> None:
    """The body's identifier comes first, then that of the headers."""
    assert read({"images": [FILE]}, **headers).request_id == "r-1"
    assert read({"images": [FILE], "requestId": "r-2"}, **headers).request_id == "r-2"
    assert read(SUCCESS, **headers).request_id == SUCCESS["request_id"]
