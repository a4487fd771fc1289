"""`qwen-image fleet`: a run that any number of workers on any number of machines join."""

from typing import Annotated

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
    parameters_of,
)
from langchain_qwen_image.cli.terminal import Sandbox

__all__ = ["fleet"]

_DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="postgresql:// address of queue and account. Default: QWEN_IMAGE_DATABASE.",
    ),
]
_RunName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the run.")]
_Out = Annotated[str, typer.Option("--out", metavar="DIR", help="Folder or s3://… for the images.")]
_OUT = "images"

fleet = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Generate images on many machines, from one queue in PostgreSQL.\n\n"
    "`enqueue` puts the prompts of a file into the queue. `work` runs a worker: start as many as "
    "you like, on any machine. `status` shows how far a run has come. `settle` completes it.\n\n"
    "Queue and account are in one database: QWEN_IMAGE_DATABASE, or --database. The account pays "
    "for each prompt once, also if workers are killed.",
)


@fleet.command()
def enqueue(
    prompts: PromptsPath,
    run: Annotated[str, typer.Option("--run", metavar="NAME", help="Name of the run.")],
    kind: Kind = None,
    id_column: IdColumn = None,
    size: Size = None,
    negative_prompt: NegativePrompt = None,
    no_watermark: NoWatermark = False,
    no_prompt_extend: NoPromptExtend = False,
    max_usd: Annotated[
        float | None,
        typer.Option(
            metavar="USD",
            min=0,
            help="Pause before the total of the account exceeds this. Holds for the whole run.",
        ),
    ] = None,
    database: _DatabaseUrl = None,
    yes: Yes = False,
    retry_unknown: RetryUnknown = False,
    retry_lost: RetryLost = False,
    sandbox: Sandbox = None,
) -> None:
    """Put the prompts of a file into the queue.

    Shows the maximum cost and asks before. Files are read as `qwen-image batch` reads them. Nothing
    is sent: `qwen-image fleet work` does that.

    Run it again with more rows to add those. Rows that the run has already are left alone, but for
    those that failed: they are queued again. An id is one image; without --id-column, the same
    prompt twice is two.

    Exit status: 0 if the rows are queued, 1 if not, 2 for a usage error.
    """
    from langchain_qwen_image.bulk.lookup import RetryOptions
    from langchain_qwen_image.cli.fleet_enqueue import Limit, enqueue_file

    enqueue_file(
        (prompts, kind, id_column),
        run,
        parameters_of(size, negative_prompt, no_watermark, no_prompt_extend),
        Limit(max_usd, yes),
        RetryOptions(retry_unknown, retry_lost),
        database,
        sandbox,
    )


@fleet.command()
def work(
    out: _Out = _OUT,
    concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum number of parallel requests.")
    ] = 8,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when all that is queued is settled.")
    ] = False,
    database: _DatabaseUrl = None,
    sandbox: Sandbox = None,
) -> None:
    """Run a worker: generate what is in the queue.

    Start as many as you like, on as many machines. A worker waits for new prompts until it is
    stopped. Ctrl-C or SIGTERM lets it finish requests that may be billed. A second Ctrl-C does
    not wait. Others take over what a worker had that was killed.

    A used-up budget, a refused key, a full disk or an unreachable database pauses a worker. It goes
    on when that is fixed.

    Exit status: 0 if the queue is settled and all images are saved, 1 if some are missing, 2 for a
    usage error, 130 after Ctrl-C, 143 after SIGTERM.
    """
    from langchain_qwen_image.cli.fleet_work import run_worker

    run_worker(out, concurrency, database, sandbox, until_empty=until_empty)


@fleet.command()
def status(
    name: _RunName,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
    database: _DatabaseUrl = None,
    sandbox: Sandbox = None,
) -> None:
    """Show how far a run has come.

    On a terminal the table is live until the run is settled; Ctrl-C ends it, and no worker. In a
    pipe, and with --json, it is printed once.

    Elsewhere are requests that a worker has sent which was killed or cannot be reached: their
    answers may still come. Unknown requests have no known answer, and may have been billed.

    Exit status: 0 if the status was read, 1 if not, 2 for a usage error.
    """
    from langchain_qwen_image.cli.fleet_status import show_status

    show_status(name, database, sandbox, as_json=as_json)


@fleet.command()
def settle(
    name: _RunName,
    out: _Out = _OUT,
    database: _DatabaseUrl = None,
    sandbox: Sandbox = None,
) -> None:
    """Complete a run, and write its tables.

    Asks once more about requests that are elsewhere, and downloads paid images that were not
    saved. Writes DIR/index.csv and DIR/index.jsonl: what each row became.

    To repeat requests with no known answer, or images whose link expired, run `fleet enqueue` again
    with --retry-unknown or --retry-lost.

    Exit status: 0 if all images are saved, 1 if some are missing, 2 for a usage error.
    """
    from langchain_qwen_image.cli.fleet_settle import settle_run

    settle_run(name, out, database, sandbox)
