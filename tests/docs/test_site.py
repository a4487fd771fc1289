"""The site of docs/: it builds without a warning, and whatever it links to is there."""

import re
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from pages import ROOT

import langchain_qwen_image
from langchain_qwen_image import (
    account,
    bulk,
    errors,
    gallery,
    middleware,
    notebook,
    recovery,
    sandbox,
    serving,
    testing,
)
from langchain_qwen_image.settings import QwenImageSettings

sys.path.insert(0, str(ROOT / "scripts"))
import site_urls

pytestmark = [
    pytest.mark.slow,
]

_MODULES = [
    langchain_qwen_image,
    bulk,
    errors,
    gallery,
    account,
    middleware,
    notebook,
    recovery,
    sandbox,
    serving,
    testing,
]
_PUBLIC = [
    (module, name) for module in _MODULES for name in module.__all__ if name != "__version__"
]
_DOCS = ROOT / "docs"
_TASKS = [
    "account",
    "agents",
    "budgets",
    "bulk",
    "chains",
    "errors",
    "notebooks",
    "sandbox",
    "saving",
    "testing",
]
_LINK = ("https://code.example/owner/name", "owner/name")
_MARKDOWN_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


class _Page(HTMLParser):
    """What a page links to, loads, and can be linked to at."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors = {""}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and "href" in given:
            self.loaded.append(given["href"])
        elif "src" in given:
            self.loaded.append(given["src"])


def _pages(site: Path) -> dict[Path, _Page]:
    return {file: _Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}


def _dead_links(pages: dict[Path, _Page]) -> list[str]:
    dead = []
    for file, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("/"):  # 404.html has absolute ones
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            has_anchor = target not in pages or unquote(parts.fragment) in pages[target].anchors
            if not (target.is_file() and has_anchor):
                dead.append(f"{file.name}: {link}")
    return dead


@pytest.mark.long
def test_every_link_of_the_site_leads_somewhere(site: Path) -> None:
    """Each link to a page, a file or a heading of the site finds it."""
    pages = _pages(site)
    assert len(pages) > 20
    assert _dead_links(pages) == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    """A link to a page that is not there is dead, and so is one to a heading that is not."""
    html = '<a href="b.html">b</a> <a href="#x">x</a> <a href="#y">y</a> <h1 id="y">y</h1>'
    (tmp_path / "a.html").write_text(html, encoding="utf-8")
    assert _dead_links(_pages(tmp_path)) == ["a.html: b.html", "a.html: #x"]


@pytest.mark.long
def test_site_loads_nothing_from_other_hosts(site: Path) -> None:
    """Whoever opens a page tells nobody: scripts, styles, fonts and images are the site's."""
    loaded = {link for page in _pages(site).values() for link in page.loaded}
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert [link for link in loaded if urlsplit(link).netloc] == []
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\s]+", styles) == []


def _names(module: ModuleType, name: str) -> set[str]:
    """Return the name as the module lists it, and the one where it is defined."""
    home = getattr(getattr(module, name), "__module__", module.__name__)
    return {f"{module.__name__}.{name}", f"{home}.{name}"}


@pytest.mark.long
def test_reference_has_every_public_name(site: Path) -> None:
    """Each name that a public module lists can be linked to in the reference."""
    anchors: set[str] = set()
    for file, page in _pages(site).items():
        anchors |= page.anchors if file.parent.name == "reference" else set()
    missing = [f"{one.__name__}.{name}" for one, name in _PUBLIC if not _names(one, name) & anchors]
    assert missing == []


@pytest.mark.long
def test_reference_describes_every_setting(site: Path) -> None:
    """Each setting has a sentence in the reference that says what it does."""
    html = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", "", html)
    for name, field in QwenImageSettings.model_fields.items():
        assert len(field.description or "") > 20, name
        assert f"<code>{name}</code>" in html, name
        assert re.sub(r"[`\s]", "", unescape(field.description or "")) in re.sub(
            r"\s", "", unescape(shown)
        ), name


@pytest.mark.long
def test_reference_hides_tables_of_literals(site: Path) -> None:
    """A constant is described, and its value is not printed: SCENARIOS alone has sixty lines."""
    html = (site / "reference" / "sandbox.html").read_text(encoding="utf-8")
    _, _, entry = html.partition('id="langchain_qwen_image.sandbox.SCENARIOS"')
    shown = unescape(re.sub(r"<[^>]+>", "", entry.partition("<h3")[0]))
    assert "SCENARIOS" in shown
    assert "Scenario(" not in shown


@pytest.mark.long
def test_site_has_ways_on(site: Path) -> None:
    """Tutorials, guides, explanation and reference are tabs; each page leads to the next one."""
    start = (site / "index.html").read_text(encoding="utf-8")
    for section in ("Tutorials", "How-to guides", "Explanation", "Reference"):
        assert re.search(rf'md-tabs__link">\s*{section}\s*<', start), section
    assert "md-footer__link--next" in start


@pytest.mark.long
def test_repository_link_is_that_of_the_project(site: Path) -> None:
    """The header links to the repository, and asks no host how many stars it has."""
    urls = site_urls.project_urls()
    if "Repository" not in urls:
        pytest.skip("Repository is empty in [tool.langchain-qwen-image.urls]: no link")
    start = (site / "index.html").read_text(encoding="utf-8")
    assert f'href="{urls["Repository"]}"' in start
    assert 'data-md-component="source"' not in start


@pytest.mark.parametrize(
    ("urls", "link", "name"),
    [
        ({}, None, None),
        ({"Repository": "https://code.example/owner/name"}, *_LINK),
        ({"Documentation": "https://docs.example/"}, None, None),
    ],
    ids=["none", "repository", "documentation"],
)
def test_empty_addresses_give_no_link(
    urls: dict[str, str], link: str | None, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that is not filled in gives no link; one that is gives one with its name."""
    monkeypatch.setattr(site_urls, "project_urls", lambda: urls)
    config = site_urls.on_config(SimpleNamespace())
    assert (config.repo_url, config.repo_name) == (link, name)
    assert config.site_url == urls.get("Documentation", "")


@pytest.mark.long
def test_reference_shows_nothing_private(site: Path) -> None:
    """No private module, class or member has an entry in the reference."""
    anchors = {name for page in _pages(site).values() for name in page.anchors}
    shown = {name for name in anchors if name.startswith("langchain_qwen_image.")}
    assert len(shown) > 100
    headings = {
        name
        for file in (site / "reference").glob("*.html")
        for name in re.findall(r'<h\d id="([^"]+)"', file.read_text(encoding="utf-8"))
    }
    assert [name for name in headings if re.search(r"\._", name)] == []


def test_every_task_has_a_page() -> None:
    """The tasks of the documentation are the pages beside its index."""
    pages = {file.stem for file in _DOCS.glob("*.md")} - {"index"}
    assert {*_TASKS} <= pages


def _slug(heading: str) -> str:
    """Return the anchor that GitHub and MkDocs give a heading of plain words."""
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", heading.strip().lower()))


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "CONTRIBUTING.md",
        *(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")),
    ],
)
def test_links_hold_in_the_repository(file: str) -> None:
    """Read as plain Markdown, each link to a file or heading of the repository finds it."""
    dead = []
    for link in _MARKDOWN_LINK.findall((ROOT / file).read_text(encoding="utf-8")):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = ((ROOT / file).parent / parts.path).resolve() if parts.path else ROOT / file
        if not target.exists():
            dead.append(link)
        elif parts.fragment:
            text = target.read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            if parts.fragment not in map(_slug, headings):
                dead.append(link)
    assert dead == []
