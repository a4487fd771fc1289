"""The bytes of an answer decide what they are; its headers do not."""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_host import FACTS, IMAGE, failure, png

from langchain_qwen_image.download.body import Body
from langchain_qwen_image.download.fetcher import Fetcher
from langchain_qwen_image.download.image_format import DamagedImageError

MIB = 1 << 20
LINK = "https://images.example/a.png"


def raw_deflate(data: bytes) -> bytes:
    """Compress without a header, as some servers read RFC 9110."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def framed(data: bytes, signature: bytes = b"", step: int = 40) -> bytes:
    """Frame bytes as S3's SDKs upload them, with a checksum behind."""
    parts = [data[start : start + step] for start in range(0, len(data), step)]
    frames = b"".join(b"%x%s\r\n%s\r\n" % (len(part), signature, part) for part in parts)
    return frames + b"0%s\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n" % signature


def signed(data: bytes) -> bytes:
    """Frame bytes with a signature for each frame."""
    return framed(data, b";chunk-signature=" + b"0" * 64, 70)


LABELS = [
    "aws-chunked",
    "binary",
    "utf-8",
    "",
    "x-gzip",
    "gzip",
    "br",
    "deflate",
    "none",
    "gzip, br",
]
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "aws-chunked, gzip": gzip.compress,
    "identity": gzip.compress,
    "deflate": zlib.compress,
    " deflate": raw_deflate,
    "aws-chunked": framed,
    "AWS-Chunked": signed,
    "gzip,aws-chunked": lambda data: signed(gzip.compress(data)),
}


class Pieces(httpx.SyncByteStream):
    """A body that comes in pieces of a given size, and counts what was read of it."""

    def __init__(self, data: bytes, step: int = 1 << 16) -> None:
        self._data = data
        self._step = step
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), self._step):
            piece = self._data[start : start + self._step]
            self.read += len(piece)
            yield piece


def fetcher(stream: httpx.SyncByteStream, coding: str | None = None, **settings: object) -> Fetcher:
    """Return a fetcher to which everything is answered by this body."""
    headers = {} if coding is None else {"content-encoding": coding}

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=stream)

    return Fetcher(transport=httpx.MockTransport(answer), sleep=lambda _: None, **settings)


@pytest.mark.parametrize("label", LABELS)
def test_a_label_on_plain_bytes_is_ignored(label: str) -> None:
    """Whatever coding is announced over an image's own bytes, they are taken as they came."""
    into = io.BytesIO()
    assert fetcher(Pieces(IMAGE), label).fetch(LINK, into) == FACTS
    assert into.getvalue() == IMAGE


@pytest.mark.parametrize("label", CODINGS)
def test_one_coding_is_undone(label: str) -> None:
    """An image that was compressed against our wish is decoded, and the facts are the image's."""
    into = io.BytesIO()
    assert fetcher(Pieces(CODINGS[label](IMAGE)), label).fetch(LINK, into) == FACTS
    assert into.getvalue() == IMAGE


@given(st.sampled_from(sorted(CODINGS)), st.integers(1, 120))
def test_pieces_do_not_matter(label: str, step: int) -> None:
    """However the bytes are cut on their way, the same image arrives."""
    into = io.BytesIO()
    assert fetcher(Pieces(CODINGS[label](IMAGE), step), label).fetch(LINK, into) == FACTS
    assert into.getvalue() == IMAGE


@given(
    start=st.sampled_from([b"", b"\x1f\x8b\x08", b"\x78\x9c", b"1a\r\n", b"9;chunk-signature="]),
    data=st.binary(max_size=200),
    label=st.sampled_from(["", "gzip", "deflate", "aws-chunked"]),
    step=st.integers(1, 50),
)
def test_any_bytes_are_bytes_or_damage(start: bytes, data: bytes, label: str, step: int) -> None:
    """Whatever comes under whatever label, nothing but damage is raised."""
    try:
        decoded = b"".join(Body(Pieces(start + data, step), max_bytes=MIB, coding=label))
    except DamagedImageError:
        return
    assert len(decoded) <= MIB


@pytest.mark.parametrize(
    ("data", "label", "words"),
    [
        pytest.param(gzip.compress(IMAGE)[:-40], "gzip", "incomplete or damaged", id="gzip-cut"),
        pytest.param(
            b"\x1f\x8b\x08" + bytes(50), "gzip", "incomplete or damaged", id="gzip-broken"
        ),
        pytest.param(b"\x8b\x02\x80" + bytes(50), "br", "compressed it (br)", id="brotli"),
        pytest.param(b"\x28\xb5\x2f\xfd" + bytes(50), "zstd", "compressed it (zstd)", id="zstd"),
        pytest.param(framed(IMAGE)[:-70], "aws-chunked", "incomplete or damaged", id="frames-cut"),
        pytest.param(b"5\r\n\x89PNG\rx" + bytes(2000), "aws-chunked", "frames", id="frames-broken"),
        pytest.param(b"<html>" * 9, "br", "XML or HTML", id="page-called-brotli"),
        pytest.param(gzip.compress(b'{"a": 1}' * 9), "gzip", "JSON", id="gzip-json"),
        pytest.param(
            gzip.compress(gzip.compress(IMAGE)), "gzip, gzip", "not a PNG", id="gzip-twice"
        ),
    ],
)
def test_what_cannot_be_decoded_is_named(data: bytes, label: str, words: str) -> None:
    """A body that no single decoding makes an image is refused, and the error says why."""
    assert words in str(failure(fetcher(Pieces(data), label), LINK))


def test_a_bomb_is_stopped_while_it_is_decoded() -> None:
    """Decoding ends at the cap, long before all of a bomb is read."""
    bomb = Pieces(gzip.compress(png(bytes(256 * MIB)), 1), step=1024)
    into = io.BytesIO()
    error = failure(fetcher(bomb, "gzip", max_image_bytes=MIB), LINK, into)
    assert "larger than the 1,048,576 bytes" in str(error)
    assert len(into.getvalue()) <= MIB
    assert bomb.read < 16 * 1024


def test_a_bomb_that_holds_nothing_is_stopped_too() -> None:
    """Bytes that decode to nothing count as well."""
    nothing = Pieces(gzip.compress(b"")[:10] + b"\x00\x00\x00\xff\xff" * MIB)
    error = failure(fetcher(nothing, "gzip", max_image_bytes=MIB), LINK)
    assert "larger than the 1,048,576 bytes" in str(error)


# Looking at the first bytes


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(IMAGE, "image/png", id="png"),
        pytest.param(IMAGE[:30], "image/png", id="beginning-of-a-png"),
        pytest.param(gzip.compress(IMAGE), "image/png", id="gzip"),
        pytest.param(b"\xff\xd8\xff\xe0" + bytes(99), "image/jpeg", id="jpeg"),
        pytest.param(b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", id="webp"),
        pytest.param(b"<html><body>docs</body></html>", None, id="page"),
        pytest.param(b'{"status": "QUEUED"}', None, id="json"),
        pytest.param(b"GIF89a" + bytes(99), None, id="gif"),
        pytest.param(b"x", None, id="one-byte"),
    ],
)
def test_a_probe_tells_the_type_by_the_first_bytes(data: bytes, expected: str | None) -> None:
    """What a link leads to is told to be an image, or none, without fetching the rest of it."""
    stream = Pieces(data + bytes(MIB) if len(data) > 90 else data, step=100)
    assert fetcher(stream).probe(LINK) == expected
    assert stream.read <= 300


@pytest.mark.parametrize(
    ("link", "answers"),
    [
        pytest.param(LINK, [404], id="not-found"),
        pytest.param(LINK, [500, 500, 500, 500], id="server-error"),
        pytest.param("https://10.0.0.1/a.png", [], id="unsafe"),
        pytest.param("ftp://images.example/a.png", [], id="not-https"),
    ],
)
def test_a_probe_that_cannot_look_says_so(link: str, answers: list[int]) -> None:
    """Where nothing can be fetched, it is an error and not said to be no image."""
    left = list(answers)
    transport = httpx.MockTransport(lambda _: httpx.Response(left.pop(0)))
    probing = Fetcher(transport=transport, sleep=lambda _: None)
    error = failure(probing, link, probe=True)
    assert not left
    assert error.not_an_image is False


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        pytest.param("data:image/png;base64,iVBORw0KGgoAAAANSUhEUg==", "image/png", id="png"),
        pytest.param("data:image/png,%3Chtml%3E", None, id="page"),
    ],
)
def test_a_probe_looks_at_inline_images_too(link: str, expected: str | None) -> None:
    """A `data:` URI is told by its own bytes, whatever it says of itself."""
    assert Fetcher().probe(link) == expected


@pytest.mark.parametrize(
    ("data", "expected"), [(b"<html>", True), (IMAGE[:-9], False), (b"", False)]
)
def test_an_error_says_whether_something_else_came(data: bytes, expected: bool) -> None:
    """Only what came and is no image is called that; what came in part may be one."""
    assert failure(fetcher(Pieces(data)), LINK).not_an_image is expected
