"""The gallery of a place in an object store: the page lies beside the images."""

from pathlib import Path

import pytest
from buckets import Gate
from gallery_folders import PNG
from obstore.store import from_url
from typer.testing import CliRunner

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.cli import app
from langchain_qwen_image.errors import ConfigurationError, DownloadError
from langchain_qwen_image.gallery import write_gallery


def test_the_page_is_written_beside_the_images(bucket: str, gate: Gate, tmp_path: Path) -> None:
    """It shows what a folder's page shows; written again, it reads only new images."""
    books = tmp_path / "books.db"
    generator = QwenImageGenerator(sandbox=True, save_to=bucket, account=books, size="512*512")
    first, second = (generator.invoke(prompt).image for prompt in ("A red fox", "An owl"))
    store = from_url(bucket)
    store.delete(second.path.rpartition("/")[2].replace(".png", ".json"))  # the account knows it
    store.put("holiday.png", PNG)
    written = write_gallery(bucket, account=books, title="Animals")
    assert written.path == f"{bucket}/index.html"
    assert (written.images, written.sandbox, written.others, written.orphaned) == (2, 2, 1, 0)
    found = store.get("index.html")
    assert found.attributes["Content-Type"].startswith("text/html")
    page = bytes(found.bytes()).decode()
    assert "<title>Animals</title>" in page
    for image, prompt in ((first, "A red fox"), (second, "An owl")):
        assert f'href="./{image.path.rpartition("/")[2]}"' in page
        assert f'alt="{prompt}"' in page
    gate.requests.clear()
    generator.invoke("A heron")
    assert write_gallery(bucket, account=books, title="Animals").images == 3
    assert len([one for one in gate.asked("GET") if one.endswith(".png")]) == 1
    done = CliRunner().invoke(app, ["gallery", bucket, "--account", str(books)])
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, f"{bucket}/index.html")


def test_a_page_of_somebody_else_stays(bucket: str) -> None:
    """It is overwritten only where that is asked for."""
    from_url(bucket).put("index.html", b"mine")
    with pytest.raises(ConfigurationError, match="is not a gallery"):
        write_gallery(bucket)
    assert bytes(from_url(bucket).get("index.html").bytes()) == b"mine"
    assert write_gallery(bucket, force=True).images == 0


def test_a_bucket_that_cannot_be_read_is_no_empty_gallery(bucket: str, gate: Gate) -> None:
    """The error says why, and an earlier page stays; images that cannot be read are not damaged."""
    generator = QwenImageGenerator(sandbox=True, save_to=bucket, size="512*512")
    generator.invoke("A red fox")
    for refused in ("list-type", ".json", ".png"):
        gate.rule = lambda asked, refused=refused: (
            (403, "<Error><Code>AccessDenied</Code></Error>") if refused in asked.target else None
        )
        with pytest.raises(DownloadError, match=r"access was denied \(403 AccessDenied\)"):
            write_gallery(bucket)
    assert not [one for one in gate.asked("PUT") if one.endswith("index.html")]
