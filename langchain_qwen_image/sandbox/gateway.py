"""Be the gateway: take one request, give one answer, without any socket."""

import base64
import hashlib
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from langchain_qwen_image.sandbox.answer import Answer, error_answer, json_answer
from langchain_qwen_image.sandbox.links import ImageInfo
from langchain_qwen_image.sandbox.queue import STATUS_PATH, poll_answer, queued_answer, read_task
from langchain_qwen_image.sandbox.records import GivenImage, ReceivedRequest, Records, record_of
from langchain_qwen_image.sandbox.request_check import (
    ImageRequest,
    check_body,
    check_headers,
    check_key,
)
from langchain_qwen_image.sandbox.scenario import Scenario
from langchain_qwen_image.sandbox.scenarios import UNKNOWN_SCENARIO, find_scenario, prompt_scenario
from langchain_qwen_image.sandbox.shapes import answer_in_shape, task_shape
from langchain_qwen_image.sandbox.storage import IMAGES_PATH, Draw, Storage
from langchain_qwen_image.sandbox.success import Shape, Success, choose_image

ENDPOINT = "/qwen-image/v1/generateMultimodeTextToImageRequest"
_MEMORY = 10_000


class Gateway:
    """Answer as the remote gateway does, from any number of threads.

    Args:
        base_url: Where the links of images shall lead, without a slash at the end.
        draw: What draws the images; by default Pillow, or plain patterns where it is missing.
        record_limit: How many of the last requests and images to remember; 0 for none.
        now: The clock, in Unix seconds.
        shape: Which of the owner's two success bodies to answer with.
    """

    def __init__(
        self,
        base_url: str,
        *,
        draw: Draw | None = None,
        record_limit: int = _MEMORY,
        now: Callable[[], float] = time.time,
        shape: Shape = "document",
    ) -> None:
        """Start with nothing received, nothing given out and nothing scripted."""
        self._base_url = base_url.rstrip("/")
        self._now = now
        self._shape = shape
        self._storage = Storage(self._base_url, draw=draw, now=now, first_time=self._first_time)
        self._lock = threading.Lock()
        self._requests: Records[ReceivedRequest] = Records(record_limit)
        self._images: Records[GivenImage] = Records(record_limit)
        self._script: deque[Scenario] = deque()
        self._met: OrderedDict[bytes, int] = OrderedDict()
        self._counts: Counter[str] = Counter()

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Return the requests received, oldest first."""
        return self._requests.all()

    @property
    def images(self) -> list[GivenImage]:
        """Return the images given out, oldest first, lost answers (cut short) included."""
        return self._images.all()

    @property
    def post_count(self) -> int:
        """Return the number of POSTs received, to any path, refused ones included."""
        return self._counts["POST"]

    @property
    def poll_count(self) -> int:
        """Return how often queued requests were asked for, refused polls included."""
        return self._counts["poll"]

    def now(self) -> float:
        """Return the time by the gateway's clock, in Unix seconds."""
        return self._now()

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
        """Answer one request; the target is the path with its query string as it came."""
        lowered = {name.lower(): value for name, value in headers.items()}
        is_poll = method == "GET" and target.startswith(STATUS_PATH)
        self._count("poll" if is_poll else method)
        if self._requests.limit:
            self._requests.add(*record_of(method, target, lowered, body))
        if is_poll:
            return check_key(lowered) or self._serve_poll(target)
        if method == "GET" and target.startswith(IMAGES_PATH):
            return self._storage.answer(target, lowered)
        if (method, target) == ("POST", ENDPOINT):
            return check_headers(lowered) or self._serve_post(body)
        return error_answer(404, "Endpoint not found")

    def _count(self, kind: str) -> None:
        with self._lock:
            self._counts[kind] += 1

    def _serve_post(self, body: bytes) -> Answer:
        request = check_body(body)
        if isinstance(request, Answer):
            return request
        try:
            scenario = self._choose(request.prompt)
        except KeyError:
            return error_answer(400, UNKNOWN_SCENARIO)
        if scenario.once and not self._first_time(b"POST " + body):
            scenario = find_scenario("ok")
        answer = scenario.answer or self._accept(request, scenario)
        return replace(answer, fault=scenario.fault, delay_seconds=scenario.delay_seconds)

    def _choose(self, prompt: str) -> Scenario:
        with self._lock:
            if self._script:
                return self._script.popleft()
        name = prompt_scenario(prompt)
        return find_scenario("ok" if name is None else name)

    def _first_time(self, event: bytes) -> bool:
        return self._times_met(event) == 0

    def _times_met(self, event: bytes) -> int:
        """Return how often an event was met before; the oldest of 10,000 is forgotten."""
        key = hashlib.sha256(event).digest()
        with self._lock:
            times = self._met.pop(key, 0)
            self._met[key] = times + 1
            if len(self._met) > _MEMORY:
                self._met.popitem(last=False)
        return times

    def _accept(self, request: ImageRequest, scenario: Scenario) -> Answer:
        images = [choose_image(request, scenario, number) for number in range(scenario.images)]
        if scenario.queue:
            return queued_answer(
                images[0], scenario.queue, base_url=self._base_url, now=self._now()
            )
        urls = [self._url(image, inline=scenario.inline) for image in images]
        self._give(request.prompt, images, urls)
        success = Success(images, urls, self._storage.paint)
        return answer_in_shape(success, scenario.shape or self._shape)

    def _serve_poll(self, target: str) -> Answer:
        task = read_task(target)
        if task is None:
            return error_answer(404, "Request not found")
        number = self._times_met(f"GET {target}".encode())
        answer = poll_answer(task, number=number, now=self._now())
        return answer or self._finish(task.request_id, task.image)

    def _finish(self, request_id: str, image: ImageInfo) -> Answer:
        urls = [self._url(image)]
        if self._first_time(f"done {request_id}".encode()):
            self._give(image.prompt, [image], urls)
        success = Success([image], urls, self._storage.paint)
        return json_answer(200, {"request_id": request_id, **task_shape(success)})

    def _url(self, image: ImageInfo, *, inline: bool = False) -> str:
        if not inline:
            return self._storage.link(image)
        content = base64.b64encode(self._storage.paint(image)).decode()
        return f"data:{image.mime_type};base64,{content}"

    def _give(self, prompt: str, images: list[ImageInfo], urls: list[str]) -> None:
        for image, url in zip(images, urls, strict=True):
            shown = url.partition(",")[0]
            given = GivenImage(
                prompt, image.width, image.height, image.watermark, image.mime_type, shown
            )
            self._images.add(given, len(prompt) + len(shown))
