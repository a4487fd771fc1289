"""List what a prompt can ask for: `sandbox:NAME`, the rest of the prompt is ignored.

One table, from which the gateway plays, the documentation and `--help` are made.
"""

import re
from dataclasses import replace

from langchain_qwen_image.sandbox.broken_answers import BROKEN_ANSWERS
from langchain_qwen_image.sandbox.failures import FAILURES
from langchain_qwen_image.sandbox.scenario import Queue, Scenario

_TIMED = re.compile(r"(slow|queued)-(\d{1,3})")
_LONGEST_DELAY_SECONDS = 300

UNKNOWN_SCENARIO = (
    "The prompt begins with sandbox: and a name that is not a scenario. The command qwen-image "
    "sandbox lists them, and so does langchain_qwen_image.sandbox.SCENARIOS."
)
"""Has no name of a scenario, nor the one that was given: `quota` in it would read as money."""


def prompt_scenario(prompt: str) -> str | None:
    """Return the name after the prefix `sandbox:` of a prompt, or None without the prefix."""
    match = re.match(r"\s*sandbox:\s*([a-z0-9-]*)", prompt, re.IGNORECASE | re.ASCII)
    return match[1].lower() if match else None


def find_scenario(name: str) -> Scenario:
    """Return the scenario of that name; `slow-N` and `queued-N` take N seconds, 0 to 300.

    Raises:
        KeyError: There is no such scenario; the message lists the names.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    timed = _TIMED.fullmatch(name)
    if timed is None or int(timed[2]) > _LONGEST_DELAY_SECONDS:
        known = ", ".join(SCENARIOS)
        raise KeyError(
            f"no scenario {name!r}; there are {known}, slow-N, queued-N (N seconds, 0 to 300)"
        )
    seconds = float(timed[2])
    if timed[1] == "slow":
        return replace(SCENARIOS["slow"], delay_seconds=seconds)
    return replace(SCENARIOS["queued"], queue=Queue(end="COMPLETED", seconds=seconds))


def _shape(shape: str, description: str) -> Scenario:
    return Scenario(description=description, layer="success", shape=shape)


def _queue(queue: Queue, description: str) -> Scenario:
    return Scenario(description=description, layer="queue", queue=queue)


def _link(failure: str, description: str) -> Scenario:
    return Scenario(description=description, layer="link", failure=failure)


_SUCCESSES = {
    "slow": Scenario(
        description="Success after 3 seconds; slow-N takes N seconds, up to 300.",
        layer="success",
        delay_seconds=3.0,
    ),
    "data-uri": Scenario(
        description="Success with the image itself as a data: URI.", layer="success", inline=True
    ),
    "two-images": Scenario(description="Success with two images.", layer="success", images=2),
    "jpeg": Scenario(
        description="Success; the link serves a JPEG.", layer="success", image_format="JPEG"
    ),
    "webp": Scenario(
        description="Success; the link serves a WebP.", layer="success", image_format="WEBP"
    ),
    "document-shape": _shape("document", "Success in the API document's shape."),
    "images-shape": _shape("images", "Success in the owner's other shape: images[].url."),
    "upstream-usage": _shape(
        "upstream", 'Success with the field names of DashScope: output_width, code "".'
    ),
    "media-url": _shape("media-url", "Success as a finished task: output.media_url."),
    "output-link": _shape("output-link", "Success with the link as output itself."),
    "image-url": _shape("image-url", "Success with the link as imageUrl."),
    "content-object": _shape("content-object", "Success with an object where a list is expected."),
    "content-text": _shape("content-text", "Success with the bare link as content."),
    "text-beside": _shape("text-beside", "Success with an error text next to the image."),
    "null-error": _shape("null-error", "Success with an error object of nulls next to the image."),
    "same-link": _shape("same-link", "Success with the same image listed three times."),
    "untrimmed-link": _shape("untrimmed-link", "Success with line breaks around the link."),
    "relative-link": _shape("relative-link", "Success with a link without scheme and host."),
    "no-scheme": _shape("no-scheme", "Success with a link that begins with //."),
    "http-link": _shape("http-link", "Success with an http:// link that works over https too."),
    "base64": _shape("base64", "Success with the image in base64, without data:."),
    "raw-bytes": _shape("raw-bytes", "Success; the body is the image itself."),
    "json-in-string": _shape("json-in-string", "Success as JSON in a JSON string."),
    "json-and-more": _shape("json-and-more", "Success as JSON with other text after it."),
    "event-stream": _shape("event-stream", "Success as one server-sent event."),
    "utf-16": _shape("utf-16", "Success as JSON in UTF-16."),
    "x-gzip": _shape("x-gzip", "Success, compressed as x-gzip."),
    "false-gzip": _shape("false-gzip", "Success as plain JSON that is labelled gzip."),
    "false-br": _shape("false-br", "Success as plain JSON that is labelled br."),
    "unfinished": Scenario(
        description="Success. The body is complete, but shorter than its Content-Length.",
        layer="success",
        fault="unfinished",
    ),
}
_QUEUED = {
    "queued": _queue(
        Queue(end="COMPLETED"),
        "Queued with 202, finished at the second poll. queued-N takes N seconds.",
    ),
    "queued-200": _queue(
        Queue(end="COMPLETED", http_status=200, plain_http=True),
        "Queued with 200 and an http:// polling address, then finished.",
    ),
    "queued-failed": _queue(Queue(end="FAILED"), "Queued, then FAILED: nothing is charged."),
    "queued-error": _queue(Queue(end="ERROR"), "Queued, then ERROR: nothing is charged."),
    "queued-lost": _queue(Queue(end="LOST"), "Queued and never finished. Most polls fail."),
    "queued-elsewhere": _queue(
        Queue(end="COMPLETED", elsewhere=True),
        "Queued with a polling address on another host, which must not get the key.",
    ),
}
_LINKS = {
    "expired": _link("expired", "The link has already expired: 403 with the storage's XML."),
    "image-404": _link("image-404", "The link's image does not exist: 404."),
    "image-500": _link("image-500", "The link gives 500, every time."),
    "image-500-once": _link("image-500-once", "The link gives 500 at first, then the image."),
    "image-html": _link("image-html", "The link serves HTML that is labelled image/png."),
    "image-truncated": _link("image-truncated", "The image is shorter than its Content-Length."),
    "image-corrupt": _link("image-corrupt", "One byte of the image is wrong."),
    "image-redirect": _link("image-redirect", "The link redirects to another good link."),
    "image-private": _link("image-private", "The link redirects to a private address."),
    "image-drip": _link("image-drip", "The image comes one byte at a time."),
    "image-drop": _link("image-drop", "The link's connection is closed before any response."),
    "image-aws-chunked": _link(
        "image-aws-chunked", "The image has Content-Encoding: aws-chunked, but is not encoded."
    ),
    "image-binary": _link("image-binary", "The image has Content-Encoding: binary."),
}

SCENARIOS: dict[str, Scenario] = {
    "ok": Scenario(description="Success, as for any other prompt.", layer="success"),
    **FAILURES,
    **BROKEN_ANSWERS,
    **_SUCCESSES,
    **_QUEUED,
    **_LINKS,
}
"""Every scenario by its name, in the order of the documentation."""
