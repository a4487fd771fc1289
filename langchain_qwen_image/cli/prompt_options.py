"""The options of commands that read many prompts from a file, each described once."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_qwen_image.cli.terminal import UsageError

if TYPE_CHECKING:
    from langchain_qwen_image.generator import QwenImageGenerator

_DEFAULT = "Default for rows without this value."

PromptsPath = Annotated[
    str,
    typer.Argument(metavar="PROMPTS", help="A .txt, .csv or .jsonl file; - reads standard input."),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="KIND",
        help="Input format (txt, csv or jsonl); overrides the file extension.",
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Column with your own ids. An id is paid for once. They are also in file names, "
        ".json files and DIR/index.csv.",
    ),
]
Size = Annotated[str | None, typer.Option(metavar="SIZE", help=_DEFAULT)]
NegativePrompt = Annotated[str | None, typer.Option(metavar="TEXT", help=_DEFAULT)]
NoWatermark = Annotated[
    bool, typer.Option("--no-watermark", help="No watermark on rows without this value.")
]
NoPromptExtend = Annotated[
    bool,
    typer.Option(
        "--no-prompt-extend", help="No rewriting of the prompt on rows without this value."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before paying.")]
RetryUnknown = Annotated[
    bool,
    typer.Option(
        "--retry-unknown", help="Repeat requests with no known answer; may be billed twice."
    ),
]
RetryLost = Annotated[
    bool, typer.Option("--retry-lost", help="Pay again for images whose link expired.")
]


def check_kind(kind: str | None) -> None:
    """Check what `--format` says.

    Raises:
        UsageError: It is none that can be read.
    """
    if kind not in (None, "txt", "csv", "jsonl"):
        raise UsageError(f"--format must be txt, csv or jsonl, not {kind!r}.")


def parameters_of(
    size: str | None, negative_prompt: str | None, no_watermark: bool, no_prompt_extend: bool
) -> dict[str, Any]:
    """Return the defaults that options give for rows."""
    return {
        "size": size,
        "negative_prompt": negative_prompt,
        "watermark": False if no_watermark else None,
        "prompt_extend": False if no_prompt_extend else None,
    }


def generator_of(*, sandbox: bool, **given: Any) -> "QwenImageGenerator":
    """Return a generator with the settings that are not None.

    Raises:
        UsageError: One cannot be used.
    """
    from pydantic import ValidationError

    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.wire.arguments import explain

    settings = {name: value for name, value in given.items() if value is not None}
    try:
        return QwenImageGenerator(sandbox=sandbox, **settings)
    except ValidationError as error:
        raise UsageError(f"{explain(error)}.") from None
