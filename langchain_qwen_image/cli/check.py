"""`qwen-image check --live`: compare what this package assumes with the paid gateway, once."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_qwen_image.cli.terminal import UsageError, dollars, fail, note, one_line, shown

if TYPE_CHECKING:
    from langchain_qwen_image.checks.live_evidence import Assumption, Evidence
    from langchain_qwen_image.cli.check_run import LiveRun
    from langchain_qwen_image.generator import QwenImageGenerator

_COLOURS = {"holds": "green", "differs": "red", "unknown": "yellow"}
_PIPE_WIDTH = 100_000
_REPORT = "live-check.json"
_TIMEOUT: float | None = None
"""Seconds for one answer; None for the package's default."""


def check(
    live: Annotated[
        bool, typer.Option("--live", help="Buy one image and compare it with what is expected.")
    ] = False,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for report, cassette and image."
        ),
    ] = Path("live-check"),
    probe_size: Annotated[
        bool,
        typer.Option("--probe-size", help="Then ask for an undocumented size; may be billed too."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before paying.")] = False,
) -> None:
    """Compare the live gateway with what is expected.

    Shows the price and asks before anything is sent. First a request with a wrong key, which is
    expected to be refused at no cost; if it is not refused, the check stops. Then one image of
    512*512 is bought and recorded like any other. The report (live-check.json, live-check.md) and
    the cassette contain no key and no signed link. Please send the report to the project.

    Exit status: 0 if every assumption holds, 1 if one differs or the check stopped early, 2 for a
    usage error.
    """
    generator = _generator(live=live, output=output)
    _confirm(generator, probe_size=probe_size, yes=yes)
    from langchain_qwen_image.cli.check_run import LiveRun

    run = LiveRun(generator, probe_size=probe_size)
    status = run.watch()
    _finish(run, generator, output, status)


def _generator(*, live: bool, output: Path) -> "QwenImageGenerator":
    """Check that a live check can be made, and return what makes its image.

    Raises:
        UsageError: It cannot; nothing was sent.
    """
    from langchain_qwen_image.defaults import SANDBOX_VARIABLE
    from langchain_qwen_image.environment import sandbox_from_environment, usable_key
    from langchain_qwen_image.errors import ConfigurationError

    if not live:
        raise UsageError("Pass --live. To check this machine only, at no cost: qwen-image doctor.")
    from langchain_qwen_image.storage.addresses import scheme_of

    if scheme_of(output) is not None:
        raise UsageError("-o must be a folder of this machine: report and cassette go there.")
    try:
        if sandbox_from_environment():
            raise UsageError(
                f"{SANDBOX_VARIABLE} is set. Unset it: a live check needs the live gateway."
            )
        usable_key(None)
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    if (output / _REPORT).exists():
        raise UsageError(
            f"{shown((output / _REPORT).absolute())} exists. Choose another folder with -o."
        )
    return _made_generator(output)


def _made_generator(output: Path) -> "QwenImageGenerator":
    from langchain_qwen_image.defaults import TIMEOUT
    from langchain_qwen_image.errors import ConfigurationError
    from langchain_qwen_image.generator import QwenImageGenerator

    try:
        generator = QwenImageGenerator(
            sandbox=False,
            save_to=output,
            timeout=TIMEOUT if _TIMEOUT is None else _TIMEOUT,
        )
        generator.pipeline  # noqa: B018 - checks folder and address
    except ConfigurationError as error:
        raise UsageError(str(error)) from None
    return generator


def _confirm(generator: "QwenImageGenerator", *, probe_size: bool, yes: bool) -> None:
    """Say what is sent and its maximum cost, and ask whether to go on."""
    count = 2 if probe_size else 1
    note(
        f"This sends requests to {generator.base_url}: one with a wrong key, expected to be "
        "refused at no cost, then one for an image of 512*512"
        + (", then one for an undocumented size, which may be billed." * probe_size or ".")
    )
    note(f"Maximum cost: {dollars(count * generator.price_usd)} by the price list.")
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("Cannot ask for confirmation (no terminal); pass --yes.")
    if not typer.confirm("Continue?", err=True):
        fail("Nothing was sent.")


def _finish(run: "LiveRun", generator: "QwenImageGenerator", output: Path, status: int) -> None:
    """Write the report, print it, and exit as it says."""
    from langchain_qwen_image.checks.live import all_hold, compare

    assumptions = compare(run.evidence)
    spent = run.spent()
    files = _write(run.evidence, assumptions, generator, output, spent)
    _show(assumptions)
    typer.echo(f"\n{_summary(run.evidence, assumptions)}")
    typer.echo(f"{spent[0].upper()}{spent[1:]}.")
    for file in files:
        typer.echo(shown(file.absolute()))
    typer.echo("Read these files, then send live-check.md to the project as an issue.")
    if status:
        fail("Interrupted.", status)
    if not all_hold(run.evidence, assumptions):
        raise typer.Exit(1)


def _summary(evidence: "Evidence", assumptions: "list[Assumption]") -> str:
    words = [one.verdict.value for one in assumptions]
    counted = f"{words.count('holds')} hold, {words.count('differs')} differ, "
    counted += f"{words.count('unknown')} unknown."
    if evidence.image is None and not evidence.interrupted:
        return f"Stopped: the wrong key was not refused, so no image was bought. {counted}"
    return counted


def _write(
    evidence: "Evidence",
    assumptions: "list[Assumption]",
    generator: "QwenImageGenerator",
    output: Path,
    spent: str,
) -> list[Path]:
    """Write report and cassette; a file in which a secret is left is not written."""
    import json

    from langchain_qwen_image.checks.live_cassette import cassette
    from langchain_qwen_image.checks.live_report import markdown, report
    from langchain_qwen_image.checks.live_secrets import Scrubber
    from langchain_qwen_image.environment import usable_key

    scrubber = Scrubber(usable_key(generator.api_key), evidence)
    made: dict[str, Any] = report(
        evidence, assumptions, scrubber, finished_at=datetime.now(UTC), spent=spent
    )
    texts = {
        _REPORT: json.dumps(made, ensure_ascii=False, indent=2) + "\n",
        "live-check.md": markdown(made),
    }
    call = evidence.image
    if call is not None and call.last is not None and call.last.status is not None:
        name = "failure.yaml" if call.result is None else "success.yaml"
        texts[name] = cassette(call, scrubber)
    return [
        _written(output / name, text)
        for name, text in texts.items()
        if not _is_withheld(name, leaks=scrubber.leaks(text))
    ]


def _is_withheld(name: str, *, leaks: bool) -> bool:
    if leaks:
        note(f"{name} was not written: it still contains a secret. Please report this as a bug.")
    return leaks


def _written(path: Path, text: str) -> Path:
    from langchain_qwen_image.storage.atomic import replace_file

    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, text.encode())


def _show(assumptions: "list[Assumption]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in assumptions:
        word = one.verdict.value
        found = one_line(one.found)
        if word == "differs":
            found += f" (expected: {one.expected})"
        table.add_row(Text(word, style=f"bold {_COLOURS[word]}"), one.name, Text(found))
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    with console.capture() as capture:
        console.print(table)
    typer.echo("\n".join(line.rstrip() for line in capture.get().splitlines()))
