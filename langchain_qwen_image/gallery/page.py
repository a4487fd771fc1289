"""The HTML of the page. Whatever comes from outside goes through `_clean` and `escape`."""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from html import escape
from importlib.resources import files
from string import Template
from urllib.parse import quote

from langchain_qwen_image._version import __version__
from langchain_qwen_image.gallery.entries import Entry
from langchain_qwen_image.gallery.facts import Facts
from langchain_qwen_image.gallery.places import GENERATOR
from langchain_qwen_image.gallery.thumbnails import SIDE, key_of

_ALT_CHARACTERS = 150
_TILES = "<!-- tiles -->\n"
_NOT_TEXT = re.compile("[^\t\n -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Controls, lone surrogates and U+FFFE: HTML has no place for them (its standard, 13.1.4)."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the images of a page come to.

    Attributes:
        images: How many there are.
        sandbox: How many of them are placeholders of the sandbox.
        cost_usd: What all cost, in US dollars.
        unpriced: Of how many the price is not known.
        shared: How many images each call made that made several.
        newest: When the newest came, in UTC.
        oldest: When the oldest came, in UTC.
    """

    images: int
    sandbox: int
    cost_usd: Decimal
    unpriced: int
    shared: Mapping[tuple[object, ...], int]
    newest: datetime | None
    oldest: datetime | None


class Page:
    """A page: what comes before the tiles, each tile, and what comes after them."""

    def __init__(self, title: str, sums: Sums, *, now: datetime) -> None:
        """Take the heading and what it says below that; `now` is in UTC."""
        self.sums = sums
        self._title = title
        self._now = now

    @property
    def before(self) -> str:
        """All up to the first tile."""
        return self._halves[0]

    @property
    def after(self) -> str:
        """All that follows the last tile."""
        return self._halves[1]

    @cached_property
    def _halves(self) -> tuple[str, str]:
        style, script = _part("gallery.css"), _part("gallery.js")
        text = Template(_part("page.html")).substitute(
            generator=f'{GENERATOR}, {__version__}">',
            title=_safe(self._title),
            style=style,
            style_hash=_hash(style),
            script=script,
            script_hash=_hash(script),
            sums=_sums(self.sums),
            empty="" if self.sums.images == 0 else " hidden",
            filled="" if self.sums.images else " hidden",
            count=counted(self.sums.images),
            written=f"{self._now:%Y-%m-%d %H:%M}",
            version=__version__,
        )
        before, _, after = text.partition(_TILES)
        return before, after

    def tile(self, entry: Entry, thumbnail: str | None) -> str:
        """Return one image with what is known of it."""
        facts = entry.facts
        lines = [
            "<li>",
            _linked_image(entry, thumbnail),
            f'<p class="prompt" dir="auto" data-find>{_safe(facts.prompt)}</p>'
            if facts
            else '<p class="prompt unknown">The prompt is not known.</p>',
        ]
        if facts and facts.negative_prompt.strip():
            lines.append(
                '<p class="without"><span>Without</span> '
                f"<bdi data-find>{_safe(facts.negative_prompt)}</bdi></p>"
            )
        lines += [self._facts(entry), _details(entry), "</li>\n"]
        return "\n".join(lines)

    def _facts(self, entry: Entry) -> str:
        moment, facts = entry.created_at, entry.facts
        parts = [
            f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}" data-find>{moment:%Y-%m-%d %H:%M}</time>'
        ]
        if facts and facts.size:
            parts.append(f"<span data-find>{_safe(facts.size)}</span>")
        parts.append(self._cost(facts))
        if facts and not facts.watermark:
            parts.append("<span>no watermark</span>")
        if facts and not facts.prompt_extend:
            parts.append("<span>prompt not rewritten</span>")
        return f'<p class="facts">{" ".join(parts)}</p>'

    def _cost(self, facts: Facts | None) -> str:
        if facts is None or facts.cost_usd is None:
            return "<span>cost unknown</span>"
        if facts.sandbox:
            return '<span class="sandbox" data-find>sandbox</span>'
        count = self.sums.shared.get(facts.call, 1)
        shared = f" for {count} images" if count > 1 else ""
        return f"<span>{dollars(facts.cost_usd)}{shared}</span>"


def dollars(usd: Decimal) -> str:
    """Return a price such as `$0.045` or `$12.00`."""
    whole, _, cents = f"{usd:,.4f}".partition(".")
    return f"${whole}.{cents[:2]}{cents[2:].rstrip('0')}"


def _linked_image(entry: Entry, thumbnail: str | None) -> str:
    link = f'<a href="{_href(entry.name)}"'
    if thumbnail is None:
        said = "No preview: this file is damaged or too large"
        return f'{link} class="damaged"><span>{said}</span></a>'
    size = f'width="{SIDE}" height="{SIDE}"'
    return (
        f'{link}>\n<img data-key="{key_of(entry)}" src="{thumbnail}" {size} '
        f'decoding="async" alt="{_alt(entry)}"></a>'
    )


def _alt(entry: Entry) -> str:
    words = " ".join(entry.facts.prompt.split()) if entry.facts else entry.name
    return _safe(
        words if len(words) <= _ALT_CHARACTERS else f"{words[: _ALT_CHARACTERS - 1].rstrip()}…"
    )


def _details(entry: Entry) -> str:
    facts = entry.facts
    rows = [("File", f"<bdi data-find>{_safe(entry.name)}</bdi>")]
    if facts:
        rows += [
            ("Request", _safe(facts.request_id or "not known")),
            ("Model", _safe(facts.model or "not known")),
            ("Watermark", "yes" if facts.watermark else "no"),
            ("Prompt extended", "yes" if facts.prompt_extend else "no"),
        ]
    rows.append(("Size of the file", f"{max(entry.size_bytes // 1000, 1):,} kB"))
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f"<details><summary>Details</summary><dl>{listed}</dl></details>"


def _sums(sums: Sums) -> str:
    if sums.oldest is None or sums.newest is None:
        return "<span>No images yet</span>"
    first, last = f"{sums.oldest:%Y-%m-%d}", f"{sums.newest:%Y-%m-%d}"
    parts = [
        counted(sums.images),
        f"{dollars(sums.cost_usd)} in total",
        f"{sums.sandbox:,} from the sandbox" if sums.sandbox else "",
        f"{sums.unpriced:,} of unknown cost" if sums.unpriced else "",
        first if first == last else f"{first} to {last}",
    ]
    return " ".join(f"<span>{part}</span>" for part in parts if part)


def counted(count: int) -> str:
    """Return `1 image`, `2 images`."""
    return "1 image" if count == 1 else f"{count:,} images"


def _href(name: str) -> str:
    """Return a relative link; a file name may be any bytes."""
    return f"./{quote(os.fsencode(name), safe='')}"


def _safe(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _NOT_TEXT.sub("\N{REPLACEMENT CHARACTER}", lines)


def _part(name: str) -> str:
    return files("langchain_qwen_image.gallery").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
