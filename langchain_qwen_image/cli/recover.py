"""`qwen-image recover`: fetch what is paid for and not saved, and list what is left to see to."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_qwen_image.cli.terminal import one_line, show_table, shown, waiting

if TYPE_CHECKING:
    from langchain_qwen_image.recovery import Finding, Outcome

_WORDS: "dict[Outcome, str]" = {
    "found": "found on disk",
    "fetched": "fetched",
    "fetchable": "can be fetched",
    "failed": "not fetched",
    "lost": "lost",
    "unanswered": "unknown",
}
_PROMPT_CHARACTERS = 32


def recover(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of images, or a ledger's file.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Fetch nothing; only say how things stand.")
    ] = False,
) -> None:
    """Fetch what is paid for and not saved yet.

    Free of charge: nothing is ever generated. Images whose link has died are listed as lost, and
    calls that may have been billed, without an image, as unknown. The exit status is 0 when
    nothing is left to worry about, else 1.
    """
    from langchain_qwen_image import recovery

    with waiting("Looking for images,"):
        findings = list(recovery.recover(directory, dry_run=dry_run))
    if findings:
        show_table(("outcome", "asked (UTC)", "prompt", "details"), [_row(one) for one in findings])
    typer.echo(_summary(findings))
    if not all(one.is_settled for one in findings):
        raise typer.Exit(1)


def _row(finding: "Finding") -> tuple[str, str, str, str]:
    call = finding.call
    return (
        _WORDS[finding.outcome],
        f"{call.created_at:%Y-%m-%d %H:%M}",
        one_line(call.prompt, _PROMPT_CHARACTERS),
        _details(finding),
    )


def _details(finding: "Finding") -> str:
    if finding.path is not None:
        return shown(Path(finding.path))
    call = finding.call
    reason = finding.reason or ""
    if finding.outcome == "unanswered":
        reason = f"May have cost ${call.cost_usd} ({call.error or 'no answer is known'})."
    return f"{reason} Request {call.request_id}." if call.request_id else reason


def _summary(findings: Sequence["Finding"]) -> str:
    if not findings:
        return "Nothing to recover: every image that the ledger knows to be paid for is saved."
    counts = Counter(one.outcome for one in findings)
    told = [f"{counts[outcome]} {words}" for outcome, words in _WORDS.items() if counts[outcome]]
    return f"{', '.join(told)}."
