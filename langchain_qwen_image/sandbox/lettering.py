"""Write any text legibly with the fonts that the machine has.

Pillow's bundled font comes first, so that an image looks the same everywhere; it shows little
more than ASCII. Then come a Chinese and a general font, if the machine has them. What no font
shows is replaced by words, since a row of empty boxes says nothing.
"""

import functools
import itertools
import unicodedata
from collections.abc import Iterator
from typing import cast

from PIL import ImageDraw, ImageFont

_CHINESE = (
    *("NotoSansCJK-Regular", "NotoSansCJKsc-Regular", "NotoSansSC-Regular"),
    *("SourceHanSansSC-Regular", "SourceHanSans-Regular", "wqy-microhei", "wqy-zenhei"),
    *("DroidSansFallbackFull", "PingFang", "Hiragino Sans GB", "STHeiti Light"),
    *("msyh", "simhei", "simsun"),
)
_GENERAL = ("DejaVuSans", "NotoSans-Regular", "LiberationSans-Regular", "Arial Unicode", "arial")
_SYMBOLS = ("NotoEmoji-Regular", "Symbola", "seguisym", "Apple Symbols")
_PLAIN_FORMS = str.maketrans({"×": "x", "–": "-", "—": "-", "―": "-", "•": "*", "ß": "ss"})
_SCRIPTS = {
    "CJK": "Chinese",
    "IDEOGRAPHIC": "Chinese",
    "FULLWIDTH": "Chinese",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "HANGUL": "Korean",
}
_NOT_IN_ANY_FONT = "\U0010fffe"
_PROBE_PIXELS = 40


def legible(text: str) -> str:
    """Return the text on one line, with words in place of what no installed font shows."""
    shown = " ".join("".join(_drop_invisible(text)).split())
    kinds = [_stand_in_kind(character) for character in shown]
    for place in range(1, len(shown) - 1):
        before, after = kinds[place - 1], kinds[place + 1]
        if before is not None and before == after and not shown[place].isalnum():
            kinds[place] = before
    pieces = []
    for kind, run in itertools.groupby(zip(kinds, shown, strict=True), lambda pair: pair[0]):
        characters = "".join(character for _, character in run)
        pieces.append(_plain(characters) if kind is None else _stand_in(kind, characters))
    return "".join(pieces)


def wrap(text: str, pixels: int, width: float) -> list[str]:
    """Break a legible text into lines of at most `width`."""
    lines: list[str] = []
    while text:
        end = _line_end(text, pixels, width)
        lines.append(text[:end].strip())
        text = text[end:].lstrip()
    return lines


def text_width(text: str, pixels: int) -> float:
    """Return the width of a legible text, in pixels."""
    return sum(_font(number, pixels).getlength(run) for number, run in _runs(text))


def write(
    canvas: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, pixels: int, colour: str
) -> None:
    """Write a legible text; the corner is its left end on the base line."""
    left, base_line = corner
    for number, run in _runs(text):
        font = _font(number, pixels)
        canvas.text((left, base_line), run, fill=colour, font=font, anchor="ls")
        left += font.getlength(run)


def _line_end(text: str, pixels: int, width: float) -> int:
    """Return where the first line ends: at a space, beside a wide character, or else anywhere."""
    used, good_end = 0.0, 0
    for position, (number, character) in enumerate(_letters(text)):
        if position and _may_break(text[position - 1], character):
            good_end = position
        used += _advance(number, pixels, character)
        if used > width and character != " ":
            return good_end or max(position, 1)
    return len(text)


def _may_break(before: str, after: str) -> bool:
    if before in " -":
        return True
    return (_is_wide(before) or _is_wide(after)) and unicodedata.category(after)[0] != "P"


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in {"W", "F"}


def _drop_invisible(text: str) -> Iterator[str]:
    """Give the characters that have a shape, or separate words."""
    for character in text:
        if character.isspace() or unicodedata.category(character) in {"Cc", "Zl", "Zp"}:
            yield " "
        elif unicodedata.category(character) != "Cf" and not _is_variation(character):
            yield character


def _is_variation(character: str) -> bool:
    return "VARIATION SELECTOR" in unicodedata.name(character, "")


def _stand_in_kind(character: str) -> str | None:
    """Return which words stand in for a character: a script, `symbol`, or None for itself."""
    if _is_shown(character):
        return None
    script = unicodedata.name(character, "unnamed").split(" ")[0].split("-")[0]
    if script in _SCRIPTS:
        return _SCRIPTS[script]
    if _is_shown(_simpler(character)):
        return None
    return "symbol" if unicodedata.category(character)[0] in "SP" else script.capitalize()


def _stand_in(kind: str, characters: str) -> str:
    if kind == "symbol":
        names = [unicodedata.name(c, "symbol").lower() for c in characters if c != " "]
        return f"[{', '.join(names)}]"
    count = len(characters.replace(" ", ""))
    return f"[{count} {kind} character{'s' * (count != 1)}]"


def _plain(text: str) -> str:
    """Return the text with simpler forms of the characters that no font shows."""
    return "".join(c if _is_shown(c) else _simpler(c) for c in text)


@functools.lru_cache(maxsize=4096)
def _simpler(character: str) -> str:
    decomposed = unicodedata.normalize("NFKD", character.translate(_PLAIN_FORMS))
    simpler = "".join(c for c in decomposed if not unicodedata.combining(c))
    return simpler if simpler and _is_shown(simpler) else character


def _is_shown(text: str) -> bool:
    return all(_font_of(character) is not None for character in text)


def _runs(text: str) -> Iterator[tuple[int, str]]:
    """Give the text in runs of one font, with the font's number."""
    for number, letters in itertools.groupby(_letters(text), lambda letter: letter[0]):
        yield number, "".join(character for _, character in letters)


def _letters(text: str) -> Iterator[tuple[int, str]]:
    """Give each character with its font; what is between words keeps the font before it.

    Right-to-left words must be drawn together to come out in their order.
    """
    current = 0
    for character in text:
        if character.isalnum() or not _has(current, character):
            current = _font_of(character) or 0
        yield current, character


def _font_of(character: str) -> int | None:
    return next((n for n in range(1 + len(_font_files())) if _has(n, character)), None)


@functools.lru_cache(maxsize=16384)
def _has(number: int, character: str) -> bool:
    """Return whether a font shows a character: Pillow tells only by the shape that it draws."""
    font = _font(number, _PROBE_PIXELS)
    if character.isspace():
        return character == " "
    return _shape(font, character) != _shape(font, _NOT_IN_ANY_FONT)


def _shape(font: ImageFont.FreeTypeFont, character: str) -> tuple[object, ...]:
    mask = font.getmask(character)
    return mask.size, bytes(mask), font.getlength(character)


@functools.lru_cache(maxsize=16384)
def _advance(number: int, pixels: int, character: str) -> float:
    return _font(number, pixels).getlength(character)


@functools.lru_cache(maxsize=64)
def _font(number: int, pixels: int) -> ImageFont.FreeTypeFont:
    if number:
        return ImageFont.truetype(_font_files()[number - 1], pixels)
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(pixels))


@functools.cache
def _font_files() -> tuple[str, ...]:
    """Return the fonts to fall back to: the first of each list that Pillow finds, Chinese first."""
    found = (
        next(filter(None, map(find_font, names)), None) for names in (_CHINESE, _GENERAL, _SYMBOLS)
    )
    return tuple(file for file in found if file)


def find_font(name: str) -> str | None:
    """Return the file of an installed font, or None."""
    try:
        return str(ImageFont.truetype(name, _PROBE_PIXELS).path)
    except OSError:
        return None


def chinese_font() -> str | None:
    """Return the file of the font that shows Chinese, or None where there is none."""
    return next(filter(None, map(find_font, _CHINESE)), None)
