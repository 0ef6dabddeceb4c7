"""Pictures on which a fit may stay of one color: nearly white, nearly black, saturated."""

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont


def page(height=128, width=192, seed=0):
    """Dark text on white."""
    rng, picture, draw = _blank(height, width, (255, 255, 255), seed)
    size = max(8, height // 12)
    for y in range(size // 2, height - size, 2 * size):
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz   "), 2 * width // size)
        draw.text((size // 2, y), "".join(letters), (20, 20, 20), PIL.ImageFont.load_default(size))
    return _array(picture)


def screenshot(height=128, width=192, seed=0):
    """Panels, icons and a few words on light gray."""
    rng, picture, draw = _blank(height, width, (240, 242, 245), seed)
    row = max(4, height // 9)
    draw.rectangle((0, 0, width, row), (50, 90, 160))
    draw.rectangle((0, row, width // 5, height), (225, 228, 233))
    draw.rectangle((width // 4, 2 * row, width - row, height - row), (255, 255, 255),
                   (200, 200, 205))
    font = PIL.ImageFont.load_default(max(8, row * 2 // 3))
    for n in range(6):
        y = row * (n + 1) + row // 3
        color = tuple(int(c) for c in rng.integers(0, 256, 3))
        draw.rectangle((row // 3, y, row, y + row // 2), color)
        draw.text((width // 4 + row // 2, y + row), "some words", (30, 30, 30), font)
    return _array(picture)


def night(height=128, width=192, seed=0):
    """A few bright points on nearly black."""
    rng, picture, draw = _blank(height, width, (2, 2, 4), seed)
    for _ in range(max(6, height * width // 400)):
        y, x, gray = (int(v) for v in rng.integers(0, (height, width, 256)))
        draw.point((x, y), (gray, gray, gray))
    return _array(picture)


def red(height=128, width=192, seed=0):
    """Shapes in shades of saturated red."""
    _, picture, draw = _blank(height, width, (255, 0, 0), seed)
    draw.ellipse((width // 4, height // 4, width // 2, 3 * height // 4), (255, 60, 0))
    draw.rectangle((5 * width // 8, height // 3, 7 * width // 8, 2 * height // 3), (200, 0, 0))
    return _array(picture)


def line_art(height=128, width=192, seed=0):
    """Thin black lines and circles on white."""
    rng, picture, draw = _blank(height, width, (255, 255, 255), seed)
    for _ in range(height // 8):
        (y, x), (y2, x2) = rng.integers(0, (height, width), (2, 2)).tolist()
        draw.line((x, y, x2, y2), (0, 0, 0))
        radius = int(rng.integers(3, height // 3))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), None, (0, 0, 0))
    return _array(picture)


PICTURES = {"page of text": page, "screenshot": screenshot, "night": night, "red": red,
            "line art": line_art}


def flat(value, height=128, width=192):
    """All of one gray."""
    return np.full((3, height, width), value, np.float32)


def clip(picture, frames=4):
    """A picture that moves left by two columns a frame."""
    return np.stack([np.roll(picture, -2 * t, axis=2) for t in range(frames)], 1)


def _blank(height, width, color, seed):
    picture = PIL.Image.new("RGB", (width, height), color)
    return np.random.default_rng(seed), picture, PIL.ImageDraw.Draw(picture)


def _array(picture):
    return (np.asarray(picture).transpose(2, 0, 1) / 255).astype(np.float32)
