"""The report of a live check, for people and programs; it can be shown to anyone."""

import json
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from langchain_qwen_image._version import __version__
from langchain_qwen_image.checks.live import all_hold
from langchain_qwen_image.checks.live_body import kind_of, last_object, outline
from langchain_qwen_image.checks.live_evidence import Assumption, Evidence, LiveCall
from langchain_qwen_image.checks.live_exchange import Exchange, Headers, ImageAnswer
from langchain_qwen_image.checks.live_secrets import Scrubber
from langchain_qwen_image.environment import is_loopback
from langchain_qwen_image.wire.redaction import printable

SCHEMA = 1
_SHOWN = frozenset(
    "content-type content-length content-encoding transfer-encoding date server via retry-after "
    "www-authenticate accept-ranges cache-control connection age x-cache".split(" ")
)
"""Headers whose values are shown. Of others only the name: it may be anything."""
_MOST_TEXT = 600
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|#]")


def report(
    evidence: Evidence,
    assumptions: Sequence[Assumption],
    scrubber: Scrubber,
    *,
    finished_at: datetime,
    spent: str,
) -> dict[str, Any]:
    """Return the report as JSON.

    Args:
        evidence: What the check saw.
        assumptions: What `compare` made of it.
        scrubber: Knows its secrets.
        finished_at: When the check ended, in UTC.
        spent: What the account says of the money, in words.
    """
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "package": f"langchain-qwen-image {__version__}",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "gateway": evidence.base_url,
        "is_live": not is_loopback(evidence.base_url),
        "started_at": evidence.started_at.isoformat(timespec="seconds"),
        "finished_at": finished_at.isoformat(timespec="seconds"),
        "posts": evidence.posts,
        "price_usd": evidence.price_usd,
        "spent": spent,
        "interrupted": evidence.interrupted,
        "all_hold": all_hold(evidence, list(assumptions)),
        "assumptions": [
            {
                "name": one.name,
                "expected": one.expected,
                "found": printable(one.found),
                "verdict": one.verdict.value,
            }
            for one in assumptions
        ],
        "answers": {name: list(_answers(call)) for name, call in _named(evidence)},
    }
    scrubbed: dict[str, Any] = _scrubbed(made, scrubber)
    return scrubbed


def markdown(made: dict[str, Any]) -> str:
    """Return a report as Markdown."""
    live = "" if made["is_live"] else " This gateway is on this machine, so nothing here is live."
    words = [one["verdict"] for one in made["assumptions"]]
    hold, differ, unknown = map(words.count, ("holds", "differs", "unknown"))
    lines = [
        "# Live check of the Qwen-Image gateway",
        "",
        f"{_verdict(made)}{live}",
        "",
        f"- Gateway: {made['gateway']}",
        f"- Time: {made['started_at']} to {made['finished_at']}",
        f"- Package: {made['package']}, Python {made['python']}, {made['system']}",
        f"- POSTs: {made['posts']}; {made['spent']}",
        f"- Assumptions: {hold} hold, {differ} differ, {unknown} unknown",
        "",
        "Neither the key nor a signed link is in this report.",
        "",
        "| Verdict | Assumption | Expected | Found |",
        "| --- | --- | --- | --- |",
        *(_row(one) for one in made["assumptions"]),
        "",
        "## Answers",
        "",
        "Text in bodies is left out, except in errors.",
        "",
    ]
    for name, answers in made["answers"].items():
        text = json.dumps(answers, ensure_ascii=False, indent=2)
        lines += [f"### {name}", "", "```json", text, "```", ""]
    return "\n".join(lines)


def _verdict(made: dict[str, Any]) -> str:
    if made["interrupted"]:
        return "**The check was interrupted.**"
    if made["all_hold"]:
        return "**Every assumption holds.**"
    if "Image" not in made["answers"]:
        return "**Stopped: a wrong key was not refused, so no image was bought.**"
    return "**Something differs.**"


def _row(one: dict[str, str]) -> str:
    mark = one["verdict"] if one["verdict"] == "holds" else f"**{one['verdict']}**"
    cells = (_cell(one[name]) for name in ("name", "expected", "found"))
    return f"| {mark} | {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", text)


def _named(evidence: Evidence) -> Iterator[tuple[str, LiveCall]]:
    yield "Wrong key", evidence.wrong_key
    if evidence.image is not None:
        yield "Image", evidence.image
    if evidence.bad_size is not None:
        yield "Undocumented size", evidence.bad_size


def _answers(call: LiveCall) -> Iterator[dict[str, Any]]:
    for exchange in call.exchanges:
        yield _answer(exchange, is_error=call.result is None)
    for answer in call.image_answers:
        yield _image_answer(answer)


def _answer(exchange: Exchange, *, is_error: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "method": exchange.method,
        "status": exchange.status,
        "seconds": round(exchange.seconds, 2),
        **_headers(exchange.headers),
        "body": kind_of(exchange),
        "bytes": len(exchange.body),
        "outline": outline(last_object(exchange)),
    }
    if is_error:
        made["text"] = exchange.body.decode(errors="replace")
    return made


def _image_answer(answer: ImageAnswer) -> dict[str, Any]:
    return {"method": "GET of the link", "status": answer.status, **_headers(answer.headers)}


def _headers(headers: Headers) -> dict[str, Any]:
    shown = {name: headers[name] for name in sorted(headers) if name in _SHOWN}
    return {"headers": shown, "other_headers": sorted(set(headers) - _SHOWN)}


def _scrubbed(value: Any, scrubber: Scrubber) -> Any:
    """Return JSON with every text scrubbed, then cut: half a secret would not be found."""
    if isinstance(value, dict):
        return {scrubber.text(name): _scrubbed(one, scrubber) for name, one in value.items()}
    if isinstance(value, list):
        return [_scrubbed(one, scrubber) for one in value]
    return printable(scrubber.text(value))[:_MOST_TEXT] if isinstance(value, str) else value
