"""Clips in patches: jobs of a sweep, and one result of a table again."""

import dataclasses
import math

import numpy as np
import pytest
from PIL import Image

import c3lite as c3
from c3lite import ablation
from c3lite.ablation import grid
from c3lite.ablation.images import Images
from c3lite.ablation.images import digest as image_digest
from c3lite.ablation.jobs import Part, Result
from c3lite.ablation.table import bd_table, joined_clips
from c3lite.data.patches import patch_size, split_patches
from tests import swept
from tests.small import SMALL

SHAPE = (5, 20, 34)
PATCH = (3, 12, 16)


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    return rng.random((3, *SHAPE), np.float32)


@pytest.fixture
def small_patches(monkeypatch):
    """Patches of 3x12x16, and from lambda = 2e-3 on of the whole clip."""
    monkeypatch.setattr(grid, "patch_size", lambda w, shape: PATCH if w < 2e-3 else shape)


def test_each_patch_is_a_job_and_the_table_sees_the_clip(clip, small_patches, tmp_path):
    rows = [ablation.Row("C3", (SMALL,))]
    planned = grid.plan(rows, {"image1": clip}, [1e-3, 4e-3], [0])
    cut = [(job, place) for job, (place,) in planned if place.patch.count > 1]
    parts = split_patches(clip, PATCH)
    assert len(cut) == len(parts) == 12 and len(planned) == 13
    assert planned[-1][0].image == "image1" and planned[-1][1][0].patch == Part()
    assert [place.patch.number for _, place in cut] == list(range(12))
    assert [place.patch.first_frame for _, place in cut] == [0] * 6 + [3] * 6
    images = Images([clip])
    images.patches("image1", PATCH)
    for (job, place), part in zip(cut, parts, strict=True):
        assert place.image == "image1" and job.shape == part.shape[1:]
        np.testing.assert_array_equal(images[job.image], part)
        assert job.image_sha256 == image_digest(part) == images.digest(job.image)
    assert cut[-1][0].image == "image1[3:5,12:20,32:34]"


def test_a_sweep_of_patches_is_a_table_of_clips(clip, tmp_path, monkeypatch):
    swept.patch(monkeypatch)
    monkeypatch.setattr(grid, "patch_size", lambda weight, shape: (3, 20, 34))
    weights = (2e-4, 5e-4, 1e-3, 1.5e-3)
    rows = ablation.knockouts(SMALL, ["soft-rounding"])
    results = list(ablation.sweep(rows, {"clip": clip}, weights, store=tmp_path, progress=False))
    assert len(results) == 2 * 4 * 2 and {r.image for r in results} == {"clip"}
    table = bd_table(results)
    assert [line.images for line in table.lines] == [1, 1]
    # the made-up law is one of bits per pixel, whatever the patch
    assert table.lines[1].bd_rate.value == pytest.approx(20)
    partial = bd_table(results[:-1])
    assert partial.lines[1].images == 0 and "no image" in partial.lines[1].note


def records(clip, noisy):
    """What the store would hold of each patch, of a reconstruction, and how often its bits."""
    for n, (x, y) in enumerate(zip(*(split_patches(v, PATCH) for v in (clip, noisy)), strict=True)):
        errors = np.square(x.astype(np.float64) - y).mean((0, 2, 3))
        made = swept.record(SMALL, f"part{n}", shape=x.shape[1:], bpp=0.1 + 0.01 * n)
        yield dataclasses.replace(made, frame_mse=errors.tolist(), loss=(
            errors.mean() + made.config["rd_weight"] * made.bpp))


def placed(records):
    return [Result("C3", "clip", 1e-3, 0, r, Part(n, 12, 0 if n < 6 else 3))
            for n, r in enumerate(records)]


def test_joined_patches_measure_as_the_whole_clip(clip):
    noisy = np.clip(clip + np.random.default_rng(1).normal(0, 0.03, clip.shape), 0, 1)
    made = list(records(clip, noisy.astype(np.float32)))
    (joined,) = joined_clips(placed(made)[::-1])
    r = joined.record
    assert joined[:4] == ("C3", "clip", 1e-3, 0) and r.image == "clip"
    assert r.pixels == math.prod(SHAPE)
    assert r.psnr_db == pytest.approx(c3.metrics.quality(noisy.astype(np.float32), clip))
    assert r.bpp * r.pixels == pytest.approx(sum(m.bpp * m.pixels for m in made))
    mse = c3.metrics.mse(noisy.astype(np.float32), clip)
    assert r.loss == pytest.approx(mse + r.config["rd_weight"] * r.bpp)
    # fits stored without each frame's error: nearly the same
    old = [dataclasses.replace(m, frame_mse=None) for m in made]
    assert joined_clips(placed(old))[0].record.psnr_db == pytest.approx(r.psnr_db, abs=0.05)


def test_each_patch_takes_its_best_setting(clip):
    made = list(records(clip, clip))
    better = [dataclasses.replace(m, loss=m.loss / 2, bits={"latents": 7.0}) for m in made[:1]]
    failed = [dataclasses.replace(m, error="diverged", loss=math.nan) for m in made[1:2]]
    plain = placed(made)
    others = [r._replace(record=m) for r, m in zip(plain, better + failed, strict=False)]
    (joined,) = joined_clips(plain + others)
    assert joined.record.bits["latents"] == 7 + sum(m.bits["latents"] for m in made[1:])
    assert joined.record.error is None
    (lost,) = joined_clips([r._replace(record=failed[0]) if n == 1 else r
                           for n, r in enumerate(plain)])
    assert lost.record.error == "diverged"
    assert joined_clips(plain[1:]) == []
    alone = [r._replace(patch=Part()) for r in plain[:1]]
    assert joined_clips(alone) == alone


def test_uvg_is_never_held_whole(monkeypatch, clip):
    asked = []

    def part_of_uvg(name, *, patch, start):
        asked.append((name, patch, start))
        return np.zeros((3, 2, 3, 4), np.float32)

    monkeypatch.setattr(c3.data, "uvg", part_of_uvg)
    images = Images(["uvg/Beauty", "uvg/ShakeNDry[10:70,0:360,0:480]"])
    assert images.shape("uvg/Beauty") == (600, 1080, 1920)
    for weight, count in ((1e-4, 960), (1e-3, 480), (4e-3, 192)):
        size = patch_size(weight, images.shape("uvg/Beauty"))
        names = images.patches("uvg/Beauty", size)
        assert len(names) == count
    assert names[-1] == "uvg/Beauty[525:600,810:1080,1600:1920]" and not asked
    assert images.patches("uvg/ShakeNDry[10:70,0:360,0:480]", (30, 180, 240))[-1] == (
        "uvg/ShakeNDry[40:70,180:360,240:480]")
    images.digest(names[-1])
    images.digest(names[-1])
    assert asked == [("Beauty", (75, 270, 320), (525, 810, 1600))]
    with pytest.raises(ValueError, match="the UVG set has"):
        Images(["uvg/Bunny"])


def test_hevc_of_a_clip_that_is_read_by_frames():
    clip = c3.data.moving_window(2, 1, frames=4, height=32, width=48)
    images = Images({"clip": clip})
    rates, psnrs = c3.codecs.hevc_curve(lambda: images.frames("clip"), (22, 37))
    points = c3.codecs.hevc(clip, (22, 37))
    np.testing.assert_allclose(rates, [p.bpp for p in points])
    np.testing.assert_allclose(psnrs, [p.psnr for p in points])


def test_a_clip_of_ones_own_is_named_like_the_others(tmp_path, monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (4, 20, 24, 3), np.uint8)
    (tmp_path / "video" / "mine").mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "video" / "mine" / f"{i}.png")
    monkeypatch.setenv("C3LITE_DATA", str(tmp_path))
    wanted = np.moveaxis(frames / np.float32(255), -1, 0)
    np.testing.assert_array_equal(Images(["video/mine"])["video/mine"], wanted)
    part = "video/mine[1:3,4:20,0:16]"
    np.testing.assert_array_equal(Images([part])[part], wanted[:, 1:3, 4:20, :16])
    monkeypatch.delenv("C3LITE_DATA")
    with pytest.raises(c3.data.DataError, match="set C3LITE_DATA"):
        Images([part])
