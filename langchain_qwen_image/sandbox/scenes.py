"""Draw the scenes: one calm composition each, from a palette and a source of chance."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, ImageDraw


@dataclass(frozen=True, slots=True)
class Palette:
    """Hold the colours of a scene, as `#rrggbb`."""

    sky: tuple[str, str]
    shapes: tuple[str, str, str, str]
    """From near the sky's tone to the strongest."""
    accent: str


PALETTES = (
    Palette(("#fdebd3", "#f7c3a2"), ("#e9906f", "#b85a76", "#714270", "#382852"), "#ffd56b"),
    Palette(("#e2f4f4", "#aedde0"), ("#6fb6c0", "#3f8fa8", "#28627f", "#173b57"), "#ffcf70"),
    Palette(("#f1f5df", "#cfe2b6"), ("#98c288", "#5d9a72", "#36705c", "#1e4743"), "#f4a259"),
    Palette(("#f1ecfb", "#d3c8ec"), ("#ab9cda", "#7d6fbd", "#544a91", "#2f2a5c"), "#ffb5a7"),
    Palette(("#fff2d9", "#f5d49b"), ("#e0a458", "#c0703f", "#8b4533", "#4d2a2a"), "#5fa8a0"),
    Palette(("#2b3a63", "#6276ad"), ("#4f67a6", "#38508c", "#263a6e", "#15234a"), "#ffe9a8"),
    Palette(("#fdeef1", "#f7c9d1"), ("#e58ea0", "#c15b78", "#823a5e", "#4a2345"), "#7fc8c2"),
    Palette(("#eff2f5", "#cdd7e0"), ("#9fb1c1", "#6f879c", "#475d73", "#28384a"), "#ff8a5b"),
)
Canvas = ImageDraw.ImageDraw
Scene = Callable[[Canvas, int, int, Palette, random.Random], None]


def paint_scene(size: tuple[int, int], number: int, palette: Palette, seed: str) -> Image.Image:
    """Return a scene of that size; edges are drawn at twice the size, and so come out smooth."""
    width, height = size[0] * 2, size[1] * 2
    image = _sky(palette.sky, (width, height))
    # Chance must repeat, not surprise.
    chance = random.Random(seed)  # noqa: S311
    SCENES[number % len(SCENES)](ImageDraw.Draw(image), width, height, palette, chance)
    return image.reduce(2)


def _sky(colours: tuple[str, str], size: tuple[int, int]) -> Image.Image:
    ramp = Image.linear_gradient("L").resize((1, 256))
    upper, lower = (Image.new("RGB", (1, 256), colour) for colour in colours)
    return Image.composite(lower, upper, ramp).resize(size)


def _disc(canvas: Canvas, x: float, y: float, radius: float, colour: str) -> None:
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _hills(
    canvas: Canvas, width: int, height: int, palette: Palette, chance: random.Random
) -> None:
    _disc(canvas, width * chance.uniform(0.2, 0.8), height * 0.26, height * 0.13, palette.accent)
    for layer, colour in enumerate(palette.shapes):
        level, waves = height * (0.34 + 0.14 * layer), chance.uniform(0.6, 1.5)
        _ridge(canvas, width, height, level, height * 0.07, waves, chance, colour)


def _waves(
    canvas: Canvas, width: int, height: int, palette: Palette, chance: random.Random
) -> None:
    _disc(canvas, width * chance.uniform(0.15, 0.85), height * 0.17, height * 0.08, palette.accent)
    layers, first, waves = chance.randint(5, 10), chance.randrange(4), chance.uniform(1.5, 4)
    for layer in range(layers):
        level = height * (0.26 + 0.7 * layer / layers)
        colour = palette.shapes[(first + layer * 3) % 4]
        _ridge(canvas, width, height, level, height * 0.25 / layers, waves, chance, colour)


def _ridge(
    canvas: Canvas,
    width: int,
    height: int,
    level: float,
    swing: float,
    waves: float,
    chance: random.Random,
    colour: str,
) -> None:
    """Fill below a soft line; `waves` is how many times it goes up and down across the width."""
    phase, ripple = chance.uniform(0, math.tau), chance.uniform(0, math.tau)
    outline = [(0.0, float(height))]
    for step in range(97):
        turn = math.tau * waves * step / 96
        rise = math.sin(turn + phase) + 0.35 * math.sin(2.3 * turn + ripple)
        outline.append((width * step / 96, level + swing * rise))
    canvas.polygon([*outline, (width, height)], fill=colour)


def _peaks(
    canvas: Canvas, width: int, height: int, palette: Palette, chance: random.Random
) -> None:
    _disc(canvas, width * chance.uniform(0.2, 0.8), height * 0.2, height * 0.1, palette.accent)
    for layer, colour in enumerate(palette.shapes):
        foot = height * (0.62 + 0.12 * layer)
        for place in range(5 - layer // 2):
            x = width * (place + chance.uniform(0.1, 0.9)) / (5 - layer // 2)
            rise = height * chance.uniform(0.2, 0.42) * (1 - 0.15 * layer)
            _peak(canvas, (x, foot), rise, colour, palette.sky[0] if layer == 0 else None)
        canvas.rectangle((0, foot, width, height), fill=colour)


def _peak(
    canvas: Canvas, foot: tuple[float, float], rise: float, colour: str, snow: str | None
) -> None:
    x, base = foot
    canvas.polygon([(x - rise * 0.8, base), (x, base - rise), (x + rise * 0.8, base)], fill=colour)
    if snow:
        cap = base - rise * 0.74
        points = [(x, base - rise), (x + rise * 0.208, cap), (x + rise * 0.07, cap - rise * 0.05)]
        points += [(x - rise * 0.05, cap + rise * 0.03), (x - rise * 0.208, cap)]
        canvas.polygon(points, fill=snow)


def _city(canvas: Canvas, width: int, height: int, palette: Palette, chance: random.Random) -> None:
    _disc(canvas, width * chance.uniform(0.2, 0.8), height * 0.18, height * 0.09, palette.accent)
    for row, colour in enumerate(palette.shapes[1:]):
        left = -width * chance.uniform(0, 0.05)
        while left < width:
            right = left + width * chance.uniform(0.07, 0.14)
            top = height * (chance.uniform(0.24, 0.5) + 0.12 * row)
            canvas.rectangle((left, top, right, height), fill=colour)
            _windows(canvas, (left, top, right, height), palette.accent, chance)
            left = right + width * chance.uniform(0.0, 0.03)


def _windows(
    canvas: Canvas,
    house: tuple[float, float, float, float],
    colour: str,
    chance: random.Random,
) -> None:
    left, top, right, bottom = house
    pane = (right - left) / 7
    for level in range(int((bottom - top) / (pane * 2)) - 1):
        for column in range(3):
            if chance.random() < 0.3:
                x, y = left + pane * (1 + 2 * column), top + pane * (1 + 2 * level)
                canvas.rectangle((x, y, x + pane, y + pane), fill=colour)


SCENES: tuple[Scene, ...] = (_hills, _waves, _peaks, _city)
