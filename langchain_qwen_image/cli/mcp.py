"""`qwen-image mcp`: an MCP server for Claude Desktop, Claude Code, Cursor and other hosts."""

import sys
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_qwen_image.cli.terminal import AccountPath, Sandbox, amount, is_sandbox, note

if TYPE_CHECKING:
    import asyncio

    from langchain_qwen_image.generator import QwenImageGenerator


class AskPerson(Enum):
    """When the user is asked before an image is paid for."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def mcp(
    http: Annotated[
        int | None,
        typer.Option(
            "--http",
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve streamable HTTP on this machine; 0 takes a free port. Default: stdio.",
        ),
    ] = None,
    max_usd: Annotated[
        float,
        typer.Option(metavar="USD", min=0, help="What this start of the server may spend."),
    ] = 1.0,
    ask: Annotated[
        AskPerson,
        typer.Option(
            help="Ask the user before each image: auto asks where the client can, always refuses "
            "where it cannot."
        ),
    ] = AskPerson.AUTO,
    save_to: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Folder to save the images in. Default: `Pictures/qwen-image` in the home folder.",
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Address at which a browser sees the folder, if you serve it.",
        ),
    ] = None,
    account: AccountPath = None,
    sandbox: Sandbox = None,
) -> None:
    """Serve the tools generate_image, view_image and recent_images over MCP.

    A host such as Claude Desktop starts it and speaks to it on standard input and output; messages
    for people are on stderr. It spends $1.00 at most until it is restarted, unless --max-usd says
    otherwise. A call that was cut off and is repeated with the same arguments within 15 minutes
    gets the image that was paid for. At the end it waits for images that may be billed. A second
    signal does not wait.

    Exit status: 0 when the client has ended the connection, 1 for an error, 2 for a usage error,
    130 after Ctrl-C.
    """
    import logging

    from langchain_qwen_image.mcp.sdk import check_sdk

    logging.basicConfig(format="%(levelname)s: %(message)s")  # to stderr, warnings and worse
    check_sdk()
    generator = _generator(save_to, public_url, account, max_usd, sandbox=is_sandbox(sandbox))
    status = _serve(generator, ask, http)
    if status:
        raise typer.Exit(status)


def _generator(
    save_to: str | None,
    public_url: str | None,
    account: str | None,
    max_usd: float,
    *,
    sandbox: bool,
) -> "QwenImageGenerator":
    from langchain_qwen_image.account.budget import Budget
    from langchain_qwen_image.cli.output import checked_new_folder
    from langchain_qwen_image.generator import QwenImageGenerator
    from langchain_qwen_image.mcp.folders import default_folder

    folder = str(default_folder()) if save_to is None else save_to
    return QwenImageGenerator(
        sandbox=sandbox,
        save_to=checked_new_folder(folder, "--save-to"),
        public_url=public_url,
        account=account,
        budget=Budget(max_usd=max_usd),
    )


def _serve(generator: "QwenImageGenerator", ask: AskPerson, port: int | None) -> int:
    """Serve to the end, and return the exit status."""
    import asyncio

    from langchain_qwen_image.cli.interrupts import run_interruptible
    from langchain_qwen_image.mcp.approval import Ask
    from langchain_qwen_image.mcp.http import Listener
    from langchain_qwen_image.mcp.running import run_server

    listener = None if port is None else Listener(port)
    if listener is not None:
        note(f"Serving MCP on {listener.url} until Ctrl-C.")
    elif sys.stdin.isatty():
        note("Serving MCP on standard input and output, for a host that starts it. Ctrl-C ends it.")
    stop = asyncio.Event()

    def finish(task: "asyncio.Task[None]") -> None:
        stop.set()

    work = run_server(generator, Ask(ask.value), listener=listener, stop=stop, waits=_say_waiting)
    return run_interruptible(work, finish).status


def _say_waiting(number: int) -> None:
    note(f"Waiting for {amount(number, 'image')} that may be billed; Ctrl-C again leaves without.")
