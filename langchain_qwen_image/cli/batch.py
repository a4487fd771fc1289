"""`qwen-image batch`: many prompts, many images, each paid for once."""

import copy
import shlex
import sys
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_qwen_image.cli.terminal import (
    Sandbox,
    UsageError,
    amount,
    dollars,
    fail,
    is_sandbox,
    note,
    one_line,
    shown,
)

if TYPE_CHECKING:
    from langchain_qwen_image.account.run_spend import RunSpend
    from langchain_qwen_image.bulk.estimate import Estimate
    from langchain_qwen_image.cli.batch_run import BatchRun
    from langchain_qwen_image.generator import QwenImageGenerator

_DEFAULT = "Default for rows without this value."
_NO_WATERMARK = "No watermark on rows without this value."
_NO_REWRITING = "No rewriting of the prompt on rows without this value."


def batch(
    prompts: Annotated[
        str,
        typer.Argument(
            metavar="PROMPTS", help="A .txt, .csv or .jsonl file; - reads standard input."
        ),
    ],
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder to save the images in.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="KIND",
            help="Input format (txt, csv or jsonl); overrides the file extension.",
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Column with your own ids, for file names, .json files and DIR/index.csv.",
        ),
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="SIZE", help=_DEFAULT)] = None,
    negative_prompt: Annotated[str | None, typer.Option(metavar="TEXT", help=_DEFAULT)] = None,
    no_watermark: Annotated[bool, typer.Option("--no-watermark", help=_NO_WATERMARK)] = False,
    no_prompt_extend: Annotated[
        bool, typer.Option("--no-prompt-extend", help=_NO_REWRITING)
    ] = False,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of parallel requests.")
    ] = 32,
    max_usd: Annotated[
        float | None,
        typer.Option(metavar="USD", min=0, help="Stop before the total for DIR exceeds this."),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Account, if not the one next to DIR: file or address."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before paying.")] = False,
    retry_unknown: Annotated[
        bool,
        typer.Option(
            "--retry-unknown", help="Repeat requests with no known answer; may be billed twice."
        ),
    ] = False,
    retry_lost: Annotated[
        bool,
        typer.Option("--retry-lost", help="Pay again for images whose link expired."),
    ] = False,
    sandbox: Sandbox = None,
) -> None:
    """Generate an image for each prompt of a file.

    A .txt file has one prompt per line. A .csv file names its columns in the first line. A .jsonl
    file has one object per line. The names are those of the arguments: prompt, negative_prompt,
    prompt_extend, watermark, size. For a column with your own ids, give --id-column.

    Shows the maximum cost and asks before paying. After an interruption, run the same command
    again: images already in DIR are not paid for again. The same prompt twice is two images.
    Ctrl-C waits for requests that may be billed. A second Ctrl-C does not wait.

    Exit status: 0 if all images are saved, 1 if some are missing, 2 for a usage error (nothing was
    sent), 130 after Ctrl-C.
    """
    from langchain_qwen_image.bulk.lookup import RetryOptions
    from langchain_qwen_image.cli.batch_plan import plan, requests_of
    from langchain_qwen_image.cli.batch_run import BatchRun
    from langchain_qwen_image.cli.manifest import check_manifest, write_manifest
    from langchain_qwen_image.cli.output import checked_new_folder
    from langchain_qwen_image.cli.prompts import Prompts
    from langchain_qwen_image.cli.tally import Tally

    if kind not in (None, "txt", "csv", "jsonl"):
        raise UsageError(f"--format must be txt, csv or jsonl, not {kind!r}.")
    checked_new_folder(out, "--out")
    given = {
        "size": size,
        "negative_prompt": negative_prompt,
        "watermark": False if no_watermark else None,
        "prompt_extend": False if no_prompt_extend else None,
        "account": account,
    }
    retry = RetryOptions(retry_unknown, retry_lost)
    with closing(Prompts(prompts, kind, id_column)) as rows:
        generator = _generator(out, sandbox=is_sandbox(sandbox), given=given)
        if id_column is not None:
            check_manifest(Path(out))
        estimate = plan(generator, rows, retry)
        _announce(estimate, out, sandbox=generator.sandbox, max_usd=max_usd, yes=yes)
        budgeted = _with_budget(generator, estimate, max_usd)
        tally = Tally(estimate.requests)
        run = BatchRun(budgeted, tally)
        with warnings.catch_warnings(action="ignore"):  # they were said with their lines
            run.watch(requests_of(rows), concurrency=concurrency, **retry._asdict())
        tally.show_missing(rows, rows.name)
        spend = run.spend()
        missing = tally.show_sum(Path(out), spend)
        if id_column is not None:
            write_manifest(Path(out), rows, generator)
    _leave(run, spend, out, missing=missing, max_usd=max_usd)


def _generator(out: str, *, sandbox: bool, given: dict[str, Any]) -> "QwenImageGenerator":
    from pydantic import ValidationError

    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.wire.arguments import explain

    settings = {name: value for name, value in given.items() if value is not None}
    try:
        return QwenImageGenerator(sandbox=sandbox, save_to=out, **settings)
    except ValidationError as error:
        raise UsageError(f"{explain(error)}.") from None


def _announce(
    plan: "Estimate", out: str, *, sandbox: bool, max_usd: float | None, yes: bool
) -> None:
    """Say what is to be done and its maximum cost, and ask whether to go on."""
    from decimal import Decimal

    note(_announcement(plan, sandbox=sandbox))
    if max_usd is not None and Decimal(str(max_usd)) < plan.max_usd:
        note(f"Stops at {dollars(max_usd)} in total for {out}.")
    if yes or max_usd is not None or not plan.max_usd:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("Cannot ask for confirmation (no terminal); pass --yes or --max-usd.")
    if not typer.confirm("Continue?", err=True):
        fail("Nothing was sent.")


def _announcement(plan: "Estimate", *, sandbox: bool) -> str:
    cost = (
        " in the sandbox, free of charge" if sandbox else f"; maximum cost {dollars(plan.max_usd)}"
    )
    if plan.to_generate == plan.requests:
        return f"{amount(plan.requests, 'image')} to generate{cost}."
    others = (
        (plan.reused, "already paid for"),
        (plan.unknown, "with no known answer and not repeated (--retry-unknown)"),
        (plan.lost, "lost and not paid for again (--retry-lost)"),
    )
    parts = [amount(plan.requests, "image"), *(f"{n:,} {what}" for n, what in others if n)]
    return f"{', '.join(parts)}; {plan.to_generate:,} to generate{cost}."


def _with_budget(
    generator: "QwenImageGenerator", plan: "Estimate", max_usd: float | None
) -> "QwenImageGenerator":
    """Hold the run to the maximum cost that was shown."""
    from decimal import Decimal

    from langchain_qwen_image.account.budget import Budget
    from langchain_qwen_image.account.limits import limits_of

    ledger = generator.pipeline.account
    if ledger is None or not generator.pipeline.sender.price_usd:
        return generator
    given = ledger.totals()  # what a killed run sent is reserved until its time is over
    most = given.spent_usd + given.reserved_usd + plan.max_usd
    if max_usd is not None:
        most = min(most, Decimal(str(max_usd)))
    if ledger.path is not None:
        return generator.model_copy(update={"budget": Budget.file(ledger.path, max_usd=most)})
    limited = copy.copy(ledger)
    limited.limits = limits_of(most, None)
    return generator.model_copy(update={"account": limited})


def _leave(
    run: "BatchRun", spend: "RunSpend", out: str, *, missing: int, max_usd: float | None
) -> None:
    """Exit, with what ended the run early and what to do."""
    from langchain_qwen_image.errors import BudgetExceededError, QwenImageError

    failure = run.failure
    if isinstance(failure, BudgetExceededError):
        limit = f"--max-usd {max_usd:g}" if max_usd is not None else "the maximum cost shown"
        fail(f"Stopped: the next image would exceed {limit}.")
    if isinstance(failure, (QwenImageError, OSError)):
        fail(f"Stopped: {one_line(str(failure))}")
    if failure is not None:
        raise failure
    if run.status:
        fail(f"Interrupted. {_advice(spend, out, missing=missing)}", run.status)
    if missing:
        if spend.usd_unknown:
            note("To repeat requests with no known answer: --retry-unknown (may be billed twice).")
        raise typer.Exit(1)


def _advice(spend: "RunSpend", out: str, *, missing: int) -> str:
    again = "Run the same command again for the rest." if missing else "All images are saved."
    if not spend.unknown or not spend.usd_unknown:
        return again
    folder = shlex.quote(shown(Path(out).absolute()))
    return (
        f"{amount(spend.unknown, 'request')} may have been billed, {dollars(spend.usd_unknown)} "
        f"at most. See what can be recovered: qwen-image recover {folder}. {again}"
    )
