"""The search through whatever JSON came: what it takes for an image, and what it does not."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import LINK

from langchain_qwen_image.errors import MalformedResponseError, QwenImageError
from langchain_qwen_image.wire import walk
from langchain_qwen_image.wire.answer import WireAnswer
from langchain_qwen_image.wire.response import parse_response
from langchain_qwen_image.wire.walk import find_images

BASE = "https://gateway.example"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
BASE64 = b64encode(PNG).decode()
URI = f"data:image/png;base64,{BASE64}"
BARE = "https://images.example/a7f3"

FOUND: dict[str, tuple[object, tuple[str, ...]]] = {
    "media_url in a list": ({"output": {"media_url": [BARE], "media_type": "x"}}, (BARE,)),
    "output with an image's path": ({"output": LINK}, (LINK,)),
    "output, a list": ({"output": [LINK, LINK]}, (LINK,)),
    "output, said to be an image": ({"output": BARE, "mime_type": "image/webp"}, (BARE,)),
    "imageUrl": ({"imageUrl": BARE}, (BARE,)),
    "image_url": ({"result": {"image_url": BARE}}, (BARE,)),
    "ImageURL": ({"ImageURL": BARE}, (BARE,)),
    "IMAGE_URL": ({"IMAGE_URL": BARE}, (BARE,)),
    "image_urls": ({"data": {"image_urls": [BARE]}}, (BARE,)),
    "image": ({"image": BARE}, (BARE,)),
    "image as an object": ({"image": {"url": BARE}}, (BARE,)),
    "images elsewhere": ({"data": {"images": [{"url": BARE}]}}, (BARE,)),
    "images by number": ({"images": {"0": BARE, "1": LINK}}, (BARE, LINK)),
    "output_url": ({"output_url": BARE}, (BARE,)),
    "resultUrl": ({"resultUrl": BARE}, (BARE,)),
    "result_urls": ({"result_urls": [BARE]}, (BARE,)),
    "url with an image's path": ({"data": [{"url": LINK}]}, (LINK,)),
    "url in capitals": ({"URL": "https://h/a.JPEG?x=1"}, ("https://h/a.JPEG?x=1",)),
    "url, said to be an image": ({"url": BARE, "content_type": "image/png"}, (BARE,)),
    "results of an upstream task": ({"output": {"results": [{"url": LINK}]}}, (LINK,)),
    "part of a chat": (
        {"choices": [{"message": {"content": [{"image_url": {"url": BARE}}]}}]}, (BARE,)
    ),
    "relative": ({"image_url": "/files/a"}, (f"{BASE}/files/a",)),
    "no scheme": ({"image_url": "//h/a"}, ("https://h/a",)),
    "blanks": ({"image_url": f"\n{BARE} "}, (BARE,)),
    "base64": ({"data": [{"b64_json": BASE64}]}, (URI,)),
    "base64 under any name": ({"artifacts": {"x": [BASE64]}}, (URI,)),
    "data URI under any name": ({"artifact": URI}, (URI,)),
    "several": ({"images_1": BARE, "x": {"image": LINK}}, (BARE, LINK)),
    "JSON in a string": ({"body": json.dumps({"image_url": BARE})}, (BARE,)),
    "the document's shape in a string": (
        {"statusCode": 200, "body": json.dumps({"output": {"choices": [
            {"message": {"content": [{"image": BARE}]}}]}})}, (BARE,)
    ),
    "a named link before a plain one": ({"url": "https://h/x.png", "image": BARE}, (BARE,)),
    "a list at the top": ([{"image_url": BARE}], (BARE,)),
    "a message beside it": ({"image_url": BARE, "message": "Image generated."}, (BARE,)),
    "deep": ({"a": [[{"b": {"c": [{"image": BARE}]}}]]}, (BARE,)),
}  # fmt: skip


def read(body: object) -> Any:
    """Read a success with this body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_response(200, {}, content, base_url=BASE)


@pytest.mark.parametrize(("body", "urls"), FOUND.values(), ids=FOUND)
def test_an_image_is_found_by_its_name(body: object, urls: tuple[str, ...]) -> None:
    """A link under an image's name, or an image's bytes, is a candidate: its bytes decide."""
    answer = read(body)
    assert isinstance(answer, WireAnswer)
    assert answer.urls == urls
    assert answer.is_candidate


@pytest.mark.parametrize(
    "body",
    [BASE64.encode(), URI.encode(), json.dumps(BASE64).encode(), f"\r\n{BASE64}\r\n".encode()],
    ids=["base64", "data URI", "base64 in a string", "base64 in blanks"],
)
def test_a_body_of_base64_is_a_candidate(body: bytes) -> None:
    """A body that is nothing but an image as base64 is read as one."""
    answer = read(body)
    assert (answer.urls, answer.is_candidate) == ((URI,), True)


FORBIDDEN = [
    "input", "inputs", "input_image", "request", "requestUrl", "prompt", "prompt_image", "poll",
    "polling_url", "status", "status_url", "statusUrl", "response", "response_url", "cancel",
    "cancel_url", "webhook", "webhookUrl", "callback", "callback_url", "docs", "docs_url",
    "documentation", "help", "helpUrl", "logo", "logo_url", "avatar", "avatar_url", "preview",
    "previews", "preview_image", "previewImageUrl", "thumbnail", "thumbnails", "thumbnail_url",
    "image_thumbnail", "ImageThumbnailURL", "icon", "favicon", "mask_image", "source_image",
]  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
@pytest.mark.parametrize(
    "value",
    [LINK, BARE, {"image": BARE}, {"url": LINK}, [{"image_url": BARE}], BASE64, URI,
     json.dumps({"image": BARE})],
    ids=["link", "bare link", "image", "url", "list", "base64", "data URI", "JSON"],
)  # fmt: skip
def test_a_name_on_the_way_forbids_it(name: str, value: object) -> None:
    """What is under such a name is no image that was bought, however it looks."""
    for body in ({name: value}, {"output": {name: value}}, {"data": [{name: [value]}]}):
        with pytest.raises(MalformedResponseError):
            read(body)


NO_IMAGE: dict[str, object] = {
    "page of help": {"success": True, "help_url": "https://gateway.example/help/a.png"},
    "documentation": {"message": "See the docs.", "docs": {"image": "https://d.example/a.png"}},
    "terms": {"terms_url": "https://gateway.example/terms"},
    "next page": {"next": {"url": "https://gateway.example/page-2.png"}},
    "profile": {"user": {"avatar": {"url": "https://u.example/me.png"}}},
    "logo": {"brand": {"logo_url": "https://b.example/logo.png"}},
    "dashboard": {"url": "https://gateway.example/dashboard"},
    "status page": {"output": "https://status.example/incidents/7"},
    "done without an image": {"status": "COMPLETED", "output": None, "request_id": "r"},
    "done with an empty list": {"status": "COMPLETED", "output": {"media_url": []}},
    "pending without an address": {"status": "PROCESSING", "imageUrl": BARE},
    "pending of a task": {"output": {"task_status": "RUNNING", "image_url": BARE}},
    "echo of the request": {"request": {"images": [LINK]}, "input": {"image_url": LINK}},
    "echo of a prompt": {"prompt": f"a sign that reads {LINK}"},
    "webhook": {"webhook": LINK, "callback_url": LINK},
    "cancel": {"urls": {"cancel": LINK, "status": LINK}},
    "text that mentions": {"output": f"Your image is at {LINK}."},
    "text in a documented place": {
        "output": {"choices": [{"message": {"content": [{"text": f"See {LINK}"}]}}]}},
    "text as content": {"output": {"choices": [{"message": {"content": f"See {LINK}"}}]}},
    "Markdown": {"output": {"choices": [{"message": {"content": f"![a fox]({LINK})"}}]}},
    "link under no image's name": {"link": LINK, "href": LINK, "download": LINK},
    "file name": {"images": [{"file_name": "a.png", "content_type": "image/png"}]},
    "image is a number": {"image": 7, "images": [1, 2], "image_url": None},
    "image is a flag": {"image": True, "images": {"count": 1}},
    "image is a word": {"image": "fox", "image_url": "pending"},
    "image is a page": {"image_url": "https://h.example/view.html"},
    "image is another scheme": {"image_url": "ftp://h.example/a.png"},
    "url of a video": {"url": "https://h.example/a.mp4", "content_type": "video/mp4"},
    "url of JSON": {"output_url": "https://h.example/result.json"},
    "placeholder": {"placeholder": {"image": LINK}, "mask": {"image": LINK}},
    "base64 of something else": {"b64_json": b64encode(b"GIF89a" + bytes(200)).decode()},
    "base64 too short": {"b64_json": "iVBORw0KGgo="},
    "data URI of text": {"image": "data:text/html;base64,PGh0bWw+" + "A" * 80},
    "names alone": {"image_url": "image_url", "url": "url"},
    "key of an object": {LINK: {"x": 1}},
    "moved": {"statusCode": 302, "url": LINK},
    "a refused task": {"status": "REJECTED", "image_url": LINK},
    "a failed task": {"status": "failed", "output": {"image_url": LINK}},
    "an error in a list": {"errors": [{"message": "It broke."}], "image_url": LINK},
    "an error's own image": {"error": {"image": LINK, "message": "It broke."}},
    "HTML": f'<html><img src="{LINK}"><a href="{LINK}">image</a></html>'.encode(),
    "XML": f"<Result><image>{LINK}</image></Result>".encode(),
    "plain text": f"image_url: {LINK}".encode(),
    "a link alone": LINK.encode(),
    "a link in a string": LINK,
    "cut JSON": f'{{"image_url": "{LINK}'.encode(),
    "JavaScript": f'var image = "{LINK}";'.encode(),
    "a form": f"image_url={LINK}".encode(),
}  # fmt: skip


@pytest.mark.parametrize("body", NO_IMAGE.values(), ids=NO_IMAGE)
def test_no_image_is_made_up(body: object) -> None:
    """An answer that names links and no image is an error, and nothing is fetched for it."""
    with pytest.raises(QwenImageError):
        read(body)


def nested(levels: int) -> object:
    """Return an image under so many levels."""
    value: object = {"image": BARE}
    for _ in range(levels):
        value = [value]
    return value


def test_the_walk_is_bounded_in_depth() -> None:
    """What is nested deeper than an answer can be is not looked at."""
    assert find_images([nested(walk.DEEPEST - 1)], BASE) == (BARE,)
    assert find_images([nested(walk.DEEPEST + 1)], BASE) == ()


def test_the_walk_is_bounded_in_width() -> None:
    """Behind more values than an answer can have nothing is looked for."""
    assert find_images([[*[0] * 1000, {"image": BARE}]], BASE) == (BARE,)
    assert find_images([[*[0] * (walk.MOST_NODES + 1), {"image": BARE}]], BASE) == ()


def test_the_walk_is_bounded_in_finds() -> None:
    """More images than this are in no answer."""
    links = [f"https://h/{number}.png" for number in range(1000)]
    assert find_images([{"image": links}], BASE) == tuple(links[: walk.MOST_IMAGES])
    assert find_images([{"url": links}], BASE) == tuple(links[: walk.MOST_IMAGES])


def test_json_in_strings_is_bounded() -> None:
    """A string in a string in a string is read; beyond that it is a game."""
    value: object = {"image": BARE}
    found = []
    for _ in range(7):
        value = {"body": json.dumps(value)}
        found.append(bool(find_images([value], BASE)))
    assert found == [True, True, True, False, False, False, False]


_tree = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from([LINK, BARE]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["image", "url", "output", "input", "data", "images", "x"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_tree)
def test_what_is_found_stands_in_the_answer(value: object) -> None:
    """Only links that the answer has are found, each once, absolute."""
    found = find_images([value], BASE)
    assert len(set(found)) == len(found)
    text = json.dumps(value)
    for url in found:
        assert url.removeprefix(BASE).removeprefix("https:").lstrip("/") in text
        assert url.startswith(("https://", "http://", "data:"))


@given(_tree)
def test_an_input_is_never_found(value: object) -> None:
    """Whatever is under a forbidden name, nothing of it is found."""
    assert find_images([{"input": value}, {"x": {"statusUrl": value}}], BASE) == ()
