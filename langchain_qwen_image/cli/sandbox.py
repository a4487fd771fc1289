"""`qwen-image sandbox`: the sandbox gateway as a server, for other programs."""

import threading
from enum import Enum
from typing import Annotated

import typer

from langchain_qwen_image.cli.tables import show_table


class SuccessShape(Enum):
    """The success bodies that the owner documents: `output.choices[]…`, and `images[].url`."""

    DOCUMENT = "document"
    IMAGES = "images"


def sandbox(
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one."
        ),
    ] = 8765,
    shape: Annotated[
        SuccessShape, typer.Option(help="Which of the two documented success bodies to send.")
    ] = SuccessShape.DOCUMENT,
) -> None:
    """Serve a sandbox gateway on this machine.

    It listens on 127.0.0.1 until Ctrl-C: no key, no network, no cost. It checks requests as
    strictly as the API document, and draws placeholders. A prompt that begins with sandbox:NAME
    simulates the failure or answer of that name.

    Exit status: 130 after Ctrl-C, 1 if the port is in use, 2 for a usage error.
    """
    from langchain_qwen_image.sandbox import SCENARIOS, SandboxServer

    with SandboxServer(port, shape=shape.value) as server:
        show_table(
            ("Prompt", "What it simulates"),
            [(f"sandbox:{name}", one.description) for name, one in SCENARIOS.items()],
        )
        typer.echo(f"\nServing {server.base_url} until Ctrl-C. Try:\n")
        typer.echo(
            f"PIXAZO_BASE_URL={server.base_url} PIXAZO_API_KEY=anything "
            'qwen-image generate "a red fox in the snow"'
        )
        threading.Event().wait()
