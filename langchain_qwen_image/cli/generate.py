"""`qwen-image generate`: one prompt, one image."""

import json
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_qwen_image.cli.described import description, reason_of, suffix_warning
from langchain_qwen_image.cli.terminal import (
    AccountPath,
    Sandbox,
    UsageError,
    dollars,
    fail,
    is_sandbox,
    note,
    shown,
    waiting,
)

if TYPE_CHECKING:
    import asyncio

    from langchain_qwen_image.account.account import Account
    from langchain_qwen_image.cli.output import Output
    from langchain_qwen_image.pipeline.cancellation import CallState
    from langchain_qwen_image.pipeline.pipeline import Pipeline
    from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
    from langchain_qwen_image.schemas import QwenImageInput

_AGAIN = "press Ctrl-C again to leave without it"


def generate(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What the image shows; - reads it from stdin.")
    ],
    negative_prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What to keep out of the image.")
    ] = "",
    size: Annotated[
        str, typer.Option(metavar="SIZE", help="1328*1328, 1024*1024, 768*768 or 512*512.")
    ] = "1328*1328",
    no_watermark: Annotated[
        bool, typer.Option("--no-watermark", help="Leave the watermark off.")
    ] = False,
    no_prompt_extend: Annotated[
        bool, typer.Option("--no-prompt-extend", help="Do not let the service rewrite the prompt.")
    ] = False,
    sandbox: Sandbox = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File to write, a folder (existing, or ending in /), s3://bucket/prefix, or - for "
            "standard output.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let -o overwrite a file.")] = False,
    account: AccountPath = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything about the result as JSON.")
    ] = False,
) -> None:
    """Generate an image for $0.045.

    Prints its path, size and cost. Without -o the image is saved as a new file in the current
    folder, next to a .json file describing it. The call is recorded in an account next to that
    folder, or in the one given. If something fails after the image is paid for, `qwen-image
    recover` downloads it at no extra cost. Ctrl-C waits for an image that may be billed. A second
    Ctrl-C does not wait.

    Exit status: 0 if the image was saved, 1 if not, 2 for a usage error (nothing was sent), 130
    after Ctrl-C.
    """
    from langchain_qwen_image.cli.output import Output, check_account

    arguments = _checked(
        prompt=_read_prompt(prompt),
        negative_prompt=negative_prompt,
        size=size,
        watermark=not no_watermark,
        prompt_extend=not no_prompt_extend,
    )
    place = Output(output, force=force, as_json=as_json)
    check_account(place.save_to, account, sandbox=sandbox)
    pipeline = _open_pipeline(place, account, sandbox=is_sandbox(sandbox))
    result, status = _generate(pipeline, arguments)
    _finish(pipeline, result, place, as_json=as_json)
    if status:
        raise typer.Exit(status)


def _read_prompt(prompt: str) -> str:
    if prompt != "-":
        return prompt
    from io import BytesIO

    from langchain_qwen_image.cli.prompt_text import Lines

    return "".join(Lines(BytesIO(sys.stdin.buffer.read()), "standard input")).rstrip("\r\n")


def _checked(**given: Any) -> "QwenImageInput":
    from pydantic import ValidationError

    from langchain_qwen_image.schemas import QwenImageInput
    from langchain_qwen_image.wire.arguments import explain

    try:
        return QwenImageInput(**given)
    except ValidationError as error:
        raise UsageError(f"{explain(error)}.") from None


def _open_pipeline(place: "Output", account: str | None, *, sandbox: bool) -> "Pipeline":
    """Return what makes the image."""
    from langchain_qwen_image.generator import QwenImageGenerator

    return QwenImageGenerator(sandbox=sandbox, save_to=place.save_to, account=account).pipeline


def _generate(
    pipeline: "Pipeline", arguments: "QwenImageInput"
) -> "tuple[ImageGenerationResult, int]":
    """Return the result, and the exit status of a signal that came meanwhile, or 0."""
    from langchain_qwen_image.account.run_spend import newest_call
    from langchain_qwen_image.cli.interrupts import run_interruptible
    from langchain_qwen_image.pipeline.cancellation import CallState
    from langchain_qwen_image.wire.request import cut_off_warnings

    for sentence in cut_off_warnings(arguments):
        note(f"Note: {sentence}")
    call_state = CallState()
    pipeline.make_ready()
    first = newest_call(account_of(pipeline))
    with warnings.catch_warnings(action="ignore"), waiting("Waiting for the image,") as say:
        result, status = run_interruptible(
            _call(pipeline, arguments, call_state), _finisher(call_state, say)
        )
    if result is None:
        fail(f"Interrupted. {_what_it_cost(pipeline, first)}", status)
    return result, status


async def _call(
    pipeline: "Pipeline", arguments: "QwenImageInput", call_state: "CallState"
) -> "ImageGenerationResult | None":
    from langchain_qwen_image.errors import QwenImageError

    result = None
    try:
        result = await pipeline.agenerate(arguments, call_state)
    except QwenImageError as error:
        if not call_state.abandoned or call_state.may_be_billed(error):
            raise
    finally:
        if not call_state.paying or result is not None:
            await pipeline.aclose()
    return result


def _finisher(
    call_state: "CallState", say: Callable[[str], None]
) -> "Callable[[asyncio.Task[Any]], None]":
    """Return what the first Ctrl-C does: nothing leaves any more, what left is waited for."""

    def finish(task: "asyncio.Task[Any]") -> None:
        if not call_state.paying:
            task.cancel()
            return
        call_state.abandon()
        say(f"Waiting for the image, which may be billed; {_AGAIN}")

    return finish


def _what_it_cost(pipeline: "Pipeline", first: int) -> str:
    """Say what the account has of a call that was left."""
    from langchain_qwen_image.account.run_spend import spend_after

    spend = spend_after(account_of(pipeline), first, batch=None)
    if spend.usd:
        return f"The image is paid for, {dollars(spend.usd)}. {where_to_look(pipeline)}"
    if spend.usd_unknown and not pipeline.sender.sandbox:
        usd = dollars(spend.usd_unknown)
        return f"The image may have been billed, {usd} at most. {where_to_look(pipeline)}"
    return "Nothing was bought."


def _finish(
    pipeline: "Pipeline", result: "ImageGenerationResult", place: "Output", *, as_json: bool
) -> None:
    """Say what came, and of what could not be saved where it still is."""
    lost = [image for image in result.images if image.path is None]
    reasons = " ".join(reason_of(image) for image in lost)
    _rescue_inline(lost, result)
    if as_json:
        typer.echo(json.dumps(result.to_artifact(), ensure_ascii=False, indent=2))
    else:
        say = note if place.is_stdout else typer.echo
        for image in result.images:
            say(description(image))
        say(f"{dollars(result.cost_usd)}{', sandbox' * result.sandbox}")
    for sentence in (*result.warnings, *filter(None, map(suffix_warning, result.images))):
        note(f"Note: {sentence}")
    if lost:
        fail(f"Error: {reasons} {where_to_look(pipeline)}")


def _rescue_inline(lost: "list[GeneratedImage]", result: "ImageGenerationResult") -> None:
    """Put images that came inside the answer into a temporary folder: no link leads to them."""
    from langchain_qwen_image.pipeline.saver import rescue
    from langchain_qwen_image.wire.links import is_inline

    for image in lost:
        if image.url and is_inline(image.url):
            rescue(image, result)


def account_of(pipeline: "Pipeline") -> "Account":
    """Return the account; the command always has one."""
    assert pipeline.account is not None  # noqa: S101 - a folder has one
    return pipeline.account


def where_to_look(pipeline: "Pipeline") -> str:
    """Say which command shows what can be recovered."""
    from langchain_qwen_image.storage.opening import folder_of

    store = pipeline.saver.store
    parts = [(store and store.address) or shown(folder_of(store) or Path.cwd())]
    if pipeline.belonging is not None and pipeline.belonging.is_named:
        account = account_of(pipeline)
        parts += ["--account", shown(account.path) if account.path else account.location]
    return f"See what can be recovered: qwen-image recover {shlex.join(parts)}"
