"""`qwen-image batch`: many prompts, many images, each paid for once."""

import warnings
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_qwen_image.cli.prompt_options import (
    IdColumn,
    Kind,
    NegativePrompt,
    NoPromptExtend,
    NoWatermark,
    PromptsPath,
    RetryLost,
    RetryUnknown,
    Size,
    Yes,
    check_kind,
    generator_of,
    parameters_of,
)
from langchain_qwen_image.cli.terminal import (
    Sandbox,
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
    from langchain_qwen_image.cli.batch_progress import BatchProgress
    from langchain_qwen_image.cli.batch_run import BatchRun
    from langchain_qwen_image.pipeline.pipeline import Pipeline


def batch(
    prompts: PromptsPath,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Folder or s3://… for the images.")
    ],
    kind: Kind = None,
    id_column: IdColumn = None,
    size: Size = None,
    negative_prompt: NegativePrompt = None,
    no_watermark: NoWatermark = False,
    no_prompt_extend: NoPromptExtend = False,
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
    yes: Yes = False,
    retry_unknown: RetryUnknown = False,
    retry_lost: RetryLost = False,
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
    from langchain_qwen_image.bulk.estimate import estimate_cost
    from langchain_qwen_image.bulk.generator_caller import GeneratorCaller
    from langchain_qwen_image.bulk.lookup import RetryOptions
    from langchain_qwen_image.cli.batch_plan import announce, plan, requests_of
    from langchain_qwen_image.cli.batch_progress import BatchProgress
    from langchain_qwen_image.cli.batch_run import BatchRun
    from langchain_qwen_image.cli.manifest import check_manifest, records_of, write_manifest
    from langchain_qwen_image.cli.output import checked_place
    from langchain_qwen_image.cli.prompts import Prompts

    check_kind(kind)
    out = checked_place(out, account, sandbox=sandbox)
    given = parameters_of(size, negative_prompt, no_watermark, no_prompt_extend)
    retry = RetryOptions(retry_unknown, retry_lost)
    with closing(Prompts(prompts, kind, id_column)) as rows:
        given |= {"save_to": out, "account": account}
        generator = generator_of(sandbox=is_sandbox(sandbox), **given)
        if id_column is not None:
            check_manifest(out)
        asked = partial(estimate_cost, generator, run=run, **retry._asdict())
        estimate = plan(generator, rows, asked)
        announce(estimate, sandbox=generator.sandbox, max_usd=max_usd, yes=yes)
        progress = BatchProgress(estimate.requests)
        caller = GeneratorCaller(generator, _held_to(generator.pipeline, estimate, max_usd))
        batch_run = BatchRun(caller, progress)
        with warnings.catch_warnings(action="ignore"):  # they were said with their lines
            options = {"run": run, "concurrency": concurrency, **retry._asdict()}
            batch_run.watch(requests_of(rows), **options)
        progress.show_missing(rows, rows.name)
        spend = batch_run.spend()
        missing = progress.show_sum(out, spend)
        if id_column is not None:
            write_manifest(out, records_of(rows, generator, run))
    _leave(batch_run, progress, spend, generator.pipeline, missing=missing, max_usd=max_usd)


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
    progress: "BatchProgress",
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
        if (sentence := progress.elsewhere) is not None:
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
