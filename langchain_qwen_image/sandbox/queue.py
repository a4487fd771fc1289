"""Queue a request, and answer the polls of its client, as the owner's sister routes do.

A polling address carries the image that it is about, as links do, so that any process can answer
it: `recover` in another one finds what the embedded sandbox queued.
"""

import uuid
from dataclasses import asdict, dataclass
from typing import Any

from langchain_qwen_image.sandbox.answer import Answer, error_answer, json_answer, text_answer
from langchain_qwen_image.sandbox.links import ImageInfo, read_image
from langchain_qwen_image.sandbox.scenario import Queue
from langchain_qwen_image.sandbox.signed import pack, read_signed, unpack, write_signed

STATUS_PATH = "/v2/requests/status/"
_LOST_POLLS = (
    Answer(200, fault="drop"),
    text_answer(502, "Bad Gateway"),
    json_answer(429, {"statusCode": 429, "message": "Rate limit is exceeded."}),
    error_answer(404, "Request not found"),
)
_ENDS = ("COMPLETED", "FAILED", "ERROR", "LOST")
_REASONS = {
    "FAILED": "The model could not generate an image for this request.",
    "ERROR": "An internal error occurred while processing the request.",
}


@dataclass(frozen=True, slots=True)
class Task:
    """Hold a queued request, as its polling address says."""

    request_id: str
    image: ImageInfo
    end: str
    ready_at: float
    """Unix seconds; before, it is not done."""


def queued_answer(image: ImageInfo, queue: Queue, *, base_url: str, now: float) -> Answer:
    """Return the answer to a POST that was queued."""
    request_id = f"qwen-image_{uuid.uuid4()}"
    task = {"image": asdict(image), "end": queue.end, "ready_at": now + queue.seconds}
    origin = "https://elsewhere.invalid" if queue.elsewhere else base_url
    url = origin + write_signed(STATUS_PATH + request_id, {"Task": pack(task)})
    if queue.plain_http:
        url = f"http:{url.partition(':')[2]}"
    document = {"request_id": request_id, "status": "QUEUED", "polling_url": url}
    return json_answer(queue.http_status, document)


def read_task(target: str) -> Task | None:
    """Return what a polling address is about, or None: no sandbox gave it out."""
    content = unpack((read_signed(target) or {}).get("Task", "")) or {}
    image, ready_at = read_image(_object(content.get("image"))), content.get("ready_at")
    end = content.get("end")
    if image is None or not isinstance(ready_at, int | float) or end not in _ENDS:
        return None
    request_id = target.partition("?")[0].removeprefix(STATUS_PATH)
    return Task(request_id, image, end, ready_at)


def poll_answer(task: Task, *, number: int, now: float) -> Answer | None:
    """Return the answer to a poll, the first has number 0; None when the image is done."""
    if task.end == "LOST":
        turns = (*_LOST_POLLS, _status_answer(task, "PROCESSING"))
        return turns[number % len(turns)]
    if number == 0 or now < task.ready_at:
        return _status_answer(task, "PROCESSING")
    return None if task.end == "COMPLETED" else _status_answer(task, task.end)


def _status_answer(task: Task, status: str) -> Answer:
    document = {
        "request_id": task.request_id,
        "status": status,
        "output": None,
        "error": _REASONS.get(status),
    }
    return json_answer(200, document)


def _object(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
