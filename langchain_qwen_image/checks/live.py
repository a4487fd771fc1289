"""The verdict of a live check: each assumption of this package, and whether it holds.

Nothing is sent here. `qwen-image check --live` makes the calls, by the same pipeline as any other.
"""

from collections.abc import Iterator

from langchain_qwen_image.checks import live_answer, live_image
from langchain_qwen_image.checks.live_evidence import Assumption, Evidence, Verdict


def compare(evidence: Evidence) -> list[Assumption]:
    """Return every assumption that the evidence says something about, in the order of the calls."""
    return list(_compared(evidence))


def all_hold(evidence: Evidence, assumptions: list[Assumption]) -> bool:
    """Say whether the check came to its end and nothing differs."""
    is_complete = evidence.image is not None and not evidence.interrupted
    return is_complete and all(one.verdict is not Verdict.DIFFERS for one in assumptions)


def _compared(evidence: Evidence) -> Iterator[Assumption]:
    if evidence.wrong_key.exchanges:
        yield live_answer.wrong_key(evidence.wrong_key)
    call = evidence.image
    if call is not None:
        yield from live_answer.success(call)
        if call.result is not None:
            yield from live_image.link(call, call.result, evidence.base_url)
            yield from live_image.image(call, call.result)
    if evidence.bad_size is not None:
        yield live_answer.bad_size(evidence.bad_size)
