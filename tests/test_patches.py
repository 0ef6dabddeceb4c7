"""Patches: that they cover a clip exactly, the paper's sizes, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import c3lite as c3
from c3lite.data.patches import patch_slices

shapes_and_patches = st.lists(st.integers(1, 7), min_size=2, max_size=3).flatmap(
    lambda shape: st.tuples(
        st.just(tuple(shape)), st.tuples(*(st.integers(1, side) for side in shape))))


@given(shapes_and_patches)
def test_split_and_join_are_inverse(drawn):
    shape, patch = drawn
    video = np.arange(3 * np.prod(shape), dtype=np.float32).reshape(3, *shape)
    parts = c3.split_patches(video, patch)
    assert (c3.join_patches(parts, shape) == video).all()
    assert len(parts) == np.prod([-(-side // p) for side, p in zip(shape, patch, strict=True)])
    # each value once; whole patches but for the last along each axis, in raster order
    assert sorted(v for part in parts for v in part.ravel()) == list(range(video.size))
    assert parts[0].shape[1:] == patch
    for part in parts:
        assert all(1 <= p <= q for p, q in zip(part.shape[1:], patch, strict=True))
    corners = [part[0].flat[0] for part in parts]
    assert corners == sorted(corners)


def test_remainders():
    video = np.arange(3 * 5 * 4 * 7, dtype=np.float32).reshape(3, 5, 4, 7)
    parts = c3.split_patches(video, (2, 4, 3))
    assert [p.shape[1:] for p in parts] == [
        (2, 4, 3), (2, 4, 3), (2, 4, 1), (2, 4, 3), (2, 4, 3), (2, 4, 1),
        (1, 4, 3), (1, 4, 3), (1, 4, 1)]
    assert (parts[4] == video[:, 2:4, :, 3:6]).all()
    assert parts[4].base is not None  # no copy


def test_the_papers_sizes_and_that_uvg_has_no_remainder():
    assert c3.patch_size(1e-4) == c3.patch_size(2e-4) == (30, 180, 240)
    assert c3.patch_size(2.1e-4) == c3.patch_size(1e-3) == (60, 180, 240)
    assert c3.patch_size(1.1e-3) == c3.patch_size(2e-2) == (75, 270, 320)
    for rd_weight in (1e-4, 1e-3, 1e-2):
        size = c3.patch_size(rd_weight)
        for frames in (600, 300):
            parts = patch_slices((frames, 1080, 1920), size)
            assert all(s.stop - s.start == p for part in parts
                       for s, p in zip(part, size, strict=True))


def test_a_small_clip_is_one_patch():
    assert c3.patch_size(1e-3, (8, 64, 960)) == (8, 64, 240)
    for bad in (0, -1e-3, float("nan")):
        with pytest.raises(ValueError, match="greater than 0"):
            c3.patch_size(bad)
    with pytest.raises(ValueError, match="3 axes"):
        c3.patch_size(1e-3, (64, 96))


def test_bad_patches():
    video = np.zeros((3, 4, 6, 8), np.float32)
    with pytest.raises(ValueError, match=r"4 x 7 x 8 is larger than the clip of 4 x 6 x 8"):
        c3.split_patches(video, (4, 7, 8))
    with pytest.raises(ValueError, match="at least one pixel along each axis, not 0 x 6 x 8"):
        c3.split_patches(video, (0, 6, 8))
    with pytest.raises(ValueError, match="2 axes, 6 x 8, does not cut a clip of 3"):
        c3.split_patches(video, (6, 8))
    with pytest.raises(ValueError, match="no pixel in a clip of 0 x 6 x 8"):
        c3.split_patches(video[:, :0], (1, 6, 8))


def test_bad_joins():
    parts = c3.split_patches(np.zeros((3, 4, 6, 8), np.float32), (2, 6, 5))
    with pytest.raises(ValueError, match="has 4 patches of 2 x 6 x 5, not 3"):
        c3.join_patches(parts[:3], (4, 6, 8))
    with pytest.raises(ValueError, match=r"patch 1 has shape \(3, 2, 6, 5\)"):
        c3.join_patches([parts[0], parts[0], *parts[2:]], (4, 6, 8))
    with pytest.raises(ValueError, match="no patches"):
        c3.join_patches([], (4, 6, 8))
