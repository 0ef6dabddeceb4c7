"""Classic codecs: exact rates, honest PSNR, and errors that say what is wrong."""

import inspect
import math

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from c3lite import data
from c3lite.data import yuv
from c3lite.evaluation import anchors as codecs
from c3lite.evaluation import metrics

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


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("wanted", [0.1, 1.7, 3.0, 50.0])
def test_at_bpp_finds_the_nearest_of_all_qualities(codec, wanted, image):
    found = codecs.at_bpp(image, codec, wanted)
    qualities = range(1, 101, 11 if codec is codecs.avif else 1)
    off = [abs(math.log(c.bpp / wanted)) for c in codecs.rd_curve(image, codec, qualities)]
    # the rate of a small WebP now and then falls by a few bytes where the quality rises
    assert abs(math.log(found.bpp / wanted)) <= min(off) + (0.01 if codec is codecs.webp else 0)
    assert found.bpp == codec(image, found.quality).bpp


def test_at_bpp_wants_a_positive_rate(image):
    for wanted in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="positive"):
            codecs.at_bpp(image, codecs.jpeg, wanted)


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
    with pytest.raises(TypeError):
        inspect.unwrap(codec)(image, 50.5)


# HEVC


@pytest.fixture(scope="module")
def clip():
    return data.bunny(patch=(4, 48, 64), start=(0, 60, 100))


@pytest.fixture(scope="module")
def coded_clips(clip):
    return codecs.hevc(clip, (37, 22, 30))


def test_hevc_rate_falls_and_quality_too_as_qp_rises(clip, coded_clips):
    assert [c.quality for c in coded_clips] == [37, 22, 30]
    coarse, fine, middle = coded_clips
    assert coarse.bpp < middle.bpp < fine.bpp
    assert 22 < coarse.psnr < middle.psnr < fine.psnr < 50
    for coded in coded_clips:
        assert coded.codec == "hevc"
        assert coded.bpp == 8 * coded.data_bytes / (4 * 48 * 64)
        assert coded.reconstruction.shape == clip.shape
        assert coded.psnr == metrics.quality(coded.reconstruction, clip)


def test_every_byte_of_the_stream_is_counted_and_it_is_what_it_says(clip, monkeypatch, tmp_path):
    streams = []
    encode = codecs._encode_hevc
    monkeypatch.setattr(codecs, "_encode_hevc",
                        lambda *args: streams.append(encode(*args)) or streams[-1])
    (coded,) = codecs.hevc(clip, (30,))
    file = tmp_path / "clip.hevc"
    file.write_bytes(streams[0])
    assert coded.data_bytes == file.stat().st_size
    # a decoder that knows nothing but the file sees the same pixels
    seen = data.video(file, matrix="bt601", full_range=False)
    assert (seen == coded.reconstruction).all()
    with av.open(str(file)) as container:
        assert container.streams.video[0].codec_context.framerate == codecs.FPS
        kinds = [PictureType(frame.pict_type).name for frame in container.decode(video=0)]
    assert kinds == ["I", "P", "P", "P"]
    assert b"x265" not in streams[0]  # its message about itself
    (again,) = codecs.hevc(clip, (30,))
    assert again.data_bytes == coded.data_bytes
    monkeypatch.setattr(codecs, "FPS", 50)
    (other_rate,) = codecs.hevc(clip, (30,))
    assert (other_rate.reconstruction == coded.reconstruction).all()


def test_hevc_without_loss_gives_back_the_planes_of_a_file(clip):
    planes = [yuv.to_planes(clip[:, t], "bt601", False) for t in range(4)]
    of_file = np.stack([yuv.to_rgb(p, "bt601", False) for p in planes], axis=1)
    again = [yuv.to_planes(of_file[:, t], "bt601", False) for t in range(4)]
    # but where the color of a plane is outside RGB
    same = np.mean([np.mean(a == b) for p, q in zip(planes, again, strict=True)
                    for a, b in zip(p, q, strict=True)])
    assert same > 0.99
    (fine,) = codecs.hevc(of_file, (1,))
    assert fine.psnr > 50


def test_motion_is_what_hevc_saves():
    still = data.moving_window(0, 0, frames=5, height=64, width=64)
    moving = data.moving_window(6, 0, frames=5, height=64, width=64)
    images = np.stack([data.crop(data.kodak(19), 300 + 90 * t, 200 - 30 * t, 64, 64)
                       for t in range(5)], axis=1)
    sizes = [codecs.hevc(x, (30,))[0].data_bytes for x in (still, moving, images)]
    assert 1.2 * sizes[0] < sizes[1] < sizes[2] / 1.2


def test_bad_clips_for_hevc(clip):
    plain = inspect.unwrap(codecs.hevc)
    with pytest.raises(ValueError, match=r"shape \(3, T, H, W\)"):
        plain(clip[:, 0])
    for bad in (clip[..., :47], clip[..., :8], clip[:, :, :33]):
        with pytest.raises(ValueError, match="even sides of at least 16"):
            codecs.hevc(bad)
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        codecs.hevc(clip + 1)
    for qp in (-1, 52):
        with pytest.raises(ValueError, match=f"from 0 to 51, not {qp}"):
            codecs.hevc(clip, (30, qp))
