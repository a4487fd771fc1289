"""Hold what the sandbox gateway says to one request, before any transport carries it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["timeout", "drop", "reset", "truncated", "unfinished", "drip"]
"""How an answer fails to arrive whole.

`timeout`: nothing comes. `drop`: closed without a byte. `reset`: the same by RST.
`truncated`: the body ends early. `unfinished`: the body is whole, but fewer bytes than were
announced, and then the connection closes. `drip`: the body comes a little at a time.
"""


_UNSENT_BYTES = 7


@dataclass(frozen=True, slots=True)
class Answer:
    """Describe one answer: what is said, how late, and what goes wrong on the way."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    delay_seconds: float = 0.0
    fault: Fault | None = None

    def all_headers(self) -> dict[str, str]:
        """Return the headers with the `Content-Length` that is announced."""
        missing = _UNSENT_BYTES if self.fault == "unfinished" else 0
        return {**self.headers, "Content-Length": str(len(self.body) + missing)}


def json_answer(status: int, document: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with a JSON document."""
    body = json.dumps(document, ensure_ascii=False).encode()
    return Answer(status, body, {"Content-Type": "application/json", **(headers or {})})


def text_answer(status: int, text: str, content_type: str = "text/plain") -> Answer:
    """Answer with text, as proxies do."""
    return Answer(status, text.encode(), {"Content-Type": content_type})


def error_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with the error shape of the API document: `{"error": "<text>"}`."""
    return json_answer(status, {"error": text}, headers)


def storage_error(status: int, code: str, message: str) -> Answer:
    """Answer with the XML error of the object storage (OSS) that serves the images upstream."""
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error>\n  <Code>{code}</Code>\n  <Message>{message}</Message>\n</Error>\n"
    )
    return text_answer(status, xml, "application/xml")
