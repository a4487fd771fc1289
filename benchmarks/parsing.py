"""How long reading an answer takes, against `json.loads` of the same body.

An image may come inline and a gateway may say anything, so reading must stay linear: what is looked
at beyond the JSON itself is bounded.
"""

import json
import time
from collections.abc import Callable

from benchmarks.report import Bound, Table
from langchain_qwen_image.errors import QwenImageError
from langchain_qwen_image.wire.response import parse_response

MIB = 1 << 20
_LINK = "https://images.example/a.png?Expires=1799999999&Signature=s%2Bt%3D"
_BASE64 = "iVBORw0KGgo" + "A" * 61


def _dumped(body: object) -> bytes:
    return json.dumps(body).encode()


def _document(content: object) -> bytes:
    return _dumped({"output": {"choices": [{"message": {"content": content}}]}})


BODIES: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "image inline, documented": (200, lambda n: _document([{"image": _BASE64 + "A" * n}])),
    "image inline, elsewhere": (
        200,
        lambda n: _dumped({"data": [{"b64_json": _BASE64 + "A" * n}]}),
    ),
    "many images": (200, lambda n: _dumped({"images": [{"url": _LINK}] * (n // 80)})),
    "many small parts": (200, lambda n: _document([{"image": "x"}] * (n // 14))),
    "many names": (200, lambda n: _dumped({f"k{number}": 1 for number in range(n // 13)})),
    "many links, no image": (200, lambda n: _dumped({"links": [_LINK] * (n // 72)})),
    "empty lists": (200, lambda n: b"[" + b"[]," * (n // 3) + b"[]]"),
    "one long text": (400, lambda n: _dumped({"error": "a b " * (n // 4)})),
    "escaped slashes": (400, lambda n: b'{"error":"' + b"\\/" * (n // 2) + b'"}'),
    "many errors": (400, lambda n: _dumped({"errors": [{"message": "a b c"}] * (n // 24)})),
}


def parsing(*, rounds: int, small: int = MIB, times: int = 8) -> tuple[Table, list[Bound]]:
    """Read bodies of two sizes, and compare CPU time with `json.loads` and with each other.

    Args:
        rounds: Readings of each; the quickest counts.
        small: Bytes of the smaller body.
        times: How many times larger the other one is.
    """
    sizes = f"{small / MIB:g} MiB, ms", f"{small * times / MIB:g} MiB, ms"
    table = Table("Reading an answer", ("body", *sizes, "of json.loads", f"grows by (of {times})"))
    worst = growth = 0.0
    for name, (status, body_of) in BODIES.items():
        few, many = body_of(small), body_of(small * times)
        first, second = (_quickest(_reader(status, body), rounds) for body in (few, many))
        ratio = second / _quickest(lambda body=many: json.loads(body), rounds)
        worst, growth = max(worst, ratio), max(growth, second / first)
        table.rows.append(
            (
                name,
                f"{first * 1e3:.1f}",
                f"{second * 1e3:.1f}",
                f"{ratio:.1f}",
                f"{second / first:.1f}",
            )
        )
    table.notes.append(
        "CPU time, the quickest of the rounds. Beyond some 20,000 values nothing is searched."
    )
    return table, [
        Bound("reading an answer, times json.loads of it", 8.0, worst),
        Bound(f"reading an answer {times} times as large, times as long", times * 2.0, growth),
    ]


def _reader(status: int, body: bytes) -> Callable[[], object]:
    def read() -> object:
        try:
            return parse_response(status, {}, body, secret="sk_live_0123456789abcdef")
        except QwenImageError:
            return None

    return read


def _quickest(work: Callable[[], object], rounds: int) -> float:
    work()  # the first call builds what the others use
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return max(best, 1e-6)
