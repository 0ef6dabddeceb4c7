"""Planes and RGB: known colors of the standards, and that nothing is lost on the way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c3lite.data import yuv

WAYS = [(matrix, full) for matrix in ("bt601", "bt709") for full in (False, True)]

# Pure colors in 8 bits: 601 limited as in every table of SMPTE color bars at 100 %, 709 as in
# those of HDTV bars, full range as in JPEG.
KNOWN = {
    ("bt601", False): {"white": (235, 128, 128), "black": (16, 128, 128), "red": (81, 90, 240),
                       "green": (145, 54, 34), "blue": (41, 240, 110)},
    ("bt709", False): {"white": (235, 128, 128), "black": (16, 128, 128), "red": (63, 102, 240),
                       "green": (173, 42, 26), "blue": (32, 240, 118)},
    ("bt601", True): {"white": (255, 128, 128), "black": (0, 128, 128), "red": (76, 85, 255),
                      "green": (150, 44, 21), "blue": (29, 255, 107)},
}
RGB = {"white": (1, 1, 1), "black": (0, 0, 0), "red": (1, 0, 0), "green": (0, 1, 0),
       "blue": (0, 0, 1)}


def block(values):
    """A 2 x 2 picture of one color."""
    return np.broadcast_to(np.array(values, np.float32)[:, None, None], (3, 2, 2))


@pytest.mark.parametrize("way", KNOWN)
def test_known_colors(way):
    for name, stored in KNOWN[way].items():
        planes = yuv.to_planes(block(RGB[name]), *way)
        assert tuple(int(plane[0, 0]) for plane in planes) == stored
        back = yuv.to_rgb(planes, *way)
        # two levels: that near are the stored, rounded, and clipped values of a pure color
        assert np.abs(back - block(RGB[name])).max() <= 2 / 255


@pytest.mark.parametrize("full", [False, True])
def test_gray_is_gray_in_both_matrices(full):
    grays = np.arange(256, dtype=np.uint8).reshape(16, 16)
    middle = np.full((8, 8), 128, np.uint8)
    results = [yuv.to_rgb([grays, middle, middle], matrix, full) for matrix in yuv.KR_KB]
    alone = yuv.to_rgb([grays], "bt601", full)
    for rgb in (*results, alone):
        assert (rgb == rgb[:1]).all()
        assert (rgb == alone).all()
    if full:
        assert (np.rint(255 * alone[0]) == grays).all()
    else:
        assert alone[0].ravel()[16] == 0 and alone[0].ravel()[235] == 1
        assert alone.min() == 0 and alone.max() == 1  # below black and above white is clipped


@given(st.data(), st.sampled_from(WAYS))
def test_planes_to_rgb_and_back_lose_nothing(data, way):
    # Chroma within 40 of gray and luma of the middle: all inside the RGB cube.
    side = st.integers(1, 4)
    h, w = data.draw(side), data.draw(side)
    y = data.draw(hnp.arrays(np.uint8, (2 * h, 2 * w), elements=st.integers(100, 150)))
    cb, cr = (data.draw(hnp.arrays(np.uint8, (h, w), elements=st.integers(98, 158)))
              for _ in range(2))
    rgb = yuv.to_rgb([y, cb, cr], *way)
    levels = 255 * rgb.astype(np.float64)
    assert np.abs(levels - np.rint(levels)).max() < 1e-4
    for plane, back in zip((y, cb, cr), yuv.to_planes(rgb, *way), strict=True):
        # In full range a step of luma is a step of RGB, whose rounding can then move a plane.
        assert np.abs(plane.astype(int) - back).max() <= way[1]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_part_is_that_part_of_the_whole(height, width, seed):
    rng = np.random.default_rng(seed)
    for down, across in ((1, 1), (1, 2), (2, 2)):
        chroma = (-(-height // down), -(-width // across))
        planes = [rng.integers(0, 256, s, np.uint8) for s in ((height, width), chroma, chroma)]
        whole = yuv.to_rgb(planes, "bt709", False)
        y, x = rng.integers(0, height), rng.integers(0, width)
        rows, columns = slice(y, height), slice(x, width)
        assert (yuv.to_rgb(planes, "bt709", False, 8, rows, columns) == whole[:, y:, x:]).all()
        # a chroma sample serves its block
        naive = [np.repeat(np.repeat(p, down, 0), across, 1)[:height, :width] for p in planes[1:]]
        assert (yuv.to_rgb([planes[0], *naive], "bt709", False) == whole).all()


def test_more_bits_are_the_same_colors_finer():
    rng = np.random.default_rng(1)
    planes = [rng.integers(60, 200, s, np.uint8) for s in ((6, 8), (3, 4), (3, 4))]
    for matrix in yuv.KR_KB:
        eight = yuv.to_rgb(planes, matrix, False)
        ten = yuv.to_rgb([p.astype(np.uint16) * 4 for p in planes], matrix, False, 10)
        assert np.abs(ten - eight).max() <= 0.5 / 255 + 1e-6
        assert (np.abs(255 * ten - np.rint(255 * ten)) > 0.1).any()  # not rounded to 8 bits


def test_chroma_is_the_mean_of_its_block_and_sides_are_even():
    rgb = np.zeros((3, 2, 2), np.float32)
    rgb[:, 0, 0] = (0, 0, 1)
    _, cb, _ = yuv.to_planes(rgb, "bt601", False)
    assert cb[0, 0] == 128 + 224 / 2 / 4
    for shape in ((3, 3, 2), (3, 2, 5)):
        with pytest.raises(ValueError, match=r"even sides, not \d x \d"):
            yuv.to_planes(np.zeros(shape, np.float32), "bt601", False)


def test_the_assumed_matrix():
    assert [yuv.assumed_matrix(h) for h in (240, 576, 719, 720, 1080)] == [
        "bt601", "bt601", "bt601", "bt709", "bt709"]
