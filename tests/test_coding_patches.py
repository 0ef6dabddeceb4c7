"""Files of videos in patches: what goes in comes out, whole, by patch or frame by frame."""

import random
import struct
import warnings
import zlib

import numpy as np
import pytest

import c3lite as c3
from c3lite.coding import BitstreamError, files, header, payload
from c3lite.data.patches import patch_slices
from tests.coded import CONFIGS, coded
from tests.test_coding import mutated

SHAPE, PATCH = (7, 20, 26), (4, 12, 16)
LEARNED = c3.edit(CONFIGS["c3"], upsampling="learned", num_grids=3, context_size=(3, 3, 3))
VIDEO = c3.edit(CONFIGS["video"], synthesis_widths=(4,), entropy_widths=(4,))


@pytest.fixture(scope="session")
def clip():
    """Eight patches of four different codecs, those at the ends smaller."""
    kinds = [VIDEO, CONFIGS["video, mask"], CONFIGS["video, previous grid"], LEARNED]
    places = patch_slices(SHAPE, PATCH)
    fits = tuple(coded(kinds[n % 4], tuple(p.stop - p.start for p in place), seed=n)
                 for n, place in enumerate(places))
    return c3.VideoFit(fits, SHAPE, PATCH)


@pytest.fixture(scope="session")
def data(clip):
    return c3.encode(clip)


@pytest.fixture(scope="session")
def starts(data):
    """Where each patch's bytes begin."""
    return [patch.start for patch in files.read_table(data).patches]


def test_a_clip_comes_back_whole_by_patch_and_by_frame(clip, data):
    np.testing.assert_array_equal(c3.decode(data), clip.reconstruction)
    parts = [c3.decode_patch(data, n) for n in range(8)]
    for part, fit in zip(parts, clip.fits, strict=True):
        np.testing.assert_array_equal(part, fit.reconstruction)
    np.testing.assert_array_equal(np.stack(list(c3.decode_frames(data)), 1), clip.reconstruction)
    assert clip.psnr == c3.metrics.quality(clip.reconstruction, clip.video)


def test_every_byte_is_counted(clip, data, tmp_path):
    assert clip.bpp == 8 * len(data) / np.prod(SHAPE)
    info = c3.inspect(data)
    assert info.bytes == len(data) == info.header_bytes + sum(
        part.bytes - files.HEAD for part in info.patches)
    assert info.patches[1].config.mask_origins == ((-2, 3), (5, -7))
    assert "masks at (-2, 3), (5, -7)" in repr(info) and str(len(data)) in repr(info)
    assert info.as_dict()["patches"][0]["shape"] == (4, 12, 16)
    assert c3.save(clip, tmp_path / "clip.c3") == len(data)
    np.testing.assert_array_equal(c3.load(tmp_path / "clip.c3"), clip.reconstruction)


def test_a_position_of_a_mask_costs_its_bytes():
    near, far = (c3.edit(CONFIGS["video, mask"], mask_origins=((0, 0), (0, d))) for d in (0, 200))
    assert len(c3.encode(coded(far, (2, 5, 6)))) - len(c3.encode(coded(near, (2, 5, 6)))) >= 1


def test_the_frames_of_a_single_patch_are_those_of_the_whole():
    fit = coded(CONFIGS["video"], (5, 9, 11))
    frames = list(c3.decode_frames(c3.encode(fit)))
    np.testing.assert_array_equal(np.stack(frames, 1), fit.reconstruction)


def test_frames_need_one_row_of_patches_at_a_time(clip, data, monkeypatch):
    read, original = [], files._pixels
    monkeypatch.setattr(files, "_pixels", lambda file, backend: (
        read.append(file), original(file, backend))[1])
    seen = []
    for _ in c3.decode_frames(data):
        seen.append(len(read))
    assert seen == [4] * 4 + [8] * 3


def test_the_table_is_read_once(data, monkeypatch):
    read, calls = files.read_table, []
    monkeypatch.setattr(files, "read_table", lambda data: (calls.append(1), read(data))[1])
    c3.decode(data)
    list(c3.decode_frames(data))
    assert len(calls) == 2


def test_an_image_has_no_frames_or_patches():
    image = c3.encode(coded(CONFIGS["c3"], (8, 8)))
    with pytest.raises(BitstreamError, match="no frames"):
        next(c3.decode_frames(image))
    with pytest.raises(BitstreamError, match="not one of patches"):
        c3.decode_patch(image, 0)


# Damage -----------------------------------------------------------------------------------------


def test_a_damaged_patch_is_named_and_the_others_decode(clip, data, starts):
    broken = bytearray(data)
    broken[starts[5] + 30] ^= 4
    broken = bytes(broken)
    name = r"patch 5 \(frames 4 to 6, rows 0 to 11, columns 16 to 25\) is damaged"
    with pytest.raises(BitstreamError, match=name):
        c3.decode(broken)
    with pytest.raises(BitstreamError, match=name):
        c3.decode_patch(broken, 5)
    np.testing.assert_array_equal(c3.decode_patch(broken, 6), clip.fits[6].reconstruction)
    with pytest.warns(UserWarning, match=name):
        rest = c3.decode(broken, skip_damaged=True)
    place = np.zeros(SHAPE, bool)
    place[patch_slices(SHAPE, PATCH)[5]] = True
    np.testing.assert_array_equal(rest[:, ~place], clip.reconstruction[:, ~place])
    assert (rest[:, place] == 0.5).all()
    frames = c3.decode_frames(broken)
    for t in range(4):  # the damage comes later
        np.testing.assert_array_equal(next(frames), clip.reconstruction[:, t])
    with pytest.raises(BitstreamError, match=name):
        next(frames)


def test_a_cut_file_still_has_its_first_patches(clip, data, starts):
    cut = data[: starts[2] + 10]
    with pytest.raises(BitstreamError, match=r"patch 2 .* not complete"):
        c3.decode(cut)
    np.testing.assert_array_equal(c3.decode_patch(cut, 1), clip.fits[1].reconstruction)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        c3.decode(cut, skip_damaged=True)
    assert len(said) == 6


@pytest.mark.parametrize(("change", "words"), [
    (lambda d: d[:20], "ends within its header"), (lambda d: d + b"\0", "after the last patch"),
    (lambda d: d[:9] + b"\1" + d[10:], "table of patches|beyond|header|larger"),
    (lambda d: d[:3] + b"\xfe" + d[4:], "newer c3lite"), (lambda d: b"C3v", "ends within")])
def test_a_damaged_table_is_refused(data, change, words):
    with pytest.raises(BitstreamError, match=words):
        c3.decode(change(data))


def with_table(sides, patches=()):
    """The beginning of a file, whatever it says; `patches` are (length, CRC)."""
    out = header.Output()
    for side in sides:
        out.unsigned(side)
    for length, crc in patches:
        out.unsigned(length)
        out.data += struct.pack("<I", crc)
    return header.with_crc(files.MAGIC, 2, bytes(out.data))


@pytest.mark.parametrize("data", [
    with_table((2**21, 8, 8, 1, 8, 8)), with_table((0, 8, 8, 1, 8, 8)),
    with_table((8, 2**15, 8, 8, 8, 8)), with_table((8, 8, 8, 9, 8, 8)),
    with_table((2**20, 2**14, 2**14, 1, 1, 1)), with_table((2**16, 8, 8, 1, 8, 8)),
    with_table((2**12, 2**14, 2**14, 2**12, 2**14, 2**14), [(5, 0)]),
    with_table((1, 1, 1, 1, 1, 1), [(9, 0)])])
def test_limits_hold_before_anything_is_allocated(data, monkeypatch):
    monkeypatch.setattr(payload, "Plan", None)
    monkeypatch.setattr(files, "join_patches", None)
    with pytest.raises(BitstreamError, match=r"limit|larger|ends within|too large|not complete"):
        c3.decode(data)


def test_a_patch_in_the_place_of_another_is_refused(clip):
    body = c3.encode(clip.fits[0])[files.HEAD :]
    turned = with_table((4, 16, 12, 4, 16, 12), [(len(body), zlib.crc32(body))])
    with pytest.raises(BitstreamError, match="its place is"):
        c3.decode(turned + body)


def test_2000_damaged_clips_are_all_refused(clip):
    small = c3.VideoFit((coded(VIDEO, (2, 6, 5)), coded(VIDEO, (2, 6, 4))), (2, 6, 9), (2, 6, 5))
    data, seed = c3.encode(small), random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(2000):
        damaged = mutated(data, rng)
        if damaged == data:
            continue
        with pytest.raises(BitstreamError):
            c3.decode(damaged)


def test_damage_under_repaired_checksums_stays_within_limits():
    whole = (2, 6, 5)
    fit = coded(VIDEO, whole)
    body, seed = c3.encode(fit)[files.HEAD :], random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rng, refused = random.Random(seed), 0
    for _ in range(100):
        damaged = mutated(body, rng)
        table = with_table((*whole, *whole), [(len(damaged), zlib.crc32(damaged))])
        try:
            decoded = c3.decode(table + damaged)
        except BitstreamError:
            refused += 1
        else:  # the latents' own checksum: they are right, though a network may differ
            assert decoded.shape == (3, *whole)
    assert refused > 60


# Fitting ----------------------------------------------------------------------------------------


def test_a_clip_is_fitted_by_patches(capsys):
    x = c3.data.moving_window(2, 0, frames=3, height=8, width=24)
    config = c3.edit(VIDEO, steps=4, stage2_steps=1, parameter_steps=(1e-2,), num_grids=2,
                     context_size=(3, 3, 3), synthesis_residual_convs=0)
    fit = c3.fit_video(x, config, patch=(3, 8, 12))
    assert [part.shape for part in fit.fits] == [(3, 8, 12)] * 2
    assert "patch 2 of 2: 3 x 8 x 12" in capsys.readouterr().out
    np.testing.assert_array_equal(fit.video, x)
    np.testing.assert_array_equal(c3.decode(c3.encode(fit)), fit.reconstruction)
    assert fit.loss == pytest.approx(
        np.mean((fit.reconstruction - x) ** 2) + 1e-3 * fit.bpp_estimate, rel=1e-5)
    assert "2 patches of 3x8x12" in repr(fit)
    for wrong, words in [((3, 8, 25), "larger"), ((3, 8), "axes"), ((0, 8, 8), "at least one")]:
        with pytest.raises(ValueError, match=words):
            c3.fit_video(x, config, patch=wrong)
    with pytest.raises(ValueError, match="fit is for images"):
        c3.fit_video(x[:, 0], config)
