"""The command line: one module per command, and here what they have in common.

Modules of commands import what they need inside the command: `--help` needs none of it.
"""

import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from langchain_qwen_image._version import __version__
from langchain_qwen_image.cli.batch import batch
from langchain_qwen_image.cli.check import check
from langchain_qwen_image.cli.doctor import doctor
from langchain_qwen_image.cli.fleet import fleet
from langchain_qwen_image.cli.gallery import gallery
from langchain_qwen_image.cli.generate import generate
from langchain_qwen_image.cli.mcp import mcp
from langchain_qwen_image.cli.recover import recover
from langchain_qwen_image.cli.sandbox import sandbox
from langchain_qwen_image.cli.spend import spend
from langchain_qwen_image.cli.terminal import INTERRUPTED, fail

__all__ = ["app", "run"]


class Commands(TyperGroup):
    """Commands whose expected errors are one sentence on stderr and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error that nobody expects keeps its traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("Interrupted.", INTERRUPTED)
        except Exception as error:
            if _is_expected(error):
                fail(f"Error: {error}")
            raise


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help is quick, and the same on every terminal
    pretty_exceptions_enable=False,  # they show local variables, and so the key
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(generate)
app.command()(batch)
app.add_typer(fleet, name="fleet")
app.command()(recover)
app.command()(spend)
app.command()(gallery)
app.command()(sandbox)
app.command()(mcp)
app.command()(doctor)
app.command()(check)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qwen-image {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Generate images with Qwen-Image and track what you paid for.

    The key is read from the environment variable PIXAZO_API_KEY, else from the file
    ~/.pixazo/api-key. With PIXAZO_SANDBOX=1, or --sandbox, no key is needed and nothing is paid.
    `qwen-image COMMAND --help` says what the exit status of each command means.
    """


def run() -> None:
    """Run the command that the process was started with, and exit."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a prompt must not break a Latin-1 terminal
    # The commands say themselves what the logger warns of.
    logging.getLogger("langchain_qwen_image").addHandler(logging.NullHandler())
    app(prog_name="qwen-image")


def _is_expected(error: Exception) -> bool:
    if isinstance(error, OSError):
        return not isinstance(error, BrokenPipeError)
    # Not imported here: where it was never imported, none of its errors was raised.
    errors = sys.modules.get("langchain_qwen_image.errors")
    return errors is not None and isinstance(error, errors.QwenImageError)
