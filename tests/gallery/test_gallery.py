"""The gallery: which images it shows, what it says of them, and that nothing gets out of hand."""

import base64
import hashlib
import io
import os
import re
import shutil
import sys
import zlib
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from books import books
from gallery_folders import HOSTILE, PNG, Reader, Tile, save
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner, Result

from langchain_qwen_image import QwenImageGenerator
from langchain_qwen_image.cli import app
from langchain_qwen_image.cli.terminal import counting
from langchain_qwen_image.errors import ConfigurationError
from langchain_qwen_image.gallery import Gallery, write_gallery
from langchain_qwen_image.gallery import thumbnails as thumbnails_module
from langchain_qwen_image.gallery.entries import Entry
from langchain_qwen_image.gallery.facts import Facts, facts_of
from langchain_qwen_image.gallery.page import Page, Sums, dollars
from langchain_qwen_image.gallery.places import FolderPlace
from langchain_qwen_image.storage.sidecar import Sidecar

_OURS = "2026-11-23-a-red-fox-k3v9q2xd"
_NOTHING = Sums(0, 0, Decimal(0), 0, {}, None, None)
_MOMENT = datetime(2026, 11, 23, 9, 41, tzinfo=UTC)


def run(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, arguments)


def read(folder: Path, **options: Any) -> Reader:
    """Write a folder's gallery and read it."""
    return Reader.of(write_gallery(folder, **options).path)


def prompts(page: Reader) -> list[str]:
    """Return what the tiles say of their prompts."""
    return [tile.texts.get("prompt") or tile.texts.get("prompt unknown", "") for tile in page.tiles]


def tile_of(prompt: str, negative_prompt: str = "", name: str = "a.png") -> Tile:
    """Return a tile as a browser reads it."""
    record = {"prompt": prompt, "parameters": {"negative_prompt": negative_prompt}}
    entry = Entry(name, 1000, 1_764_000_000_000_000_000, facts_of(Sidecar.from_record(record)))
    html = Page("x", _NOTHING, now=_MOMENT).tile(entry, "data:image/webp;base64,AAAA")
    [tile] = Reader(html).tiles
    return tile


def test_what_was_saved_is_shown(tmp_path: Path) -> None:
    """Each saved image has a tile, newest first, with a thumbnail and a link that leads to it."""
    generator = QwenImageGenerator(sandbox=True, save_to=tmp_path, size="512*512")
    asked = ["a red fox", "雪中的狐狸", "sandbox:two-images", "a fox\nin two lines"]
    for prompt in asked:
        generator.invoke(prompt)
    page = read(tmp_path)
    assert prompts(page) == [asked[3], asked[2], asked[2], asked[1], asked[0]]
    for tile in page.tiles:
        assert tile.href.startswith("./")
        path = tmp_path / os.fsdecode(unquote_to_bytes(tile.href))
        assert path.read_bytes().startswith(b"\x89PNG")
        with Image.open(io.BytesIO(base64.b64decode(tile.src.partition(",")[2]))) as small:
            assert (small.format, small.size) == ("WEBP", (256, 256))
    assert page.texts["sums"].startswith("5 images $0.00 in total 5 from the sandbox")


def test_what_is_known_is_said(tmp_path: Path) -> None:
    """A tile says prompt, negative prompt, size, cost, date, request, and what is not default."""
    parameters = {"negative_prompt": "blurry", "prompt_extend": False, "watermark": False}
    save(tmp_path, "a.png", parameters=parameters, request_id="r-1", created_at="2026-11-23T01:02Z")
    [tile] = read(tmp_path).tiles
    assert tile.texts["without"] == "Without blurry"
    assert tile.texts["facts"] == (
        "2026-11-23 01:02 512×512 $0.045 no watermark prompt not rewritten"
    )
    assert tile.texts["dd"].startswith("a.pngr-1qwen-imagenono")
    assert tile.alt == "a red fox"


_ANY = st.text(st.characters(exclude_categories=[]), max_size=60) | st.sampled_from(HOSTILE)


@given(prompt=_ANY, negative_prompt=_ANY)
def test_prompts_are_text(prompt: str, negative_prompt: str) -> None:
    """Any prompt appears as text: it adds no element and no attribute."""
    tile = tile_of(prompt, negative_prompt)
    plain = tile_of("a", "a" if negative_prompt.strip() else "")
    assert tile.elements == plain.elements
    lines = prompt.replace("\r\n", "\n").replace("\r", "\n")
    shown = tile.texts.get("prompt", "")
    assert len(shown) == len(lines)
    assert all(a in (b, "\ufffd") for a, b in zip(shown, lines, strict=True))


@given(_ANY)
def test_names_and_titles_are_text(text: str) -> None:
    """Any file name and any title appears as text, and the link leads to the file of that name."""
    name = os.fsdecode(text.encode(errors="surrogatepass"))
    tile = tile_of("a", name=name or "a")
    assert tile.elements == tile_of("a").elements
    assert unquote_to_bytes(tile.href.removeprefix("./")) == os.fsencode(name or "a")
    page = Page(text, _NOTHING, now=_MOMENT)
    plain = Page("a", _NOTHING, now=_MOMENT)
    assert Reader(page.before + page.after).tags == Reader(plain.before + plain.after).tags


_PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("19-:TZ*×a\ud800", max_size=9)
)
_PARAMETERS = st.dictionaries(
    st.sampled_from(["negative_prompt", "size", "watermark", "prompt_extend"]), _PLAIN
)
_JSON = _PLAIN | st.lists(_PLAIN, max_size=2) | _PARAMETERS
_FIELDS = [
    "prompt",
    "parameters",
    "width",
    "height",
    "cost_usd",
    "created_at",
    "request_id",
    "model",
    "sandbox",
]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(_FIELDS, _JSON)))
def test_any_sidecar_is_survived(record: dict[str, Any]) -> None:
    """Whatever is in a sidecar, its facts are of their types, or not known."""
    facts = facts_of(Sidecar.from_record(record))
    assert (facts is None) == (not isinstance(record.get("prompt"), str))
    if facts is not None:
        assert facts.cost_usd is None or facts.cost_usd >= 0
        assert facts.created_at is None or facts.created_at.tzinfo is UTC
        assert Page("x", _NOTHING, now=_MOMENT).tile(Entry("a.png", 1, 1, facts), None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("cost_usd", "free", id="a price in words"),
        pytest.param("cost_usd", float("nan"), id="no number"),
        pytest.param("cost_usd", -1, id="less than nothing"),
        pytest.param("cost_usd", True, id="a truth"),
        pytest.param("created_at", "0001-01-01T00:00:00+23:00", id="before all times"),
        pytest.param("created_at", "yesterday", id="a date in words"),
        pytest.param("request_id", "https://x.example/?Signature=1", id="a link"),
        pytest.param("model", ["qwen"], id="a list"),
    ],
)
def test_odd_facts_are_unknown(field: str, value: object) -> None:
    """What cannot be is as good as not told."""
    facts = facts_of(Sidecar.from_record({"prompt": "a", field: value}))
    assert facts is not None
    assert getattr(facts, field) is None


def test_a_prompt_without_end_is_cut() -> None:
    """Of a prompt at most 5,000 characters are shown, and that it goes on."""
    facts = facts_of(Sidecar.from_record({"prompt": "a" * 5001}))
    assert facts is not None
    assert (len(facts.prompt), facts.prompt[-2:]) == (5000, "a…")


def test_dates_without_a_zone_are_utc() -> None:
    """A moment that names no zone is taken for UTC, another one becomes UTC."""
    for told in ("2026-11-23T09:41:00", "2026-11-23T10:41:00+01:00"):
        facts = facts_of(Sidecar.from_record({"prompt": "a", "created_at": told}))
        assert facts is not None
        assert facts.created_at == _MOMENT


def test_queries_of_links_never_appear(tmp_path: Path) -> None:
    """No link of a sidecar gets into the page, wherever it is there."""
    link = "https://example.com/a.png?Expires=1&Signature=SECRET"
    odd = dict.fromkeys(["url", "request_id", "model", "created_at", "width", "file", "id"], link)
    save(tmp_path, "a.png", **odd, finish_reason=link, parameters={"size": link, "watermark": link})
    save(tmp_path, f"{_OURS}.png", sidecar=f'{{"prompt": 1, "url": "{link}"'.encode())
    page = write_gallery(tmp_path).path.read_text(encoding="utf-8")
    assert "SECRET" not in page
    assert "example.com" not in page


@pytest.mark.parametrize(
    "sidecar",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"file": "a', id="cut off"),
        pytest.param(b"[1, 2]", id="a list"),
        pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"prompt": "' + b"a" * 1_100_000 + b'"}', id="long"),
        pytest.param(b'{"n": ' + b"9" * 5000 + b"}", id="a long number"),
        pytest.param(None, id="none"),
    ],
)
def test_an_image_without_a_whole_sidecar_is_shown(tmp_path: Path, sidecar: bytes | None) -> None:
    """An image of ours appears all the same; the date is that of its file."""
    path = save(tmp_path, f"{_OURS}.png", sidecar=sidecar or b"")
    if sidecar is None:
        path.with_suffix(".json").unlink()
    os.utime(path, (_MOMENT.timestamp(), _MOMENT.timestamp()))
    [tile] = read(tmp_path).tiles
    assert tile.texts["prompt unknown"] == "The prompt is not known."
    assert tile.texts["facts"] == "2026-11-23 09:41 cost unknown"
    assert tile.alt == f"{_OURS}.png"


def test_the_account_knows_what_sidecars_do_not(tmp_path: Path) -> None:
    """An image of `generate -o` has no sidecar: its facts come from the account, also moved."""
    there = tmp_path / "there"
    there.mkdir()
    options = ["--sandbox", "--size", "512x512", "--no-watermark", "-o"]
    assert run("generate", "an owl", *options, str(there / "owl.png")).exit_code == 0
    shutil.move(books(there).parent, books(tmp_path / "moved").parent)
    moved = Path(shutil.move(there, tmp_path / "moved"))
    [tile] = read(moved).tiles
    assert tile.texts["prompt"] == "an owl"
    assert tile.texts["facts"].endswith("512×512 sandbox no watermark")


def _generate_owl(folder: Path, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = run("generate", "an owl", "--sandbox", "-o", str(folder / "owl.png"), *options)
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize("way", ["argument", "option", "variable"])
def test_an_account_that_is_named_knows_what_sidecars_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """It may have images of the same name in other folders: the size is compared."""
    account, folder = str(tmp_path / "all.db"), tmp_path / "here"
    _generate_owl(tmp_path / "there", "--account", account, "--size", "512x512")
    _generate_owl(folder, "--account", account, "--size", "768x768")
    for other in ("mine.png", "a.jpg"):
        shutil.copy(tmp_path / "there" / "owl.png", folder / other)
    assert not read(folder).tiles
    if way == "variable":
        monkeypatch.setenv("QWEN_IMAGE_DATABASE", account)
    if way == "option":
        done = run("gallery", str(folder), "--account", account)
        assert (done.exit_code, "Left out: 2" in done.stderr) == (0, True)
        page = Reader.of(folder / "index.html")
    else:
        page = read(folder, **{"account": account} if way == "argument" else {})
    [tile] = page.tiles
    assert tile.texts["prompt"] == "an owl"
    assert tile.texts["facts"].endswith("768×768 sandbox")


def test_the_sandbox_has_its_images_in_the_folders_own_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable names another account, which the sandbox does not use: both are read."""
    monkeypatch.setenv("QWEN_IMAGE_DATABASE", str(tmp_path / "all.db"))
    _generate_owl(tmp_path / "here")
    assert prompts(read(tmp_path / "here")) == ["an owl"]
    assert not (tmp_path / "all.db").exists()


def test_an_account_that_is_named_must_exist(tmp_path: Path) -> None:
    """A misspelt path is said, and no page is written."""
    done = run("gallery", str(tmp_path), "--account", str(tmp_path / "al.db"))
    assert (done.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "There is no account at" in done.stderr
    (tmp_path / "bad.db").write_bytes(b"no account at all" * 100)
    (tmp_path / "owl.png").write_bytes(PNG)
    with pytest.raises(ConfigurationError):
        write_gallery(tmp_path, account=tmp_path / "bad.db")


@pytest.mark.parametrize("content", [b"", b"no account at all" * 100])
def test_an_own_account_that_cannot_be_read_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    """What is in the place of an account and is none stays as it is, and tells nothing."""
    save(tmp_path, f"{_OURS}.png").with_suffix(".json").unlink()
    books(tmp_path).parent.mkdir()
    books(tmp_path).write_bytes(content)
    assert len(read(tmp_path).tiles) == 1
    assert books(tmp_path).read_bytes() == content


@pytest.mark.parametrize("nanoseconds", [-(10**30), 10**30])
def test_files_of_no_time_at_all(nanoseconds: int) -> None:
    """A file whose time no calendar has is of 1970."""
    assert Entry("a.png", 1, nanoseconds, None).created_at.year == 1970


def test_a_file_that_goes_meanwhile_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is deleted while the folder is looked through is not there."""
    save(tmp_path, "a.png")
    save(tmp_path, "b.png")
    scandir = os.scandir

    def scan_and_delete(folder: Path) -> Any:
        with scandir(folder) as found:
            entries = list(found)
        (tmp_path / "b.png").unlink(missing_ok=True)
        return nullcontext(entries)

    monkeypatch.setattr("langchain_qwen_image.gallery.places.os.scandir", scan_and_delete)
    assert [tile.href for tile in read(tmp_path).tiles] == ["./a.png"]


def test_other_files_are_left_out(tmp_path: Path) -> None:
    """Images of others, links, folders, pipes and hidden files are no images of ours."""
    ours = save(tmp_path, "renamed.png", file="gone.png")
    save(tmp_path, "photo.jpg", sidecar=b'{"camera": "x"}')
    (tmp_path / "screenshot.png").write_bytes(PNG)
    (tmp_path / ".hidden-2026.png").write_bytes(PNG)
    (tmp_path / "link.png").symlink_to(ours)
    (tmp_path / "folder.png").mkdir()
    save(tmp_path / "folder.png", "deeper.png")
    os.mkfifo(tmp_path / f"{_OURS}.png")
    written = write_gallery(tmp_path)
    assert (written.images, written.others, written.orphaned) == (1, 2, 0)
    assert [tile.href for tile in Reader.of(written.path).tiles] == ["./renamed.png"]


def test_a_sidecar_belongs_to_one_image(tmp_path: Path) -> None:
    """Of two images that differ in their suffix, the one that the sidecar names has it."""
    save(tmp_path, "a.png")
    (tmp_path / "a.webp").write_bytes(PNG)
    written = write_gallery(tmp_path)
    assert (written.images, written.others) == (1, 1)


def test_a_sidecar_without_its_image_is_counted(tmp_path: Path) -> None:
    """What a kill left is told of and shows no tile; other people's JSON is not counted."""
    save(tmp_path, f"{_OURS}.png").unlink()
    (tmp_path / "package.json").write_text("{}")
    written = write_gallery(tmp_path)
    assert (written.images, written.orphaned) == (0, 1)
    assert "No images yet" in Reader.of(written.path).texts["sums"]


def test_a_call_is_paid_once(tmp_path: Path) -> None:
    """Images of one call share its price, which counts once; the sandbox costs nothing."""
    for name in ("a.png", "b.png"):
        save(tmp_path, name, request_id="one", cost_usd=0.09)
    for name in ("c.png", "d.png"):
        save(tmp_path, name, request_id=None, created_at="2026-11-22T00:00:00Z", cost_usd=0.09)
    save(tmp_path, "e.png")
    save(tmp_path, "f.png", sandbox=True, cost_usd=7)
    save(tmp_path, "g.png", cost_usd=None)
    written = write_gallery(tmp_path)
    told = (written.cost_usd, written.sandbox, written.unpriced)
    assert told == (Decimal("0.225"), 1, 1)
    page = Reader.of(written.path)
    assert page.texts["sums"] == (
        "7 images $0.225 in total 1 from the sandbox 1 of unknown cost 2026-11-22 to 2026-11-23"
    )
    assert sum("$0.09 for 2 images" in tile.texts["facts"] for tile in page.tiles) == 4


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        ("0", "$0.00"),
        ("0.045", "$0.045"),
        ("0.09", "$0.09"),
        ("1.3500", "$1.35"),
        ("12345.6", "$12,345.60"),
        ("0.0225", "$0.0225"),
    ],
)
def test_prices(usd: str, shown: str) -> None:
    """A price has two places, and more only where they say something."""
    assert dollars(Decimal(usd)) == shown


def _bytes_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    into = io.BytesIO()
    image.save(into, kind, **options)
    return into.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "SECRET"
    return _bytes_of(Image.new("RGB", (400, 200)), "JPEG", exif=exif)


@pytest.mark.parametrize(
    ("image", "size"),
    [
        pytest.param(_turned(), (128, 256), id="turned by its EXIF"),
        pytest.param(_bytes_of(Image.new("RGBA", (9, 9)), "PNG"), (9, 9), id="transparent"),
        pytest.param(_bytes_of(Image.new("P", (9, 9)), "PNG"), (9, 9), id="palette"),
        pytest.param(_bytes_of(Image.new("I;16", (9, 9)), "PNG"), (9, 9), id="16 bits"),
        pytest.param(_bytes_of(Image.new("CMYK", (9, 9)), "JPEG"), (9, 9), id="CMYK"),
        pytest.param(
            _bytes_of(
                Image.new("RGB", (9, 9)),
                "WEBP",
                save_all=True,
                append_images=[Image.new("RGB", (9, 9), "red")],
            ),
            (9, 9),
            id="moving",
        ),
        pytest.param(_bytes_of(Image.new("RGB", (2000, 1)), "PNG"), (256, 1), id="a line"),
    ],
)
def test_thumbnails(tmp_path: Path, image: bytes, size: tuple[int, int]) -> None:
    """A thumbnail is upright and still, at most 256 pixels a side, and has no metadata."""
    save(tmp_path, "a.png", image=image)
    [tile] = read(tmp_path).tiles
    small = base64.b64decode(tile.src.removeprefix("data:image/webp;base64,"))
    with Image.open(io.BytesIO(small)) as opened:
        assert opened.size == size
        assert getattr(opened, "n_frames", 1) == 1
    assert b"SECRET" not in small


def _bomb(side: int) -> bytes:
    header = PNG[12:16] + side.to_bytes(4) * 2 + PNG[24:29]
    return PNG[:12] + header + zlib.crc32(header).to_bytes(4) + PNG[33:]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="empty"),
        pytest.param(PNG[:45], id="cut off"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="SVG"),
        pytest.param(_bytes_of(Image.new("P", (9, 9)), "GIF"), id="GIF"),
        pytest.param(_bomb(9_000), id="81 million pixels"),
        pytest.param(_bomb(12_000), id="144 million pixels"),
        pytest.param(_bomb(60_000), id="3600 million pixels"),
    ],
)
def test_a_damaged_image_has_a_calm_place(tmp_path: Path, image: bytes) -> None:
    """What is no whole image has a tile that says so, and its facts; the others are shown."""
    save(tmp_path, "a.png", image=image)
    save(tmp_path, "b.png")
    first, second = sorted(read(tmp_path).tiles, key=lambda tile: tile.href)
    assert first.texts["damaged"] == "No preview: this file is damaged or too large"
    assert (first.src, first.texts["prompt"]) == ("", "a red fox")
    assert second.src


def test_the_page_asks_nothing_of_anybody(tmp_path: Path) -> None:
    """All that is loaded is inside; the policy allows the page's own style and script alone."""
    save(tmp_path, "a.png")
    html = write_gallery(tmp_path).path.read_text(encoding="utf-8")
    assert all(link.startswith("data:") for link in Reader(html).loaded)
    [policy] = re.findall(r'Content-Security-Policy" content="(.+?)"', html)
    hashes = {}
    for tag in ("style", "script"):
        [text] = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        hashes[tag] = f"{tag}-src 'sha256-{digest}'"
    assert policy == (
        f"default-src 'none'; img-src data:; {hashes['style']}; {hashes['script']}; "
        "base-uri 'none'; form-action 'none'"
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note of which files thumbnails are made."""
    names: list[str] = []
    small = thumbnails_module._small

    def noted(place: FolderPlace, name: str) -> str | None:
        names.append(name)
        return small(place, name)

    monkeypatch.setattr(thumbnails_module, "_small", noted)
    return names


def test_thumbnails_are_made_once(tmp_path: Path, made: list[str]) -> None:
    """A second run makes those of new and changed images only, and says the same."""
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path, name, prompt='<img data-key="' + "0" * 32)
    first = Reader.of(write_gallery(tmp_path).path)
    made.clear()
    (tmp_path / "b.png").write_bytes(_bytes_of(Image.new("RGB", (9, 9), "red"), "PNG"))
    save(tmp_path, "d.png")
    second = Reader.of(write_gallery(tmp_path).path)
    assert sorted(made) == ["b.png", "d.png"]
    sources = [{tile.href: tile.src for tile in page.tiles} for page in (first, second)]
    assert sources[0]["./a.png"] == sources[1]["./a.png"]
    assert sources[0]["./b.png"] != sources[1]["./b.png"]


def test_an_altered_page_hands_on_images_alone(tmp_path: Path, made: list[str]) -> None:
    """What somebody put in the place of a thumbnail is not taken over."""
    save(tmp_path, "a.png")
    page = write_gallery(tmp_path).path
    html = page.read_text(encoding="utf-8")
    page.write_text(re.sub('src="data:image/webp.*?"', 'src="x" onerror="hacked=1"', html))
    assert read(tmp_path).tiles[0].src.startswith("data:image/webp;base64,")
    assert made == ["a.png", "a.png"]


def test_few_thumbnails_wait_in_memory(tmp_path: Path) -> None:
    """Images are taken up as the page is written, never all of them beforehand."""
    entries = [Entry(f"{n}.png", 1, n, None) for n in range(1000)]
    taken: list[str] = []

    def take() -> Any:
        for entry in entries:
            taken.append(entry.name)
            yield entry

    with thumbnails_module.Earlier(None) as earlier:
        images = thumbnails_module.thumbnails(FolderPlace(tmp_path), take(), earlier)
        assert next(images) == (entries[0], None)
        assert len(taken) <= thumbnails_module._AHEAD + 1
        images.close()


def test_a_stop_leaves_the_page_as_it_was(tmp_path: Path) -> None:
    """Whatever ends the writing, the earlier page stays and no other file does."""
    save(tmp_path, "a.png")
    page = write_gallery(tmp_path).path
    before = page.read_bytes()
    save(tmp_path, "b.png")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_gallery(tmp_path, progress=stop)
    assert page.read_bytes() == before
    names = ["a.json", "a.png", "b.json", "b.png", "index.html"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_page_of_others_is_not_overwritten(tmp_path: Path) -> None:
    """An `index.html` that is not a gallery stays, unless it is forced."""
    page = tmp_path / "index.html"
    page.write_text("<h1>Mine</h1>")
    with pytest.raises(ConfigurationError, match=r"not a gallery; --force"):
        write_gallery(tmp_path)
    assert page.read_text() == "<h1>Mine</h1>"
    assert write_gallery(tmp_path, force=True).path == page
    assert write_gallery(tmp_path).images == 0


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """In the place of a symbolic link the page goes only by force, and never through it."""
    (tmp_path / "mine").write_text('<meta name="generator" content="langchain-qwen-image gallery')
    (tmp_path / "index.html").symlink_to("mine")
    with pytest.raises(ConfigurationError, match="not a gallery"):
        write_gallery(tmp_path)
    assert not write_gallery(tmp_path, force=True).path.is_symlink()
    assert (tmp_path / "mine").stat().st_size < 100


def test_a_page_that_comes_meanwhile_stays(tmp_path: Path) -> None:
    """An `index.html` that somebody writes while thumbnails are made is not overwritten."""
    save(tmp_path, "a.png")
    page = tmp_path / "index.html"

    def come(done: int, total: int) -> None:
        page.write_text("mine")

    with pytest.raises(ConfigurationError, match="not a gallery"):
        write_gallery(tmp_path, progress=come)
    assert page.read_text() == "mine"


@pytest.mark.parametrize("name", ["nowhere", "file", "taken"])
def test_folders_that_cannot_be(tmp_path: Path, name: str) -> None:
    """What is no folder, or has a folder in the page's place, is an error in one sentence."""
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "index.html").mkdir(parents=True)
    done = run("gallery", str(tmp_path / name), "--force")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_command_says_what_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints the path and the sum, and notes on stderr what is left out."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    folder.mkdir()
    save(folder, "a.png")
    save(folder, "b.png", sandbox=True)
    save(folder, f"{_OURS}.png").with_suffix(".json").unlink()
    (folder / "other.png").write_bytes(PNG)
    save(folder, "2026-11-23-gone-abcd1234.png").unlink()
    done = run("gallery", "images", "--title", "My <b>\nfoxes")
    assert done.exit_code == 0
    assert done.stdout == (
        f"{Path('images', 'index.html')}\n3 images, $0.045, 1 from the sandbox, 1 of unknown cost\n"
    )
    assert done.stderr == (
        "Note: Left out: 1 that qwen-image did not make.\n"
        "Note: 1 .json without its image; see: qwen-image recover images\n"
    )
    assert Reader.of(folder / "index.html").texts["h1"] == "My <b> foxes"


def test_the_heading_is_the_folders_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a title the folder's name is one, also when the folder is `.`."""
    (tmp_path / "winter").mkdir()
    monkeypatch.chdir(tmp_path / "winter")
    assert read(Path(), title="  ").texts["h1"] == "winter"
    assert run("gallery", ".").stdout == "index.html\n0 images, $0.00\n"


def test_pillow_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Pillow the error names the extra, and nothing is written."""
    for name in list(sys.modules):
        if name.split(".")[0] == "PIL":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    done = run("gallery", str(tmp_path))
    assert done.exit_code == 1
    assert "pip install 'langchain-qwen-image[cli]'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there is a bar on stderr, in a pipe nothing."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with counting("Making thumbnails,") as progress:
        assert progress is not None
        progress(3, 12)
    assert re.search(r"Making thumbnails,.*3/12", sys.stderr.getvalue())  # type: ignore[attr-defined]
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with counting("Making thumbnails,") as progress:
        assert progress is None


def test_what_is_returned_can_be_compared(tmp_path: Path) -> None:
    """What a run returns says where the page is and what is in it."""
    save(tmp_path, "a.png")
    page = tmp_path / "index.html"
    assert write_gallery(tmp_path) == Gallery(page, 1, 0, Decimal("0.045"), 0, 0, 0)
    assert isinstance(facts_of(Sidecar.from_json((tmp_path / "a.json").read_bytes())), Facts)
