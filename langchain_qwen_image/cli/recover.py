"""`qwen-image recover`: download what is paid for and not saved, and list what needs attention."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_qwen_image.cli.tables import show_table
from langchain_qwen_image.cli.terminal import AccountPath, dollars, one_line, shown, waiting

if TYPE_CHECKING:
    from langchain_qwen_image.recovery import Finding, Outcome

_WORDS: "dict[Outcome, str]" = {
    "found": "found on disk",
    "booked": "recorded from files",
    "fetched": "fetched",
    "fetchable": "can be fetched",
    "failed": "not fetched",
    "lost": "lost",
    "queued": "queued",
    "running": "in progress",
    "refused": "not billed",
    "unanswered": "unknown",
}
_PROMPT_CHARACTERS = 32


def recover(
    directory: Annotated[
        str,
        typer.Argument(
            metavar="DIR", help="A folder or s3://… of images, or an account: file or address."
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Download nothing; only list what would be done.")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Make a new account for a folder that lost its own, from the .json files in it.",
        ),
    ] = False,
    save_to: Annotated[
        str | None, typer.Option(metavar="DIR", help="Where images are saved; by default DIR.")
    ] = None,
    account: AccountPath = None,
    raw_answers: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT_DIR",
            help="Folder for answers in which no image was found. They may contain links.",
        ),
    ] = None,
) -> None:
    """Download paid images that were not saved.

    Free of charge: no image is generated. Images whose link has expired are listed as lost, images
    that the gateway has not generated yet as queued, and calls that may have been billed without
    an answer as unknown. A paid image that is in DIR with its .json file, and that the account
    does not have, is recorded in the account.

    Exit status: 0 if nothing needs attention, 1 if something does, 2 for a usage error.
    """
    from langchain_qwen_image import recovery

    with waiting("Looking for images,"):
        findings = list(
            recovery.recover(
                directory,
                account=account,
                save_to=save_to,
                dry_run=dry_run,
                rebuild=rebuild,
                raw_answers=raw_answers,
            )
        )
    listed = [one for one in findings if not (rebuild and one.outcome == "booked")]
    if listed:
        show_table(("outcome", "asked (UTC)", "prompt", "details"), [_row(one) for one in listed])
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
        return shown(finding.path)
    call = finding.call
    details = [finding.reason] if finding.reason else []
    if finding.outcome == "unanswered":
        details = [
            f"May have cost {dollars(call.cost_usd)} ({call.error or 'no answer is known'})."
        ]
    if call.request_id:
        details.append(f"Request {call.request_id}.")
    if finding.raw_answer is not None:
        details.append(f"Raw answer: {shown(finding.raw_answer)}")
    elif call.has_raw_answer:
        details.append("Its raw answer is saved: --raw-answers OUT_DIR writes it to a file.")
    return " ".join(details)


def _summary(findings: Sequence["Finding"]) -> str:
    if not findings:
        return "Nothing to recover: every paid image in the account is saved."
    counts = Counter(one.outcome for one in findings)
    parts = [f"{counts[outcome]:,} {words}" for outcome, words in _WORDS.items() if counts[outcome]]
    return f"{', '.join(parts)}."
