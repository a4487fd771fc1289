"""Folders of images for the tests of the gallery, and a reader of its page."""

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from langchain_qwen_image.sandbox import draw_plain

PNG = draw_plain("", size=(64, 64), watermark=False, seed_text="")

HOSTILE = (
    "<img src=x onerror=hacked=1>",
    "</script><script>hacked=1</script>",
    "</p><!-- <script>hacked=1</script> -->",
    '" onmouseover="hacked=1" x="',
    "' onfocus='hacked=1' autofocus tabindex='1",
    "${hacked} $title $$ %(x)s {0} &lt;b&gt; &amp;",
    "\u2028\u202e\u2066\ufeff]]><![CDATA[",
)


def save(
    folder: Path,
    name: str,
    *,
    image: bytes = PNG,
    sidecar: bytes | None = None,
    **facts: Any,
) -> Path:
    """Put an image and what is noted of it into a folder, and return the image's path."""
    path = folder / name
    path.write_bytes(image)
    noted = {
        "file": name,
        "id": "k3v9q2xd",
        "url": "https://example.com/a.png",
        "prompt": "a red fox",
        "parameters": {
            "negative_prompt": "",
            "prompt_extend": True,
            "watermark": True,
            "size": "512*512",
        },
        "model": "qwen-image",
        "request_id": f"request-{name}"[:60].replace(" ", "-"),
        "cost_usd": 0.045,
        "created_at": "2026-11-23T09:41:00Z",
        "sandbox": False,
        "width": 512,
        "height": 512,
        **facts,
    }
    beside = json.dumps(noted, ensure_ascii=False).encode(errors="surrogatepass")
    path.with_suffix(".json").write_bytes(beside if sidecar is None else sidecar)
    return path


@dataclass
class Tile:
    """One image of a page: its elements, what each says, and its links."""

    elements: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    href: str = ""
    src: str = ""
    alt: str = ""


class Reader(HTMLParser):
    """A page as a browser would take it apart."""

    def __init__(self, html: str) -> None:
        """Read it."""
        super().__init__()
        self.tiles: list[Tile] = []
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.texts: dict[str, str] = {}
        self._inside: list[str] = []
        self.feed(html)
        self.close()

    @classmethod
    def of(cls, page: Path) -> "Reader":
        """Read a file."""
        return cls(page.read_bytes().decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self._inside.append(given.get("class") or given.get("id") or tag)
        if tag in {"img", "link"}:
            self.loaded.append(given.get("src") or given.get("href", ""))
        if tag == "li":
            self.tiles.append(Tile())
        if not self.tiles:
            return
        tile = self.tiles[-1]
        tile.elements.append((tag, tuple(given)))
        if tag == "a":
            tile.href = given["href"]
        if tag == "img":
            tile.src, tile.alt = given["src"], given["alt"]
        if tag in {"img", "meta", "link", "input"}:
            self._inside.pop()

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if self._inside:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        """Note what all elements around it say."""
        for place in self._inside[-2:]:
            texts = self.tiles[-1].texts if self.tiles else self.texts
            texts[place] = texts.get(place, "") + data
