"""The gateway that a fleet is measured against: it counts, by prompt, what it answered.

python -m benchmarks.fleet_gateway '{"weights": [74, 5, 4, 4, 4, 4, 5], "delay": 0.05}'
"""

import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_qwen_image.sandbox import SandboxServer, draw_plain
from langchain_qwen_image.sandbox.answer import Answer, error_answer, json_answer
from langchain_qwen_image.sandbox.gateway import Gateway
from langchain_qwen_image.sandbox.request_check import check_body

COUNTS = "/counts"
MOODS = ("well", "slow", "429", "500", "500 billed", "drop", "drop billed")
PAID = {"well", "slow", "500 billed", "drop billed"}
LOST = {"500", "500 billed", "drop", "drop billed"}
_SLOW_SECONDS = 0.8


class FleetGateway(Gateway):
    """Answers most POSTs, some late, some with a failure before or after they are paid for.

    Args:
        base_url: Where it is.
        weights: How often each of `MOODS` comes.
        delay: Seconds an answer takes.
        rate: POSTs a second that are admitted; None for all.
        seed: Of the moods.
    """

    def __init__(
        self,
        base_url: str,
        *,
        weights: Sequence[float] = (1, 0, 0, 0, 0, 0, 0),
        delay: float = 0.05,
        rate: float | None = None,
        seed: int = 5,
    ) -> None:
        """Start with nothing answered."""
        super().__init__(base_url, draw=draw_plain, record_limit=0)
        self._random = random.Random(seed)
        self._weights, self._delay, self._rate = weights, delay, rate
        self._tokens, self._filled_at = rate or 0.0, time.monotonic()
        self._answered: dict[str, list[str]] = defaultdict(list)
        self._admitted_at: list[float] = []

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer one request; what a POST got is counted by its prompt."""
        if method == "GET" and target == COUNTS:
            with self._lock:
                return json_answer(200, {"moods": self._answered, "admitted": self._admitted_at})
        if method != "POST":
            return super().answer(method, target, headers, body)
        request = check_body(body)
        if isinstance(request, Answer):
            raise ValueError(f"our own request is refused: {request}")
        mood = self._mood()
        with self._lock:
            self._answered[request.prompt].append(mood)
            if mood != "429":
                self._admitted_at.append(time.monotonic())
        good = super().answer(method, target, headers, body) if mood in PAID else _FAILURE
        match mood:
            case "429":
                return _TOO_MANY if self._rate is None else replace(_TOO_MANY, headers=_JSON)
            case "500" | "500 billed":
                return replace(_FAILURE, delay_seconds=self._delay)
            case "drop" | "drop billed":
                return replace(good, fault="drop", delay_seconds=self._delay)
        return replace(good, delay_seconds=_SLOW_SECONDS if mood == "slow" else self._delay)

    def _mood(self) -> str:
        with self._lock:
            if self._rate is not None:
                now = time.monotonic()
                self._tokens += (now - self._filled_at) * self._rate
                self._tokens, self._filled_at = min(self._tokens, self._rate), now
                if self._tokens < 1:
                    return "429"  # as the gateway does, without saying for how long
                self._tokens -= 1
            return self._random.choices(MOODS, self._weights)[0]


_JSON = {"Content-Type": "application/json"}
_FAILURE = error_answer(500, "An unexpected error occurred, please try again later")
_TOO_MANY = error_answer(429, "Rate limit exceeded, please retry later", {"Retry-After": "0"})


def main() -> None:
    """Serve until standard input ends."""
    given = json.loads(sys.argv[1])
    with SandboxServer() as server:
        server.gateway = FleetGateway(server.base_url, **given)
        print(server.base_url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
