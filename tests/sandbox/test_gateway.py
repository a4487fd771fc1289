"""The gateway's strictness, links, records and thread-safety, without any transport."""

import base64
import copy
import json
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_qwen_image.sandbox import Answer, Gateway, draw_plain
from langchain_qwen_image.sandbox.signed import pack, write_signed

PATH = "/qwen-image/v1/generateMultimodeTextToImageRequest"
KEY = "sk_live_0123456789abcdef"
HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-cache",
    "Ocp-Apim-Subscription-Key": KEY,
}
NOW = 1_800_000_000.0
DOCUMENT: dict[str, Any] = {
    "model": "qwen-image",
    "input": {"messages": [{"role": "user", "content": [{"text": "A teapot"}]}]},
    "parameters": {
        "negative_prompt": "",
        "prompt_extend": True,
        "watermark": True,
        "size": "1024*1024",
    },
}
MISSING = object()


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the good document with one place changed, or removed."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    place: Any = document
    for step in parents:
        place = place[step]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return document


def gateway(**settings: Any) -> Gateway:
    """Make a gateway whose clock stands still."""
    settings = {"draw": draw_plain, "now": lambda: NOW} | settings
    return Gateway("https://sandbox.invalid", **settings)


def post(gate: Gateway, document: object = None, headers: dict[str, str] = HEADERS) -> Answer:
    """Send the good document, or another."""
    return gate.answer("POST", PATH, headers, json.dumps(document or DOCUMENT).encode())


def link(gate: Gateway, document: object = None) -> str:
    """Return the target of the link in a successful answer."""
    body = json.loads(post(gate, document).body)
    url: str = body["output"]["choices"][0]["message"]["content"][0]["image"]
    return url.removeprefix("https://sandbox.invalid")


def get(gate: Gateway, target: str, **headers: str) -> Answer:
    """Fetch a link."""
    return gate.answer("GET", target, {"Accept": "*/*"} | headers, b"")


def test_success_is_the_documents_sample() -> None:
    """A success has the fields of the document's sample answer, and no other."""
    body = json.loads(post(gateway()).body)
    (choice,) = body["output"]["choices"]
    (part,) = choice["message"]["content"]
    assert part.keys() == {"image"}
    assert len(body.pop("request_id")) == 36
    assert body == {
        "output": {
            "choices": [
                {"finish_reason": "stop", "message": {"role": "assistant", "content": [part]}}
            ],
            "task_metric": {"TOTAL": 1, "FAILED": 0, "SUCCEEDED": 1},
        },
        "usage": {"width": 1024, "image_count": 1, "height": 1024},
    }


@pytest.mark.parametrize(
    ("document", "field"),
    [
        pytest.param([], "body must be an object", id="array"),
        pytest.param(changed("model", MISSING), "model is missing", id="no-model"),
        pytest.param(changed("model", "qwen-image-plus"), "model must be", id="other-model"),
        pytest.param(changed("n", 2), "n is not a field", id="extra-top"),
        pytest.param(changed("input", MISSING), "input is missing", id="no-input"),
        pytest.param(changed("input", "a teapot"), "input must be an object", id="text-input"),
        pytest.param(changed("input/prompt", "a"), "input.prompt is not", id="extra-input"),
        pytest.param(changed("input/messages", []), "input.messages must be", id="no-message"),
        pytest.param(
            changed("input/messages", DOCUMENT["input"]["messages"] * 2),
            "input.messages must be",
            id="two-messages",
        ),
        pytest.param(changed("input/messages", ["hi"]), "input.messages[0] must", id="bare"),
        pytest.param(
            changed("input/messages/0/role", "system"), "input.messages[0].role must", id="role"
        ),
        pytest.param(
            changed("input/messages/0/role", MISSING), "[0].role is missing", id="no-role"
        ),
        pytest.param(changed("input/messages/0/name", "x"), "[0].name is not", id="extra-message"),
        pytest.param(changed("input/messages/0/content", "x"), "content must", id="text-content"),
        pytest.param(changed("input/messages/0/content", []), "content must", id="no-part"),
        pytest.param(
            changed("input/messages/0/content", [{"text": "a"}] * 2), "content must", id="two-parts"
        ),
        pytest.param(
            changed("input/messages/0/content/0", {"image": "x"}), "text is missing", id="no-text"
        ),
        pytest.param(
            changed("input/messages/0/content/0/type", "text"), "[0].type is not", id="typed-part"
        ),
        pytest.param(
            changed("input/messages/0/content/0/text", 5), "text must be a string", id="number"
        ),
        pytest.param(
            changed("input/messages/0/content/0/text", " \n\u3000"), "not be blank", id="blank"
        ),
        pytest.param(
            changed("input/messages/0/content/0/text", "\ud83d"), "surrogate", id="surrogate"
        ),
        pytest.param(changed("parameters", None), "parameters must be", id="null-parameters"),
        pytest.param(changed("parameters/seed", 1), "parameters.seed is not", id="seed"),
        pytest.param(changed("parameters/\ud83d", 1), "is not a field", id="odd-name"),
        pytest.param(
            changed("parameters/negative_prompt", None), "parameters.negative_prompt", id="null"
        ),
        pytest.param(changed("parameters/prompt_extend", 1), "prompt_extend must", id="one"),
        pytest.param(changed("parameters/watermark", "true"), "watermark must", id="text-true"),
        pytest.param(changed("parameters/size", "1024x1024"), "size must be one of", id="x"),
        pytest.param(changed("parameters/size", "1664*928"), "size must be one of", id="wide"),
        pytest.param(changed("parameters/size", ["512*512"]), "size must be one of", id="list"),
    ],
)
def test_bad_body(document: object, field: str) -> None:
    """A body unlike the document's is a 400 in its shape, whose text names the field."""
    gate = gateway()
    answer = gate.answer("POST", PATH, HEADERS, json.dumps(document).encode())
    assert answer.status == 400
    body = json.loads(answer.body)
    assert body.keys() == {"error"}
    assert field in body["error"]
    assert gate.images == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b"NaN", b"[" * 100_000, json.dumps(DOCUMENT).encode("utf-16")],
    ids=["empty", "cut", "bytes", "nan", "deep", "utf-16"],
)
def test_not_json(body: bytes) -> None:
    """A body that is no JSON in UTF-8 is a 400 that says so."""
    answer = gateway().answer("POST", PATH, HEADERS, body)
    assert answer.status == 400
    assert "body is not JSON" in json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        pytest.param({"Ocp-Apim-Subscription-Key": ""}, 401, "authentication", id="empty-key"),
        pytest.param({"Ocp-Apim-Subscription-Key": " "}, 401, "authentication", id="blank-key"),
        pytest.param({"Ocp-Apim-Subscription-Key": "invalid"}, 401, "missing", id="invalid-key"),
        pytest.param({"Content-Type": "text/plain"}, 400, "Content-Type", id="text"),
        pytest.param({"Content-Type": ""}, 400, "Content-Type", id="no-type"),
        pytest.param({"Cache-Control": "max-age=0"}, 400, "Cache-Control", id="cache"),
        pytest.param({"Cache-Control": ""}, 400, "Cache-Control", id="no-cache-control"),
    ],
)
def test_bad_headers(change: dict[str, str], status: int, text: str) -> None:
    """A wrong header is refused in the document's shape; the key comes first."""
    headers = {**HEADERS, **change}
    answer = post(gateway(), headers={name: value for name, value in headers.items() if value})
    assert answer.status == status
    assert text in json.loads(answer.body)["error"]
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", PATH),
        ("PUT", PATH),
        ("POST", "/"),
        ("POST", f"{PATH}/"),
        ("POST", f"{PATH}?key=x"),
        ("POST", "/images/20270115/x.png"),
        ("HEAD", "/images/20270115/x.png"),
        ("GET", "/"),
    ],
)
def test_other_paths_and_methods(method: str, target: str) -> None:
    """Whatever is not the endpoint or an image is the document's 404."""
    answer = gateway().answer(method, target, HEADERS, json.dumps(DOCUMENT).encode())
    assert (answer.status, json.loads(answer.body)) == (404, {"error": "Endpoint not found"})


@pytest.mark.parametrize("name", ["Content-Type", "content-type"])
def test_tolerated(name: str) -> None:
    """Letter case, a charset and left out parameters are as the document allows."""
    headers = {key: value for key, value in HEADERS.items() if key != "Content-Type"}
    headers[name] = "application/json; charset=utf-8"
    answer = post(gateway(), changed("parameters", MISSING), headers)
    assert json.loads(answer.body)["usage"]["width"] == 1328


def test_no_key_is_remembered() -> None:
    """A request is remembered with its headers, but without the values that are secret."""
    gate = gateway()
    post(gate, headers={**HEADERS, "Authorization": f"Bearer {KEY}", "Cookie": KEY})
    (request,) = gate.requests
    assert (request.method, request.path, request.body) == ("POST", PATH, DOCUMENT)
    assert request.headers["ocp-apim-subscription-key"] == "REDACTED"
    assert request.headers["cache-control"] == "no-cache"
    assert KEY not in repr(vars(gate)) + repr(request) + str(request.headers)


def test_images_are_remembered_without_links_in_sight() -> None:
    """An image given out is remembered; its signed link is there, but in no repr."""
    gate = gateway()
    target = link(gate)
    (image,) = gate.images
    assert image.url == f"https://sandbox.invalid{target}"
    assert (image.prompt, image.width, image.mime_type) == ("A teapot", 1024, "image/png")
    get(gate, target)
    assert "Signature" not in repr(gate.images) + repr(gate.requests)


def test_memory_is_bounded() -> None:
    """Of many requests only the last are remembered, and all POSTs are counted."""
    gate = gateway(record_limit=3)
    for number in range(5):
        post(gate, changed("input/messages/0/content/0/text", f"sandbox:429-once {number}"))
    assert [
        request.body["input"]["messages"][0]["content"][0]["text"][-1] for request in gate.requests
    ] == list("234")
    assert gate.post_count == 5


@pytest.mark.parametrize("valid", [False, True], ids=["refused", "accepted"])
def test_memory_is_bounded_in_bytes(valid: bool) -> None:
    """Large requests are counted and soon forgotten: 10,000 of them may not fill the memory."""
    gate = gateway()
    prompt = "a" * 60_000
    body = json.dumps(changed("input/messages/0/content/0/text", prompt)).encode()
    for _ in range(700):
        gate.answer("POST", PATH, HEADERS, body if valid else b"[" * 64_000)
    size = sum(len(request.content) for request in gate.requests)
    shown = sum(len(image.prompt) for image in gate.images)
    assert gate.post_count == 700
    assert 0 < size <= 32 * 1024 * 1024
    assert shown <= 32 * 1024 * 1024


def test_a_large_body_is_not_remembered() -> None:
    """Of a body larger than 64 KiB nothing is remembered but that it came."""
    gate = gateway()
    gate.answer("POST", PATH, HEADERS, b'"' + b"a" * 70_000 + b'"')
    assert [(request.path, request.body) for request in gate.requests] == [(PATH, None)]


def test_memory_of_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many bodies that met their failure once, the oldest are forgotten."""
    monkeypatch.setattr("langchain_qwen_image.sandbox.gateway._MEMORY", 2)
    gate = gateway()
    bodies = [changed("input/messages/0/content/0/text", f"sandbox:429-once {n}") for n in range(3)]
    assert [post(gate, body).status for body in (*bodies, bodies[2], bodies[0])] == [
        429,
        429,
        429,
        200,
        429,
    ]


def test_link_is_like_the_storages() -> None:
    """A link names day and file, is signed in its query, percent-encoded, and lives 24 hours."""
    target = link(gateway())
    path, _, query_string = target.partition("?")
    assert path.startswith("/images/20270115/")
    assert path.endswith(".png")
    names = [field.partition("=")[0] for field in query_string.split("&")]
    assert names == ["Expires", "OSSAccessKeyId", "Image", "Signature"]
    assert f"Expires={int(NOW) + 24 * 3600}&OSSAccessKeyId=sandbox&" in target
    assert target.endswith("%3D")


def test_any_process_serves_a_link() -> None:
    """A gateway that has seen nothing serves the link of another, with the same bytes."""
    target = link(gateway())
    answer = get(gateway(), target)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.body == get(gateway(), target).body
    assert int(answer.all_headers()["Content-Length"]) == len(answer.body)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t.replace("Expires=18", "Expires=19"), id="expires"),
        pytest.param(lambda t: t.replace("/images/2027", "/images/2028"), id="path"),
        pytest.param(lambda t: t.replace("Image=e", "Image=f"), id="image"),
        pytest.param(lambda t: t[:-4] + "%3D", id="signature"),
        pytest.param(lambda t: t + "&more=1", id="added"),
        pytest.param(lambda t: t.partition("&Signature")[0], id="unsigned"),
        pytest.param(lambda t: t.partition("?")[0], id="bare"),
    ],
)
def test_changed_link(change: Callable[[str], str]) -> None:
    """A link that was changed anywhere is the storage's 403 about the signature."""
    gate = gateway()
    target = link(gate)
    assert change(target) != target
    answer = get(gate, change(target))
    assert (answer.status, answer.headers["Content-Type"]) == (403, "application/xml")
    assert b"<Code>SignatureDoesNotMatch</Code>" in answer.body


def forged(**fields: object) -> str:
    """Return a link that is signed well, as anybody can, for an image with other facts."""
    fields = {
        "prompt": "A teapot",
        "width": 1024,
        "height": 1024,
        "watermark": True,
        "seed": "0" * 32,
        "image_format": "PNG",
        "failure": None,
    } | fields
    signed = {"Expires": str(int(NOW) + 60), "OSSAccessKeyId": "sandbox", "Image": pack(fields)}
    return write_signed("/images/20270115/x.png", signed)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"width": 12_000, "height": 12_000}, id="huge"),
        pytest.param({"width": 1024, "height": 512}, id="not-square"),
        pytest.param({"width": 0, "height": 0}, id="nothing"),
        pytest.param({"width": -512, "height": -512}, id="negative"),
        pytest.param({"width": "512", "height": "512"}, id="text"),
        pytest.param({"width": 512.0, "height": 512.0}, id="float"),
        pytest.param({"width": None}, id="null"),
        pytest.param({"prompt": "a" * 302}, id="long-prompt"),
        pytest.param({"prompt": ["a"]}, id="prompt-list"),
        pytest.param({"watermark": "yes"}, id="watermark"),
        pytest.param({"seed": "../../x"}, id="seed"),
        pytest.param({"seed": 5}, id="seed-number"),
        pytest.param({"image_format": "PDF"}, id="format"),
        pytest.param({"image_format": []}, id="format-list"),
        pytest.param({"failure": "rm"}, id="failure"),
        pytest.param({"failure": {}}, id="failure-object"),
        pytest.param({"depth": 3}, id="more"),
    ],
)
def test_forged_link(fields: dict[str, object]) -> None:
    """A well signed link that no sandbox can have given out is a 400 at once, never drawn."""

    def fail(*_: object, **__: object) -> bytes:
        raise AssertionError

    assert get(gateway(), forged()).status == 200
    answer = get(gateway(draw=fail), forged(**fields))
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/xml")


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param("", id="empty"),
        pytest.param("%%%", id="no-base64"),
        pytest.param("QUJD", id="no-zlib"),
        pytest.param(pack({"prompt": "a" * 50_000_000}), id="bomb"),
        pytest.param(pack({}), id="no-fields"),
        pytest.param(base64.b64encode(zlib.compress(b"[1]")).decode(), id="array"),
        pytest.param(base64.b64encode(zlib.compress(b"\xff")).decode(), id="no-text"),
        pytest.param(base64.b64encode(zlib.compress(b"[" * 9_000)).decode(), id="deep"),
    ],
)
@pytest.mark.parametrize("expires", ["1900000000", "", "soon", "9" * 5000, "¹", "-1"])
def test_forged_content(packed: str, expires: str) -> None:
    """Whatever a well signed address carries, it is an answer, without unpacking a bomb."""
    gate = gateway()
    link = write_signed("/images/20270115/x.png", {"Expires": expires, "Image": packed})
    poll = write_signed("/v2/requests/status/x", {"Task": packed})
    assert get(gate, link).status in {400, 403}
    assert gate.answer("GET", poll, HEADERS, b"").status == 404


@pytest.mark.parametrize(("seconds", "status"), [(0, 200), (24 * 3600, 200), (24 * 3600 + 1, 403)])
def test_link_expires(seconds: float, status: int) -> None:
    """A link works for 24 hours, and is then the storage's 403 about expiry."""
    answer = get(gateway(now=lambda: NOW + seconds), link(gateway()))
    assert answer.status == status
    assert (b"<Message>Request has expired.</Message>" in answer.body) == (status == 403)


@pytest.mark.parametrize(
    "header", ["Ocp-Apim-Subscription-Key", "Authorization", "Cookie", "Content-Type"]
)
def test_headers_that_must_not_reach_the_storage(header: str) -> None:
    """A GET that carries a header of the POST is refused, and the answer does not repeat it."""
    gate = gateway()
    answer = get(gate, link(gate), **{header: KEY})
    assert answer.status == 403
    assert header.lower().encode() in answer.body
    assert KEY.encode() not in answer.body


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1).filter(str.strip).filter(lambda t: "sandbox:" not in t.lower()))
def test_every_prompt_has_its_image(prompt: str) -> None:
    """Every prompt that is text gets a link, of bounded length, that serves."""
    gate = gateway()
    target = link(gate, changed("input/messages/0/content/0/text", prompt))
    assert get(gate, target).status == 200
    assert len(target) < 4000


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("input/messages/0/content/0/text", "A teapot" + "!" * 400),
        ("parameters/negative_prompt", "x"),
        ("parameters/prompt_extend", False),
        ("parameters/watermark", False),
        ("parameters/size", "512*512"),
    ],
)
def test_every_argument_makes_another_image(path: str, value: object) -> None:
    """Whatever is asked otherwise has another file; the same request has the same."""
    files = [link(gateway(), document).partition("?")[0] for document in (None, None)]
    other = link(gateway(), changed(path, value)).partition("?")[0]
    assert files[0] == files[1] != other


def test_many_threads() -> None:
    """From many threads every request is counted, and a script is played once."""
    gate = gateway()
    gate.script(*["500"] * 50)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: post(gate).status, range(400)))
    assert (statuses.count(500), statuses.count(200)) == (50, 350)
    assert (gate.post_count, len(gate.requests), len(gate.images)) == (400, 400, 350)
