"""Be the gateway: take one request, give one answer, without any socket."""

import base64
import hashlib
import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from langchain_qwen_image.sandbox.answer import Answer, error_answer, json_answer, storage_error
from langchain_qwen_image.sandbox.checks import KEY_HEADER, ImageRequest, check_body, check_headers
from langchain_qwen_image.sandbox.links import (
    LIFETIME_SECONDS,
    ImageInfo,
    PictureFormat,
    read_link,
    write_link,
)
from langchain_qwen_image.sandbox.records import GivenImage, ReceivedRequest
from langchain_qwen_image.sandbox.scenario import Scenario
from langchain_qwen_image.sandbox.scenarios import find_scenario, prompt_scenario
from langchain_qwen_image.sandbox.success import choose_picture, success_document
from langchain_qwen_image.sandbox.troubles import FAULTS, FIXED, corrupt

ENDPOINT = "/qwen-image/v1/generateMultimodeTextToImageRequest"
_SECRET_HEADERS = frozenset({KEY_HEADER, "authorization", "cookie"})
# OSS takes these into its own authentication, and refuses or mis-verifies the link.
_NOT_FOR_STORAGE = (*sorted(_SECRET_HEADERS), "content-type")
_MEMORY = 10_000


class Draw(Protocol):
    """Draw an image: `image.draw`, `plain.draw_plain`, or a test's own."""

    def __call__(
        self,
        prompt: str,
        *,
        size: tuple[int, int],
        watermark: bool,
        seed_text: str,
        picture_format: PictureFormat,
    ) -> bytes:
        """Return the bytes of the file; the size is width and height in pixels."""


class Gateway:
    """Answer as the remote gateway does, from any number of threads.

    Args:
        base_url: Where the links of images shall lead, without a slash at the end.
        draw: What draws the images; by default Pillow, loaded when the first is drawn.
        record_limit: How many of the last requests and images to remember; 0 for none.
        now: The clock, in Unix seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        draw: Draw | None = None,
        record_limit: int = _MEMORY,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Start with nothing received, nothing given out and nothing scripted."""
        self._base_url = base_url.rstrip("/")
        self._draw = draw
        self._now = now
        self._lock = threading.Lock()
        self._requests: deque[ReceivedRequest] = deque(maxlen=record_limit)
        self._images: deque[GivenImage] = deque(maxlen=record_limit)
        self._script: deque[Scenario] = deque()
        self._met: OrderedDict[str, None] = OrderedDict()
        self._post_count = 0

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Return the requests received, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def images(self) -> list[GivenImage]:
        """Return the images given out, oldest first, lost answers (cut short) included."""
        with self._lock:
            return list(self._images)

    @property
    def post_count(self) -> int:
        """Return the number of POSTs received, to any path, refused ones included."""
        return self._post_count

    def script(self, *names: str) -> None:
        """Let the next POSTs that pass the checks play these scenarios, in order.

        They come before a scenario that the prompt names. `ok` is a plain success.

        Raises:
            KeyError: There is no such scenario; nothing was added.
        """
        scenarios = [find_scenario(name) for name in names]
        with self._lock:
            self._script.extend(scenarios)

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request; the target is the path with its query string as it came.

        Raises:
            ImportError: An image is to be drawn, and Pillow is not installed.
        """
        lowered = {name.lower(): value for name, value in headers.items()}
        self._record(method, target, lowered, body)
        if method == "GET" and target.startswith("/images/"):
            return self._serve_image(target, lowered)
        if (method, target) == ("POST", ENDPOINT):
            return check_headers(lowered) or self._serve_post(body)
        return error_answer(404, "Endpoint not found")

    def _record(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        redacted = {
            name: "REDACTED" if name in _SECRET_HEADERS else value
            for name, value in headers.items()
        }
        request = None
        if self._requests.maxlen:
            request = ReceivedRequest(method, target, redacted, _json_or_none(body))
        with self._lock:
            self._post_count += method == "POST"
            if request:
                self._requests.append(request)

    def _serve_post(self, body: bytes) -> Answer:
        request = check_body(body)
        if isinstance(request, Answer):
            return request
        try:
            scenario = self._choose(request.prompt)
        except KeyError as error:
            return error_answer(400, str(error.args[0]))
        if scenario.once and not self._first_time(f"POST {hashlib.sha256(body).hexdigest()}"):
            scenario = find_scenario("ok")
        answer = scenario.answer or self._succeed(request, scenario)
        return replace(answer, fault=scenario.fault, delay_seconds=scenario.delay_seconds)

    def _choose(self, prompt: str) -> Scenario:
        with self._lock:
            if self._script:
                return self._script.popleft()
        name = prompt_scenario(prompt)
        return find_scenario("ok" if name is None else name)

    def _first_time(self, event: str) -> bool:
        """Remember an event; the oldest is forgotten after 10,000."""
        with self._lock:
            first = event not in self._met
            self._met[event] = None
            if len(self._met) > _MEMORY:
                self._met.popitem(last=False)
        return first

    def _succeed(self, request: ImageRequest, scenario: Scenario) -> Answer:
        pictures = [choose_picture(request, scenario, number) for number in range(scenario.images)]
        urls = [self._url(picture, scenario) for picture in pictures]
        given = [
            GivenImage(
                request.prompt,
                picture.width,
                picture.height,
                picture.watermark,
                picture.mime_type,
                url.partition(",")[0],
            )
            for picture, url in zip(pictures, urls, strict=True)
        ]
        with self._lock:
            self._images.extend(given)
        return json_answer(200, success_document(request, urls, scenario))

    def _url(self, picture: ImageInfo, scenario: Scenario) -> str:
        if scenario.inline:
            content = base64.b64encode(self._paint(picture)).decode()
            return f"data:{picture.mime_type};base64,{content}"
        lifetime = -60 if picture.failure == "expired" else LIFETIME_SECONDS
        return self._base_url + write_link(picture, now=self._now(), lifetime_seconds=lifetime)

    def _serve_image(self, target: str, headers: dict[str, str]) -> Answer:
        for name in _NOT_FOR_STORAGE:
            if name in headers:
                reason = f"The request carries the header {name}, which is not for the storage."
                return storage_error(403, "SignatureDoesNotMatch", reason)
        picture = read_link(target, now=self._now())
        return picture if isinstance(picture, Answer) else self._play_link(target, picture)

    def _play_link(self, target: str, picture: ImageInfo) -> Answer:
        failure = picture.failure or ""
        if failure in FIXED:
            return FIXED[failure]
        if failure == "image-500-once" and self._first_time(f"GET {target}"):
            return FIXED["image-500"]
        if failure == "image-redirect":
            good = write_link(replace(picture, failure=None), now=self._now())
            return Answer(302, headers={"Location": self._base_url + good})
        content = self._paint(picture)
        if failure == "image-corrupt":
            content = corrupt(content)
        return Answer(200, content, {"Content-Type": picture.mime_type}, fault=FAULTS.get(failure))

    def _paint(self, picture: ImageInfo) -> bytes:
        draw = self._draw or _pillow_draw()
        return draw(
            picture.prompt,
            size=(picture.width, picture.height),
            watermark=picture.watermark,
            seed_text=picture.seed,
            picture_format=picture.picture_format,
        )


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _pillow_draw() -> Draw:
    """Load Pillow only now: it is optional, and not quick to import."""
    from langchain_qwen_image.sandbox.drawing import draw

    return draw
