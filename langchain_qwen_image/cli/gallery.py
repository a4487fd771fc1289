"""`qwen-image gallery`: a folder of images as one page."""

from typing import TYPE_CHECKING, Annotated

import typer

from langchain_qwen_image.cli.terminal import AccountPath, counting, note, shown

if TYPE_CHECKING:
    from langchain_qwen_image.gallery import Gallery


def gallery(
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="A folder of images, or s3://…; not those below.")
    ],
    account: AccountPath = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Heading; by default the folder's name.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite an index.html that is not a gallery.")
    ] = False,
) -> None:
    """Write a web page that shows the images in DIR.

    The page is DIR/index.html, one file that needs only a browser: small images, prompts,
    parameters and costs, newest first, with a filter box. Run it again to add new images;
    thumbnails are made once. Shows images made by qwen-image: those with a .json file, in the
    account, or with a matching file name. Other files are left out, and none is changed.

    Exit status: 0 if the page was written, 1 if not, 2 for a usage error.
    """
    from langchain_qwen_image.gallery import write_gallery

    with counting("Making thumbnails,") as progress:
        written = write_gallery(
            directory, account=account, title=title, force=force, progress=progress
        )
    typer.echo(shown(str(written.path)))
    typer.echo(_summary(written))
    _note_what_is_left_out(written, directory)


def _summary(written: "Gallery") -> str:
    from langchain_qwen_image.gallery.page import counted, dollars

    parts = [counted(written.images), dollars(written.cost_usd)]
    if written.sandbox:
        parts.append(f"{written.sandbox:,} from the sandbox")
    if written.unpriced:
        parts.append(f"{written.unpriced:,} of unknown cost")
    return ", ".join(parts)


def _note_what_is_left_out(written: "Gallery", directory: str) -> None:
    if written.others:
        note(f"Note: Left out: {written.others:,} that qwen-image did not make.")
    if written.orphaned:
        note(
            f"Note: {written.orphaned:,} .json without its image; "
            f"see: qwen-image recover {shown(directory)}"
        )
