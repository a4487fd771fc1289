"""Files of prompts: read right, whatever wrote them, or refused by the number of the line."""

import csv
import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from langchain_qwen_image.cli.prompts import Prompts
from langchain_qwen_image.schemas import is_blank


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(
    content: str | bytes, name: str = "p.txt", id_column: str | None = None
) -> list[tuple[int, Any]]:
    """Write a file, and return lines and arguments that are read from it, with ids if named."""
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    prompts = Prompts(name, None, id_column)
    try:
        rows = list(prompts)
        assert list(prompts) == rows, "it can be read again"
        return [tuple(row) if id_column else tuple(row[:2]) for row in rows]
    finally:
        prompts.close()


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        pytest.param("p.txt", "a fox\n\n  a heron \r\n", [(1, "a fox"), (3, "a heron")], id="txt"),
        pytest.param("p.TXT", "\ufeff狐狸, 雪", [(1, "狐狸, 雪")], id="txt with a mark"),
        pytest.param(
            "p.csv",
            'prompt,size\na fox,512x512\n"a ""red"" fox,\nin snow",\n\na heron\n',
            [
                (2, {"prompt": "a fox", "size": "512x512"}),
                (4, {"prompt": 'a "red" fox,\nin snow'}),
                (6, {"prompt": "a heron"}),
            ],
            id="csv",
        ),
        pytest.param(
            "p.csv",
            "\ufeffwatermark, prompt\r\nfalse,a fox\r\n",
            [(2, {"watermark": "false", "prompt": "a fox"})],
            id="csv with a mark",
        ),
        pytest.param(
            "p.jsonl",
            '{"prompt": "a fox", "watermark": false}\n\n"a heron"\n',
            [(1, {"prompt": "a fox", "watermark": False}), (3, "a heron")],
            id="jsonl",
        ),
    ],
)
def test_files_are_read(name: str, text: str, rows: list[tuple[int, Any]]) -> None:
    """Each kind gives the arguments with the number of the line, without what is blank."""
    expected = [(line, {"prompt": row} if isinstance(row, str) else row) for line, row in rows]
    assert rows_of(text, name) == expected


_TWO = "a café\nan owl\n"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(_TWO.encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xfe\xff" + _TWO.encode("utf-16-be"), id="UTF-16, big end first"),
        pytest.param(_TWO.encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(_TWO.encode("utf-16-be"), id="UTF-16 without a mark, big end first"),
        pytest.param(_TWO.strip().encode("utf-16-le"), id="UTF-16 without a mark or a last end"),
        pytest.param(_TWO.encode("utf-32"), id="UTF-32"),
        pytest.param(_TWO.encode("utf-8-sig"), id="UTF-8 with a mark"),
        pytest.param(_TWO.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(_TWO.replace("\n", "\r").encode(), id="CR"),
        pytest.param(_TWO.replace("\n", "\r").encode("utf-16"), id="CR in UTF-16"),
        pytest.param(_TWO.replace("\n", "\x85").encode(), id="NEL"),
        pytest.param(_TWO.replace("\n", "\u2028").encode(), id="line separator"),
        pytest.param(_TWO.replace("\n", "\u2029").encode("utf-16"), id="paragraph separator"),
        pytest.param(_TWO.replace("\n", "\x0b").encode(), id="vertical tab"),
        pytest.param(_TWO.replace("\n", "\x0c").encode(), id="form feed"),
        pytest.param(b"a caf\xc3\xa9\n\xef\xbb\xbfan owl\n", id="files joined, each with a mark"),
        pytest.param(f"{_TWO}\u200b\n\ufeff\n\u3000\u00ad\n".encode(), id="invisible lines"),
        pytest.param(_TWO.encode() + bytes(5000), id="padded with NUL"),
        pytest.param(_TWO.strip().encode() + bytes(3), id="padded with NUL in the last line"),
        pytest.param(_TWO.encode() + b"\x1a", id="Ctrl-Z at the end"),
        pytest.param(_TWO.encode() + b"\x1a\0\0", id="Ctrl-Z and NUL at the end"),
        pytest.param(_TWO.encode("utf-16-le") + bytes(4), id="UTF-16 padded with NUL"),
        pytest.param("\u200ba café\ufeff\nan owl \u200b\n".encode(), id="invisible at the ends"),
    ],
)
def test_a_text_is_read_whatever_wrote_it(content: bytes) -> None:
    """Encodings by their mark, line ends of all systems, and what pads or hides is left out."""
    assert [row["prompt"] for _, row in rows_of(content)] == ["a café", "an owl"]


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        pytest.param(b"a fox\na caf\xe9\n", 2, "not UTF-8", id="Latin-1"),
        pytest.param(b"a\n" * 9000 + b"caf\xe9\n", 9001, "not UTF-8", id="far down"),
        pytest.param("狐\n雪\n".encode("gb18030"), 1, "not UTF-8", id="GB 18030"),
        pytest.param("狐\n雪\n".encode("utf-16-le"), 1, "not UTF-8", id="Chinese UTF-16, no mark"),
        pytest.param(b"a fox\0an owl\0", 1, "NUL", id="parted by NUL"),
        pytest.param(b"a fox\nan\x1aowl\n", 2, "Ctrl-Z", id="Ctrl-Z in the middle"),
        pytest.param("a fox\n".encode("utf-32-le"), 1, "NUL", id="UTF-32 without a mark"),
        pytest.param("a fox\n".encode("utf-16") + b"a", 2, "not UTF-16", id="half a character"),
        pytest.param("a\n".encode("utf-16") + b"\x00\xd8\n\0", 2, "UTF-16", id="half a pair"),
        pytest.param("a fox\ncaf\ufffd\n".encode(), 2, "U+FFFD", id="lost in a conversion"),
    ],
)
def test_a_line_that_is_no_text_is_refused(content: bytes, line: int, says: str) -> None:
    """What cannot be read for certain is named by its line, before anything is paid for."""
    with pytest.raises(typer.BadParameter, match=rf"p\.txt, line {line}: ") as caught:
        rows_of(content)
    assert says in str(caught.value)


@given(st.lists(st.text(), max_size=6))
def test_no_image_of_nothing_is_bought(texts: list[str]) -> None:
    """Whatever a file has, no prompt that is read is blank."""
    content = "\n".join(texts).encode("utf-8", "surrogatepass")
    try:
        rows = rows_of(content, "h.txt")
    except typer.BadParameter:
        return
    assert [row["prompt"] for _, row in rows if is_blank(row["prompt"])] == []


@pytest.mark.parametrize(
    ("content", "row"),
    [
        pytest.param("Prompt,Size\na fox,512x512\n", {"size": "512x512"}, id="capitals"),
        pytest.param(
            "PROMPT , Negative Prompt\na fox,blur\n", {"negative_prompt": "blur"}, id="words"
        ),
        pytest.param("prompt;size\na fox;512x512\n", {"size": "512x512"}, id="semicolons"),
        pytest.param("prompt\tsize\na fox\t512x512\n", {"size": "512x512"}, id="tabs"),
        pytest.param("prompt|size\na fox|512x512\n", {"size": "512x512"}, id="bars"),
        pytest.param("sep=;\nprompt;size\na fox;512x512\n", {"size": "512x512"}, id="Excel's hint"),
        pytest.param(
            '"prompt";"negative_prompt"\na fox;"a,b;c"\n', {"negative_prompt": "a,b;c"}, id="quotes"
        ),
        pytest.param(
            "prompt,watermark\na fox, FALSE \n", {"watermark": "FALSE"}, id="Excel's FALSE"
        ),
        pytest.param("prompt,size\r\u200b,\ra fox,\r", {}, id="CR, and an invisible row"),
        pytest.param("prompt\na fox\n\0\0\0", {}, id="padded with NUL"),
    ],
)
def test_tables_are_read_whatever_wrote_them(content: str, row: dict[str, Any]) -> None:
    """Names of columns in any case, and the delimiter by which they are known."""
    [(_, found)] = rows_of(content, "p.csv")
    assert found == {"prompt": "a fox", **row}


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        pytest.param("sku,prompt\nA1,a fox\n", 1, "--id-column 'sku'", id="another column"),
        pytest.param("Prompt,prompt\na,b\n", 1, "twice", id="twice in capitals"),
        pytest.param("prompt\na fox, red\n", 2, "a cell that has a comma needs", id="comma"),
        pytest.param("prompt;size\na;b;c\n", 2, "a semicolon", id="semicolon"),
        pytest.param(
            "prompt\na fox\nprompt\nan owl\n", 3, "header line is repeated", id="files joined"
        ),
        pytest.param("prompt\u2028a fox\u2028an owl", 1, "is not an argument", id="line separator"),
    ],
)
def test_tables_that_cannot_be_meant(content: str, line: int, says: str) -> None:
    """A table that would buy something else than was meant is refused, with what to do."""
    with pytest.raises(typer.BadParameter, match=rf"p\.csv, line {line}: ") as caught:
        rows_of(content, "p.csv")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "column", "rows"),
    [
        pytest.param(
            "p.csv",
            "sku,prompt\n A-1 ,a fox\n00017,an owl\n",
            "sku",
            [(2, {"prompt": "a fox"}, "A-1"), (3, {"prompt": "an owl"}, "00017")],
            id="csv",
        ),
        pytest.param(
            "p.csv",
            "Prompt;SKU\na fox;=1+1\n",
            "sku",
            [(2, {"prompt": "a fox"}, "=1+1")],
            id="capitals",
        ),
        pytest.param(
            "p.jsonl",
            '{"id": 7, "prompt": "a fox"}\n{"id": "x", "prompt": "an owl"}\n',
            "id",
            [(1, {"prompt": "a fox"}, "7"), (2, {"prompt": "an owl"}, "x")],
            id="jsonl",
        ),
    ],
)
def test_ids_are_read(name: str, content: str, column: str, rows: list[Any]) -> None:
    """The named column is the row's id, and no argument."""
    assert rows_of(content, name, column) == rows


@pytest.mark.parametrize(
    ("name", "content", "column", "says"),
    [
        pytest.param(
            "p.csv", "prompt\na fox\n", "sku", "line 1: it names no column 'sku'", id="none"
        ),
        pytest.param(
            "p.csv", "sku,SKU,prompt\n1,2,a\n", "sku", "line 1: a column appears twice", id="twice"
        ),
        pytest.param("p.csv", "prompt,sku\na fox,\n", "sku", "line 2: expected an id", id="blank"),
        pytest.param(
            "p.csv", "prompt,sku\na fox\n", "sku", "line 2: expected an id", id="cell left off"
        ),
        pytest.param(
            "p.csv", 'prompt,sku\na,"x\ny"\n', "sku", "line 3: expected an id", id="line break"
        ),
        pytest.param("p.csv", f"prompt,sku\na,{'x' * 256}\n", "sku", "1 to 255", id="too long"),
        pytest.param("p.jsonl", '{"prompt": "a"}\n', "id", "line 1: expected an id", id="no key"),
        pytest.param(
            "p.jsonl", '{"id": 1.5, "prompt": "a"}\n', "id", "line 1: expected an id", id="fraction"
        ),
        pytest.param(
            "p.jsonl", '{"id": true, "prompt": "a"}\n', "id", "line 1: expected an id", id="true"
        ),
        pytest.param("p.jsonl", '"a fox"\n', "id", "line 1: expected an id", id="prompt alone"),
        pytest.param("p.csv", "prompt\na fox\n", "prompt", "names an argument", id="an argument"),
        pytest.param("p.txt", "a fox\n", "id", "needs a .csv or .jsonl", id="txt"),
    ],
)
def test_ids_that_cannot_be(name: str, content: str, column: str, says: str) -> None:
    """A row without a usable id is refused by its line."""
    with pytest.raises(typer.BadParameter) as caught:
        rows_of(content, name, column)
    assert says in str(caught.value)


def test_a_pipe_can_be_read_twice(here: Path) -> None:
    """A named pipe, as a shell's `<(…)` is one, is copied first."""
    os.mkfifo(here / "p.txt")
    writer = threading.Thread(target=lambda: (here / "p.txt").write_text("a fox\n"))
    writer.start()
    prompts = Prompts("p.txt", None)
    writer.join()
    assert [row.arguments for row in prompts] == [row.arguments for row in prompts]
    assert [row.arguments for row in prompts] == [{"prompt": "a fox"}]
    prompts.close()


@given(
    st.lists(
        st.text(
            alphabet=st.characters(exclude_categories=["C"], exclude_characters="\ufffd")
        ).filter(lambda prompt: prompt.strip() != "prompt"),  # the header again, which is refused
        max_size=8,
    )
)
def test_csv_takes_whatever_was_written_as_csv(prompts: list[str]) -> None:
    """What Python's csv module writes is read back as it was."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["prompt"])
    writer.writerows([prompt] for prompt in prompts)
    read = [row["prompt"] for _, row in rows_of(text.getvalue(), "h.csv")]
    assert read == [prompt for prompt in prompts if not is_blank(prompt)]


def test_prompts_stay_closed() -> None:
    """A file that is closed cannot be read any more."""
    Path("p.txt").write_text("a fox")
    prompts = Prompts("p.txt", None)
    prompts.close()
    with pytest.raises(ValueError, match="closed"):
        next(iter(prompts))
    with pytest.raises(typer.BadParameter):
        Prompts("p.md", None)
