"""`qwen-image batch`: many prompts, many images, each paid for once."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_qwen_image.cli.prompts import Prompts
from langchain_qwen_image.cli.tally import Tally
from langchain_qwen_image.cli.terminal import INTERRUPTED, check_key, fail, note, one_line, waiting

if TYPE_CHECKING:
    from langchain_qwen_image.bulk.estimate import Estimate
    from langchain_qwen_image.bulk.lookup import RetryOptions
    from langchain_qwen_image.bulk.run import BulkRun
    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.schemas import QwenImageInput

_PROBLEMS_SHOWN = 10


def batch(
    prompts: Annotated[
        str,
        typer.Argument(
            metavar="PROMPTS", help="A .txt, .csv or .jsonl file; - reads standard input."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder to keep the images in.")
    ],
    kind: Annotated[
        str | None,
        typer.Option("--format", metavar="KIND", help="txt, csv or jsonl, whatever the name says."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="For rows that do not say it.")
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For rows that do not say it.")
    ] = None,
    no_watermark: Annotated[
        bool, typer.Option("--no-watermark", help="For rows that do not say it.")
    ] = False,
    no_prompt_extend: Annotated[
        bool, typer.Option("--no-prompt-extend", help="For rows that do not say it.")
    ] = False,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, help="Requests at the gateway at once, at most.")
    ] = 32,
    max_usd: Annotated[
        float | None,
        typer.Option(
            metavar="USD", min=0, help="Stop before bulk runs in DIR have cost more, all together."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before paying.")] = False,
    retry_unknown: Annotated[
        bool,
        typer.Option(
            "--retry-unknown", help="Ask again where no answer came; it may be billed twice."
        ),
    ] = False,
    retry_lost: Annotated[
        bool,
        typer.Option("--retry-lost", help="Ask again for images whose link died unfetched."),
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Draw placeholders: no key, no network, no cost.")
    ] = False,
) -> None:
    """Generate an image for each prompt of a file.

    A .txt file has a prompt a line. A .csv file names its columns in the first line, and a .jsonl
    file has an object a line; the names are those of the arguments: prompt, negative_prompt,
    prompt_extend, watermark, size.

    Says first what it will cost at most, and asks. Run the same command again after whatever
    stopped it: what DIR has is not paid for again. The same prompt twice is two images. The
    exit status is 0 when every image is there, 1 when some are missing.
    """
    from langchain_qwen_image.bulk.lookup import RetryOptions

    if kind not in (None, "txt", "csv", "jsonl"):
        raise typer.BadParameter(f"--format must be txt, csv or jsonl, not {kind!r}.")
    given = {
        "size": size,
        "negative_prompt": negative_prompt,
        "watermark": False if no_watermark else None,
        "prompt_extend": False if no_prompt_extend else None,
    }
    again = RetryOptions(retry_unknown, retry_lost)
    with closing(Prompts(prompts, kind)) as rows:
        generator = _generator(out, sandbox=sandbox, given=given)
        plan = _survey(generator, rows, again)
        _announce(plan, out, sandbox=sandbox, max_usd=max_usd, yes=yes)
        budgeted = _with_budget(generator, plan, max_usd)
        tally = Tally(plan.requests)
        run = budgeted.generate_many(
            (row for _, row in rows), concurrency=concurrency, **again._asdict()
        )
        failure = _Progress(run, tally).watch()
        tally.show_missing(rows)
        tally.show_sum(out)
    _leave(tally, failure, max_usd)


def _generator(out: Path, *, sandbox: bool, given: dict[str, Any]) -> "QwenImageGenerator":
    from pydantic import ValidationError

    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.wire.arguments import explain

    settings = {name: value for name, value in given.items() if value is not None}
    try:
        generator = QwenImageGenerator(sandbox=sandbox, save_to=out, **settings)
    except ValidationError as error:
        raise typer.BadParameter(f"{explain(error)}.") from None
    check_key(generator)
    return generator


def _survey(generator: "QwenImageGenerator", rows: Prompts, again: "RetryOptions") -> "Estimate":
    from langchain_qwen_image.bulk.estimate import estimate_cost

    problems: list[str] = []
    with waiting("Reading the prompts,"):
        plan = estimate_cost(generator, _checked(generator, rows, problems), **again._asdict())
    if problems:
        for problem in problems:
            note(problem)
        raise typer.BadParameter("Nothing was sent; fix these lines first.")
    if not plan.requests:
        raise typer.BadParameter(f"There is no prompt in {rows.name}.")
    return plan


def _checked(
    generator: "QwenImageGenerator", rows: Prompts, problems: list[str]
) -> "Iterator[QwenImageInput]":
    """Yield the arguments of each row, and note what is wrong with those that cannot be used."""
    from langchain_qwen_image.errors import InvalidRequestError

    for line, row in rows:
        try:
            yield generator.checked(row)
        except InvalidRequestError as error:
            problems.append(f"{rows.name}, line {line}: {error}")
            if len(problems) == _PROBLEMS_SHOWN:
                return


def _announce(
    plan: "Estimate", out: Path, *, sandbox: bool, max_usd: float | None, yes: bool
) -> None:
    """Say what is to be done and what it costs at most, and ask whether to go on."""
    parts = [f"{plan.requests:,} images"]
    parts += [
        f"{number:,} {what}"
        for number, what in (
            (plan.reused, "are there or paid for"),
            (plan.unknown, "may have been billed and are left alone (--retry-unknown)"),
            (plan.lost, "are lost and left alone (--retry-lost)"),
        )
        if number
    ]
    cost = "at no cost, by the sandbox" if sandbox else f"for ${plan.max_usd:,.3f} at most"
    note(f"{', '.join(parts)}; {plan.to_generate:,} to make {cost}.")
    if max_usd is not None and Decimal(str(max_usd)) < plan.max_usd:
        note(f"It stops when bulk runs in {out} have cost ${max_usd:,.2f} all together.")
    if yes or max_usd is not None or not plan.max_usd:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter("Nobody can be asked here: give --yes or --max-usd.")
    if not typer.confirm("Go on?", err=True):
        fail("Nothing was sent.")


def _with_budget(
    generator: "QwenImageGenerator", plan: "Estimate", max_usd: float | None
) -> "QwenImageGenerator":
    """Hold the run to what it said that it would cost."""
    from langchain_qwen_image.account.budget import Budget

    ledger = generator.pipeline.ledger
    if ledger is None or not generator.pipeline.sender.price_usd:
        return generator
    spent = Budget.file(ledger.path, max_images=0).spent_usd
    most = spent + plan.max_usd
    if max_usd is not None:
        most = min(most, Decimal(str(max_usd)))
    return generator.model_copy(update={"budget": Budget.file(ledger.path, max_usd=most)})


class _Progress:
    """Runs it to its end, or to the first Ctrl-C and what is paid for by then."""

    def __init__(self, run: "BulkRun", tally: Tally) -> None:
        self._run = run
        self._tally = tally

    def watch(self) -> Exception | None:
        """Return what ended the run early, if anything."""
        with self._tally.shown(lambda: self._run.in_flight):
            return asyncio.run(self._watch())

    async def _watch(self) -> Exception | None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker

        def interrupt() -> None:
            if self._tally.interrupted:
                task.cancel()
            self._tally.interrupted = True
            self._run.stop()

        with suppress(NotImplementedError):  # Windows: Ctrl-C cancels the task
            loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            async for outcome in self._run:
                self._tally.add(outcome)
        except asyncio.CancelledError:
            self._tally.interrupted = True
        except Exception as error:
            return error
        return None


def _leave(tally: Tally, failure: Exception | None, max_usd: float | None) -> None:
    from langchain_qwen_image.errors import BudgetExceededError, QwenImageError

    if isinstance(failure, BudgetExceededError):
        limit = f"--max-usd {max_usd:g}" if max_usd is not None else "what it said it would cost"
        fail(f"Stopped: the next image would cost more than {limit}.")
    if isinstance(failure, (QwenImageError, OSError)):
        fail(f"Stopped: {one_line(str(failure))}")
    if failure is not None:
        raise failure
    if tally.interrupted:
        fail("Interrupted; run the same command again for the rest.", INTERRUPTED)
    if tally.missing:
        raise typer.Exit(1)
