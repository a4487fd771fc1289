"""The gallery in a browser: Chromium opens it as a file, and it is used as a person would."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from browsers import chromium, needs_chromium
from gallery_folders import HOSTILE, PNG, save
from waiting import PATIENCE

from langchain_qwen_image.gallery import write_gallery
from langchain_qwen_image.gallery.entries import Entry
from langchain_qwen_image.gallery.facts import facts_of
from langchain_qwen_image.gallery.page import Page as GalleryPage
from langchain_qwen_image.gallery.page import Sums
from langchain_qwen_image.storage.sidecar import Sidecar

_MOMENT = datetime(2026, 11, 23, 9, 41, tzinfo=UTC)

pytestmark = [pytest.mark.slow, pytest.mark.long, needs_chromium]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium once."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of images with all that can be odd about them, and its gallery."""
    home = tmp_path_factory.mktemp("a folder #1 with 100% of 图片")
    for number, prompt in enumerate(HOSTILE):
        negative = {"negative_prompt": HOSTILE[-1 - number]}
        save(home, f"hostile-{number}.png", prompt=prompt, parameters=negative)
    save(home, "雪中的狐狸 100%?.png", prompt="雪中的红狐狸，水墨画", sandbox=True)
    quiet = {"negative_prompt": "Blurry Straße", "watermark": False, "prompt_extend": False}
    save(home, "owl.png", prompt="An OWL at dusk", parameters=quiet, width=1024, height=768)
    save(home, "old.png", prompt="a red fox", created_at="2025-01-02T03:04:05Z")
    save(home, "long.png", prompt="a corridor " * 80)
    save(home, "damaged.png", image=PNG[:45], prompt="a broken cup")
    save(home, "2026-11-23-unknown-k3v9q2xd.png", sidecar=b"{")
    write_gallery(home, title=HOSTILE[0])
    return home


@pytest.fixture
def page(browser: Any, folder: Path) -> Iterator[Any]:
    """Open the gallery; afterwards nothing was asked of the network, and no error was told."""
    yield from _opened(browser, folder / "index.html")


@pytest.fixture(scope="module")
def one_page(browser: Any, folder: Path) -> Iterator[Any]:
    """Open the gallery once, for tests that leave it as it was."""
    yield from _opened(browser, folder / "index.html")


def _opened(browser: Any, file: Path, **options: Any) -> Iterator[Any]:
    """Open a page; afterwards nothing was asked of the network, and no error was told."""
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * PATIENCE)
    opened = context.new_page()
    asked: list[str] = []
    told: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: told.append(message.text))
    opened.on("pageerror", lambda error: told.append(str(error)))
    opened.on("dialog", lambda dialog: told.append(dialog.message))
    opened.goto(file.as_uri())
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert told == []


def shown(page: Any) -> list[str]:
    """Return the names of the files whose tiles are shown."""
    links = page.eval_on_selector_all("li:not([hidden]) > a", "all => all.map(a => a.href)")
    return sorted(os.fsdecode(unquote_to_bytes(urlsplit(url).path)).split("/")[-1] for url in links)


def enter(page: Any, words: str) -> None:
    """Type into the filter and wait until it is applied."""
    page.fill("#filter", words)
    page.keyboard.press("Enter")


def wait_until(page: Any, condition: str) -> None:
    """Wait until JavaScript is true; Playwright's own wait needs eval, which the page forbids."""
    for _ in range(6000):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never true: {condition}")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        pytest.param("owl", ["owl.png"], id="prompt, another case"),
        pytest.param("DUSK an", ["owl.png"], id="two words, any order"),
        pytest.param("owl fox", [], id="all must match"),
        pytest.param("狐狸", ["雪中的狐狸 100%?.png"], id="Chinese"),
        pytest.param("STRASSE", ["owl.png"], id="negative prompt, sharp s"),
        pytest.param("1024*768", ["owl.png"], id="size with an asterisk"),
        pytest.param("1024x", ["owl.png"], id="size, half typed"),
        pytest.param("２０２５-01", ["old.png"], id="date, full-width digits"),
        pytest.param("long.png", ["long.png"], id="file name"),
        pytest.param("sandbox", ["雪中的狐狸 100%?.png"], id="sandbox"),
        pytest.param("<img src=x", ["hostile-0.png", "hostile-6.png"], id="markup"),
    ],
)
def test_filter(one_page: Any, words: str, found: list[str]) -> None:
    """Shown is what has all the words, and the live region counts it."""
    enter(one_page, words)
    assert shown(one_page) == found
    assert one_page.inner_text("#count") == f"{len(found)} of 13 images"
    assert one_page.is_visible("#nothing") == (not found)
    enter(one_page, "  ")
    assert len(shown(one_page)) == 13
    assert one_page.inner_text("#count") == "13 images"


def test_filter_is_in_the_address(page: Any) -> None:
    """A filtered view can be bookmarked, and follows a changed address."""
    enter(page, "An owl & 50%")
    assert page.evaluate("location.hash") == "#q=An%20owl%20%26%2050%25"
    page.reload()
    assert page.input_value("#filter") == "An owl & 50%"
    page.evaluate("location.hash = '#q=fox'")
    wait_until(page, "document.getElementById('filter').value === 'fox'")
    assert "old.png" in shown(page)
    page.evaluate("location.hash = '#q=%E0%A4%A'")
    wait_until(page, "document.getElementById('filter').value === '%E0%A4%A'")
    page.click("#clear")
    assert (page.evaluate("location.hash"), len(shown(page))) == ("", 13)
    assert page.evaluate("document.activeElement.id") == "filter"


def test_what_is_found_is_in_sight(page: Any) -> None:
    """Anyone who filters far down sees the first of what was found, below the filter."""
    page.evaluate("scrollTo(0, 100000)")
    wait_until(page, "scrollY > 500")
    enter(page, "fox")
    below = "document.querySelector('li:not([hidden])').getBoundingClientRect().top"
    bottom = "document.querySelector('form').getBoundingClientRect().bottom"
    assert page.evaluate(f"{below} >= {bottom} && {below} < innerHeight / 2")


def test_keyboard(page: Any) -> None:
    """`/` goes to the filter and is typed there; Escape clears it; tabs reach each image."""
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.keyboard.type("a/b")
    wait_until(page, "location.hash === '#q=a%2Fb'")
    page.keyboard.press("Escape")
    assert (page.input_value("#filter"), len(shown(page))) == ("", 13)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('li:first-child > a')")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.is_visible("li:first-child dl")


def test_hostile_prompts_do_nothing(page: Any) -> None:
    """Prompts that are markup are read as they were written, and nothing of them runs."""
    page.hover("li:first-child .prompt")
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("script, style").count() == 2
    assert page.locator("[onmouseover], [onerror], [onfocus], [autofocus]").count() == 0
    told = page.eval_on_selector_all("li .prompt", "all => all.map(p => p.textContent)")
    assert set(HOSTILE) <= set(told)
    assert (page.title(), page.text_content("h1")) == (HOSTILE[0], HOSTILE[0])


def test_nothing_of_others_could_run(browser: Any, folder: Path) -> None:
    """Even markup that got into the page would neither run nor load: its policy forbids it."""
    context = browser.new_context()
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    told = page.evaluate(
        """async () => {
            const broken = [];
            addEventListener("securitypolicyviolation", (e) => broken.push(e.effectiveDirective));
            for (const html of ["<img src='other.png'>", "<p onclick='hacked=1' id='x'>",
                                "<p style='color:red'>", "<iframe src='other.html'></iframe>"])
                document.body.insertAdjacentHTML("beforeend", html);
            document.getElementById("x").click();
            await new Promise((done) => setTimeout(done, 100));
            return [typeof hacked, ...broken];
        }"""
    )
    context.close()
    assert told[0] == "undefined"
    assert set(told[1:]) == {"img-src", "script-src-attr", "style-src-attr", "frame-src"}


def test_links_lead_to_the_images(page: Any, folder: Path) -> None:
    """Each link opens the file itself, whatever its name."""
    for url in page.eval_on_selector_all("li > a", "all => all.map(a => a.href)"):
        assert Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path))).is_file()
    page.click("a:has(img[alt^='雪中'])")
    page.wait_for_load_state()
    assert page.evaluate("document.images[0].naturalWidth") == 64


def test_thumbnails_are_seen(page: Any) -> None:
    """Each whole image is drawn; a damaged one has its place and its words."""
    sizes = page.evaluate(
        "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert sizes == [64] * 12
    assert "No preview" in page.inner_text(".damaged")


def _violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 1280)])
def test_accessible(browser: Any, folder: Path, scheme: Any, width: int) -> None:
    """axe-core finds nothing, light and dark, narrow and wide, in details and filtered."""
    viewport = {"width": width, "height": 800}
    for page in _opened(
        browser,
        folder / "index.html",
        color_scheme=scheme,
        viewport=viewport,
        reduced_motion="reduce",
    ):
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 21, 23)"
        assert dark == (scheme == "dark")
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert _violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        enter(page, "no such image")
        assert _violations(page) == []


def test_a_screen_reader_is_told(page: Any) -> None:
    """Landmarks, headings, the box's name and the list are there for those who do not see."""
    tree = page.locator("body").aria_snapshot()
    for told in (
        "- banner:",
        "- search:",
        '- searchbox "Filter"',
        "- status: 13 images",
        "- main:",
        '- heading "Images, newest first" [level=2]',
        "- contentinfo:",
    ):
        assert told in tree
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("listitem").count() == 13
    assert page.get_by_role("link", name="An OWL at dusk").count() == 1


def test_readable_without_javascript(browser: Any, folder: Path) -> None:
    """Without scripts all is there but the filter, which then is not shown."""
    for page in _opened(browser, folder / "index.html", java_script_enabled=False):
        assert page.is_visible("text=雪中的红狐狸")
        assert page.locator("li").count() == 13
        assert not page.is_visible("form")


def test_print(page: Any) -> None:
    """On paper there is no filter, and prompts are whole."""
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.is_visible("form")
    assert not page.is_visible("summary >> nth=0")
    prompt = (
        "[...document.querySelectorAll('.prompt')].every(p => p.scrollHeight <= p.clientHeight)"
    )
    assert page.evaluate(prompt)
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


def test_an_empty_folder(browser: Any, tmp_path: Path) -> None:
    """A gallery of nothing says so, has no filter, and is accessible too."""
    for page in _opened(browser, write_gallery(tmp_path).path):
        assert page.is_visible("#empty")
        assert not page.is_visible("form")
        assert _violations(page) == []


def test_thousands_are_filtered_at_once(browser: Any, tmp_path: Path) -> None:
    """Time to filter grows with the images, not with their square: 3,000 took 11 s so."""
    count = 3000
    entries = [
        Entry(f"{n}.png", 1, n, facts_of(Sidecar(prompt=f"a fox number {n}"))) for n in range(count)
    ]
    html = GalleryPage("x", Sums(count, 0, Decimal(0), 0, {}, _MOMENT, _MOMENT), now=_MOMENT)
    tiles = (html.tile(entry, "data:image/webp;base64,AAAA") for entry in entries)
    file = tmp_path / "index.html"
    file.write_text(f"{html.before}{''.join(tiles)}{html.after}", encoding="utf-8")
    for page in _opened(browser, file):
        before = _cpu_seconds(page)
        for words, found in (("zebra", 0), ("number 1234", 1), ("", count)):
            enter(page, words)
            assert page.locator("li:not([hidden])").count() == found
        assert _cpu_seconds(page) - before < 5


def _cpu_seconds(page: Any) -> float:
    """Return how long the page's process has computed: other programs do not lengthen it."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    metrics = session.send("Performance.getMetrics")["metrics"]
    session.detach()
    return next(one["value"] for one in metrics if one["name"] == "ProcessTime")
