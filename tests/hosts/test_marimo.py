"""Images in a notebook of marimo, run as an app and seen in a browser."""

from pathlib import Path

import pytest
from browsers import chromium, keep, needs_chromium, page_at, see
from hosted import environment, running
from loopback import free_port

pytestmark = [pytest.mark.hosts, needs_chromium]

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    from langchain_qwen_image import QwenImageGenerator
    from langchain_qwen_image.notebook import show

    generator = QwenImageGenerator(sandbox=True, size="512*512", save_to="images")
    prompts = ["a fox", "sandbox:quota a hare", "an owl"]
    show(generator.batch(prompts, return_exceptions=True))
    return (generator,)


@app.cell
def _(generator):
    generator.invoke("a heron")
    return


if __name__ == "__main__":
    app.run()
"""


def test_results_and_errors_are_shown(tmp_path: Path) -> None:
    """`show` puts images and errors side by side, and a result shows itself."""
    home = environment("marimo")
    (tmp_path / "notebook.py").write_text(NOTEBOOK)
    port = free_port()
    url = f"http://localhost:{port}"
    command = ["marimo", "run", "notebook.py", "--headless", "--no-token", "--port", str(port)]
    with (
        running(home, command, tmp_path, url),
        chromium() as browser,
        page_at(browser, url) as page,
    ):
        page.wait_for_function(
            "[...document.images].filter(i => i.naturalWidth === 512).length > 2"
        )
        see(page, "QuotaExceededError: The gateway answered 403")
        see(page, "a heron · 512×512")
        keep(page, "marimo")
