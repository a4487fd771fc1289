"""`qwen-image batch`: many prompts, many images, each paid for once."""

import warnings
from contextlib import closing
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
)

if TYPE_CHECKING:
    from langchain_qwen_image.account.run_spend import RunSpend
    from langchain_qwen_image.bulk.estimate import Estimate
    from langchain_qwen_image.cli.batch_run import BatchRun
    from langchain_qwen_image.cli.tally import Tally
    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.pipeline.pipeline import Pipeline

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
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Folder or s3://… for the images.")
    ],
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
            help="Column with your own ids. An id is paid for once. They are also in file names, "
            ".json files and DIR/index.csv.",
        ),
    ] = None,
    size: Annotated[str | None, typer.Option(metavar="SIZE", help=_DEFAULT)] = None,
    negative_prompt: Annotated[str | None, typer.Option(metavar="TEXT", help=_DEFAULT)] = None,
    no_watermark: Annotated[bool, typer.Option("--no-watermark", help=_NO_WATERMARK)] = False,
    no_prompt_extend: Annotated[
        bool, typer.Option("--no-prompt-extend", help=_NO_REWRITING)
    ] = False,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="NAME", help="Name of the run, for several in one account."),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of parallel requests.")
    ] = 32,
    max_usd: Annotated[
        float | None,
        typer.Option(
            metavar="USD", min=0, help="Stop before the total of the account exceeds this."
        ),
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
    again: images already in DIR are not paid for again. The same prompt twice is two images; with
    --id-column, each id is one. Several processes may run the same command at the same time: what
    one of them has sent, the others leave alone.
    Ctrl-C waits for requests that may be billed. A second Ctrl-C does not wait.

    Exit status: 0 if all images are saved, 1 if some are missing, 2 for a usage error (nothing was
    sent), 130 after Ctrl-C.
    """
    from langchain_qwen_image.bulk.generator_caller import GeneratorCaller
    from langchain_qwen_image.bulk.lookup import RetryOptions
    from langchain_qwen_image.cli.batch_plan import announce, plan, requests_of
    from langchain_qwen_image.cli.batch_run import BatchRun
    from langchain_qwen_image.cli.manifest import check_manifest, write_manifest
    from langchain_qwen_image.cli.output import checked_place
    from langchain_qwen_image.cli.prompts import Prompts
    from langchain_qwen_image.cli.tally import Tally

    if kind not in (None, "txt", "csv", "jsonl"):
        raise UsageError(f"--format must be txt, csv or jsonl, not {kind!r}.")
    out = checked_place(out, account, sandbox=sandbox)
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
            check_manifest(out)
        estimate = plan(generator, rows, run, retry)
        announce(estimate, out, sandbox=generator.sandbox, max_usd=max_usd, yes=yes)
        tally = Tally(estimate.requests)
        caller = GeneratorCaller(generator, _held_to(generator.pipeline, estimate, max_usd))
        batch_run = BatchRun(caller, tally)
        with warnings.catch_warnings(action="ignore"):  # they were said with their lines
            options = {"run": run, "concurrency": concurrency, **retry._asdict()}
            batch_run.watch(requests_of(rows), **options)
        tally.show_missing(rows, rows.name)
        spend = batch_run.spend()
        missing = tally.show_sum(out, spend)
        if id_column is not None:
            write_manifest(out, rows, generator, run)
    _leave(batch_run, tally, spend, generator.pipeline, missing=missing, max_usd=max_usd)


def _generator(out: str, *, sandbox: bool, given: dict[str, Any]) -> "QwenImageGenerator":
    from pydantic import ValidationError

    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.wire.arguments import explain

    settings = {name: value for name, value in given.items() if value is not None}
    try:
        return QwenImageGenerator(sandbox=sandbox, save_to=out, **settings)
    except ValidationError as error:
        raise UsageError(f"{explain(error)}.") from None


def _held_to(pipeline: "Pipeline", plan: "Estimate", max_usd: float | None) -> "Pipeline":
    """Hold this process to the maximum cost that was shown, and the account to `--max-usd`."""
    from dataclasses import replace
    from decimal import Decimal

    from langchain_qwen_image.account.budget import Budget

    account = pipeline.account
    if account is None or not pipeline.sender.price_usd:
        return pipeline
    if max_usd is not None:
        account = account.limited(max_usd=Decimal(str(max_usd)))
    return replace(pipeline, account=account, budget=Budget(max_usd=plan.max_usd))


def _leave(
    run: "BatchRun",
    tally: "Tally",
    spend: "RunSpend",
    pipeline: "Pipeline",
    *,
    missing: int,
    max_usd: float | None,
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
        fail(f"Interrupted. {_advice(spend, pipeline, missing=missing)}", run.status)
    if missing:
        if (sentence := tally.elsewhere) is not None:
            note(sentence)
        if spend.usd_unknown:
            note("To repeat requests with no known answer: --retry-unknown (may be billed twice).")
        raise typer.Exit(1)


def _advice(spend: "RunSpend", pipeline: "Pipeline", *, missing: int) -> str:
    from langchain_qwen_image.cli.generate import where_to_look

    again = "Run the same command again for the rest." if missing else "All images are saved."
    if not spend.unknown or not spend.usd_unknown:
        return again
    return (
        f"{amount(spend.unknown, 'request')} may have been billed, {dollars(spend.usd_unknown)} "
        f"at most. {where_to_look(pipeline)}. {again}"
    )
