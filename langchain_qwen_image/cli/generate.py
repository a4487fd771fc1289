"""`qwen-image generate`: one prompt, one image."""

import json
import shlex
import sys
import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_qwen_image.cli.terminal import INTERRUPTED, check_key, fail, note, shown, waiting

if TYPE_CHECKING:
    from langchain_qwen_image.pipeline.pipeline import Pipeline
    from langchain_qwen_image.result import GeneratedImage, ImageGenerationResult
    from langchain_qwen_image.schemas import QwenImageInput

_SUFFIXES = {"image/png": {".png"}, "image/jpeg": {".jpg", ".jpeg"}, "image/webp": {".webp"}}


def generate(
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What the image shows; - reads it from stdin.")
    ],
    negative_prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What the image must not show.")
    ] = "",
    size: Annotated[
        str, typer.Option(metavar="SIZE", help="1328*1328, 1024*1024, 768*768 or 512*512.")
    ] = "1328*1328",
    no_watermark: Annotated[
        bool, typer.Option("--no-watermark", help="Leave the watermark off.")
    ] = False,
    no_prompt_extend: Annotated[
        bool, typer.Option("--no-prompt-extend", help="Follow the prompt to the letter.")
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Draw a placeholder: no key, no network, no cost.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the image to this file."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Let -o overwrite a file.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything about the result as JSON.")
    ] = False,
) -> None:
    """Generate an image for $0.045.

    Prints its path, size and cost. Without -o it becomes a new file in the current folder, beside
    a .json that tells of it. The call is recorded in .qwen-image.db in the image's folder:
    `qwen-image recover` reads that, should anything go wrong after the image is paid for.
    """
    arguments = _checked(
        prompt=_read_prompt(prompt),
        negative_prompt=negative_prompt,
        size=size,
        watermark=not no_watermark,
        prompt_extend=not no_prompt_extend,
    )
    pipeline = _open_pipeline(output, sandbox=sandbox, force=force)
    with closing(pipeline):
        result = _generate(pipeline, arguments)
    _finish(pipeline, result, output, as_json=as_json)


def _read_prompt(prompt: str) -> str:
    if prompt != "-":
        return prompt
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise typer.BadParameter("standard input is not UTF-8.") from None


def _checked(**given: Any) -> "QwenImageInput":
    from pydantic import ValidationError

    from langchain_qwen_image.schemas import QwenImageInput
    from langchain_qwen_image.wire.arguments import explain

    try:
        return QwenImageInput(**given)
    except ValidationError as error:
        raise typer.BadParameter(f"{explain(error)}.") from None


def _open_pipeline(output: Path | None, *, sandbox: bool, force: bool) -> "Pipeline":
    """Check where the image goes and who pays, and return what makes it."""
    from langchain_qwen_image.cli.output import OneFile, check_folder, checked_output
    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.pipeline.saver import ImageSaver
    from langchain_qwen_image.settings import LEDGER_NAME
    from langchain_qwen_image.storage.reader import make_fetcher

    if output is None:
        folder = Path.cwd()
        check_folder(folder)
        generator = QwenImageGenerator(sandbox=sandbox, save_to=folder)
    else:
        path = checked_output(output, force=force)
        generator = QwenImageGenerator(sandbox=sandbox, ledger=path.parent / LEDGER_NAME)
    check_key(generator)
    if output is None:
        return generator.pipeline
    sender = generator.pipeline.sender
    fetcher = make_fetcher(sandbox=sandbox, allow_loopback=sender.is_local, gateway=sender.base_url)
    saver = ImageSaver(fetcher, OneFile(path, overwrite=force))
    return replace(generator.pipeline, saver=saver, saves=True)


def _generate(pipeline: "Pipeline", arguments: "QwenImageInput") -> "ImageGenerationResult":
    from langchain_qwen_image.pipeline.cancellation import CallState
    from langchain_qwen_image.wire.request import cut_off_warnings

    for sentence in cut_off_warnings(arguments):
        note(f"Note: {sentence}")
    call_state = CallState()
    try:
        with warnings.catch_warnings(action="ignore"), waiting("Waiting for the image,"):
            return pipeline.generate(arguments, call_state)
    except KeyboardInterrupt:
        billed = call_state.paying and not pipeline.sender.sandbox
        fail(
            "Interrupted; the image may have been billed all the same. " + _look_there(pipeline)
            if billed
            else "Interrupted; nothing was bought.",
            INTERRUPTED,
        )


def _finish(
    pipeline: "Pipeline", result: "ImageGenerationResult", output: Path | None, *, as_json: bool
) -> None:
    """Say what came, and of what could not be saved where it still is."""
    lost = [image for image in result.images if image.path is None]
    reasons = " ".join(_reason(image) for image in lost)
    _rescue_inline(lost, result)
    if as_json:
        typer.echo(json.dumps(result.to_artifact(), ensure_ascii=False, indent=2))
    else:
        for image in result.images:
            typer.echo(_description(image))
        typer.echo("$0, sandbox" if result.sandbox else f"${result.cost_usd:.4g}")
    for image in result.images:
        _warn_of_suffix(image, output)
    if lost:
        fail(f"Error: {reasons} {_look_there(pipeline)}")


def _rescue_inline(lost: "list[GeneratedImage]", result: "ImageGenerationResult") -> None:
    """Put images that came inside the answer into a temporary folder: no link leads to them."""
    from langchain_qwen_image.pipeline.saver import rescue
    from langchain_qwen_image.wire.links import is_inline

    for image in lost:
        if image.url and is_inline(image.url):
            rescue(image, result)


def _description(image: "GeneratedImage") -> str:
    """Return the path and what the image is; the link where it could not be saved."""
    if image.path is None:
        return image.url or ""
    kind = (image.mime_type or "").removeprefix("image/").upper()
    megabytes = (image.size_bytes or 0) / 1_000_000
    return f"{shown(Path(image.path))}\n{image.width}×{image.height} {kind}, {megabytes:.2g} MB"


def _reason(image: "GeneratedImage") -> str:
    reason = image.download_error or "it was not saved"
    return reason if "paid for" in reason else f"The image is paid for, but not saved: {reason}."


def _warn_of_suffix(image: "GeneratedImage", output: Path | None) -> None:
    if output is None or image.path is None or image.mime_type is None:
        return
    path = Path(image.path)
    if path.suffix.lower() not in _SUFFIXES[image.mime_type]:
        note(f"Note: {path.name} holds {image.mime_type}, whatever its suffix says.")


def _look_there(pipeline: "Pipeline") -> str:
    folder = pipeline.ledger.path.parent if pipeline.ledger else Path.cwd()
    return f"See what can be had with: qwen-image recover {shlex.quote(shown(folder))}"
