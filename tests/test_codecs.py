"""Classic codecs: exact rates, honest PSNR, and errors that say what is wrong."""

import inspect
import math

import numpy as np
import PIL.features
import pytest

from c3lite import codecs, metrics

CODECS = (codecs.jpeg, codecs.webp, codecs.avif)
QUALITIES = (10, 30, 50, 70, 90)


@pytest.fixture(scope="module")
def image():
    """(3, 40, 56): a colored gradient, an edge, and a little noise, on 8-bit values."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:1:40j, 0:1:56j]
    smooth = np.stack([x, y, (x + y) / 2]) + 0.3 * (np.hypot(x - 0.5, y - 0.5) < 0.3)
    noisy = np.clip(0.7 * smooth + 0.03 * rng.standard_normal(smooth.shape), 0, 1)
    return (np.round(255 * noisy) / 255).astype(np.float32)


@pytest.mark.parametrize("codec", CODECS)
def test_rate_and_quality_rise_together(codec, image):
    curve = codecs.rd_curve(image, codec, QUALITIES)
    assert [c.quality for c in curve] == list(QUALITIES)
    assert {c.codec for c in curve} == {codec.__name__}
    assert (np.diff([c.bpp for c in curve]) > 0).all()
    assert (np.diff([c.psnr for c in curve]) > 0).all()
    assert 15 < curve[0].psnr and curve[-1].psnr < 50


@pytest.mark.parametrize("codec", CODECS)
def test_the_numbers_are_those_of_the_file_and_the_pixels(codec, image, monkeypatch):
    sizes = []
    save = codecs.PIL.Image.Image.save

    def spy(self, file, *args, **kwargs):
        save(self, file, *args, **kwargs)
        sizes.append(len(file.getvalue()))

    monkeypatch.setattr(codecs.PIL.Image.Image, "save", spy)
    coded = codec(image, 50)
    assert coded.data_bytes == sizes[0]
    assert coded.bpp == 8 * sizes[0] / (40 * 56)
    assert coded.reconstruction.shape == image.shape
    assert coded.reconstruction.dtype == np.float32
    assert coded.psnr == metrics.psnr(coded.reconstruction, image)
    levels = 255 * coded.reconstruction.astype(float)
    assert np.abs(levels - np.round(levels)).max() < 1e-4
    assert "reconstruction" not in repr(coded)


def test_channels_and_axes_are_in_order():
    # A wrong transpose keeps the size and would only cost PSNR.
    image = np.zeros((3, 16, 48))
    image[0, :, :16] = image[1, :8] = image[2, :, 32:] = 1
    for codec in CODECS:
        assert codec(image, 95).psnr > 25


def test_chroma_is_kept_where_the_encoder_can():
    # Columns that alternate between two colors of equal luma: 4:2:0 averages them away.
    image = np.full((3, 32, 32), 0.5, np.float32)
    image[0, :, ::2] += 0.299
    image[1, :, ::2] -= 0.299 * 0.299 / 0.587
    contrast = {}
    for codec in CODECS:
        red = codec(image, 95).reconstruction[0]
        contrast[codec.__name__] = float((red[:, ::2] - red[:, 1::2]).mean())
    assert contrast["jpeg"] > 0.25
    assert contrast["avif"] > 0.25
    assert contrast["webp"] < 0.1


def test_values_between_8_bit_levels_are_rounded(image):
    shifted = np.clip(image + 0.4 / 255, 0, 1)
    coded = codecs.jpeg(shifted, 60)
    assert coded.data_bytes == codecs.jpeg(image, 60).data_bytes
    assert coded.psnr == metrics.psnr(coded.reconstruction, shifted)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 9), (3, 7, 3)])
def test_tiny_images(codec, shape):
    coded = codec(np.full(shape, 0.5), 90)
    assert coded.reconstruction.shape == shape
    assert coded.psnr > 35
    assert math.isfinite(coded.bpp)


@pytest.mark.parametrize("codec", CODECS)
def test_bad_images(codec):
    plain = inspect.unwrap(codec)  # as in a user's session, where annotations are not checked
    for bad in (np.zeros((1, 8, 8)), np.zeros((8, 8, 3)), np.zeros((3, 0, 8)), np.zeros((8, 8))):
        with pytest.raises(ValueError, match=r"shape \(3, H, W\)"):
            plain(bad, 50)
    with pytest.raises(ValueError, match="uint8"):
        plain(np.zeros((3, 8, 8), np.uint8), 50)
    for value in (-0.01, 1.01, math.nan, math.inf):
        image = np.zeros((3, 8, 8))
        image[1, 2, 3] = value
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            codec(image, 50)


@pytest.mark.parametrize("codec", CODECS)
def test_bad_qualities(codec, image):
    for quality in (-1, 101):
        with pytest.raises(ValueError, match=f"to 100, not {quality}"):
            codec(image, quality)
    with pytest.raises(ValueError, match="an integer"):
        inspect.unwrap(codec)(image, 50.5)


def test_a_pillow_without_avif_says_so(image, monkeypatch):
    check = PIL.features.check
    monkeypatch.setattr(PIL.features, "check", lambda name: name != "avif" and check(name))
    with pytest.raises(RuntimeError, match="built without AVIF"):
        codecs.avif(image, 50)
    codecs.webp(image, 50)
