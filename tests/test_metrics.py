"""PSNR, bpp and BD-rate: against published figures, and by their properties."""

import inspect
import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c3lite.evaluation import metrics, reference
from c3lite.evaluation.metrics import bd_rate, bpp, mean_frame_psnr, mse, psnr, quality

METHODS = ("cubic", "pchip")
methods = pytest.mark.parametrize("method", METHODS)

KODAK, CLIC, UVG = "kodak", "clic2020-professional-valid", "uvg"
AUTHORS = "C3 adaptive (authors, public results file)"


# MS-SSIM ----------------------------------------------------------------------------------------


def by_windows(x, y):
    """MS-SSIM of two (height, width), a window at a time."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at**2) / 4.5)
    window /= window.sum()
    product = 1.0
    for exponent in metrics.MS_SSIM_EXPONENTS:
        a, b = (np.lib.stride_tricks.sliding_window_view(v, (11, 11)) for v in (x, y))
        mean_a, mean_b = ((window * v).sum((-2, -1), keepdims=True) for v in (a, b))
        covariance, variance_a, variance_b = (
            (window * v).sum((-2, -1)) for v in (
                (a - mean_a) * (b - mean_b), (a - mean_a) ** 2, (b - mean_b) ** 2))
        similarity = (2 * covariance + 9e-4) / (variance_a + variance_b + 9e-4)
        mean_a, mean_b = mean_a[..., 0, 0], mean_b[..., 0, 0]
        luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        product *= (similarity * (luminance if exponent == metrics.MS_SSIM_EXPONENTS[-1] else 1)
                    ).mean() ** exponent
        x, y = (v[:len(v) // 2 * 2, :v.shape[1] // 2 * 2] for v in (x, y))
        x, y = (v.reshape(len(v) // 2, 2, -1, 2).mean((1, 3)) for v in (x, y))
    return product


def test_ms_ssim_is_that_of_every_window():
    rng = np.random.default_rng(0)
    image = 0.5 + 0.2 * np.sin(np.arange(192) / 7 + rng.normal(size=(3, 176, 1)))
    other = np.clip(0.1 + 0.8 * image + rng.normal(0, 0.1, image.shape), 0, 1)
    each = [by_windows(x, y) for x, y in zip(other, image, strict=True)]
    assert metrics.ms_ssim(other, image) == pytest.approx(np.mean(each), rel=1e-9)
    assert 0.3 < metrics.ms_ssim(other, image) < 0.99
    film = np.stack([image, image, other], 1)
    assert metrics.ms_ssim(film, np.stack([image] * 3, 1)) == pytest.approx(
        (2 + metrics.ms_ssim(other, image)) / 3)


@pytest.mark.parametrize("sides, value", [((161, 161), 1), ((160, 300), None), ((161, 175), 1)])
def test_ms_ssim_needs_161_pixels_on_a_side(sides, value):
    image = np.random.default_rng(1).uniform(size=(3, *sides))
    assert metrics.ms_ssim(image, image) == (value and pytest.approx(value))
    with pytest.raises(ValueError, match="cannot compare shape"):
        metrics.ms_ssim(image, image[:, :-1])


# PSNR -------------------------------------------------------------------------------------------


def test_psnr_of_a_constant_error():
    image = np.full((3, 4, 5), 0.5)
    assert mse(image + 0.1, image) == pytest.approx(0.01)
    assert psnr(image + 0.1, image) == pytest.approx(20)
    assert psnr(image - 0.01, image) == pytest.approx(40)
    assert psnr(image, image) == math.inf


def test_one_8_bit_step_is_48_decibels():
    image = np.zeros((3, 2, 2), np.float32)
    assert psnr(image + np.float32(1 / 255), image) == pytest.approx(20 * math.log10(255))


def test_float32_is_measured_in_float64():
    # In float32 a mean over so many small squares would lose digits.
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 3, 300, 400)).astype(np.float32)
    error = math.fsum(((x.astype(float) - y.astype(float)) ** 2).ravel()) / x.size
    assert mse(x, y) == pytest.approx(error, rel=1e-13)
    assert mse(jnp.asarray(x), y) == mse(x, y)
    assert type(psnr(jnp.asarray(x), jnp.asarray(y))) is float


def test_mean_frame_psnr_is_not_the_psnr_of_the_mean_error():
    video = np.zeros((3, 2, 4, 4))
    coded = video.copy()
    coded[:, 0] += 0.1
    coded[:, 1] += 0.001
    assert mean_frame_psnr(coded, video) == pytest.approx((20 + 60) / 2)
    assert psnr(coded, video) == pytest.approx(-10 * math.log10((1e-2 + 1e-6) / 2))


@pytest.mark.parametrize(
    ("image", "other", "message"),
    [
        (np.zeros((3, 4, 5)), np.zeros((3, 5, 4)), "cannot compare"),
        (np.zeros((3, 4, 5)), np.zeros((3, 1, 5)), "cannot compare"),  # would broadcast
        (np.zeros((3, 0, 5)), np.zeros((3, 0, 5)), "no pixel"),
    ],
)
def test_psnr_of_bad_shapes(image, other, message):
    for metric in (mse, psnr):
        with pytest.raises(ValueError, match=message):
            metric(image, other)
    with pytest.raises(ValueError, match=message):
        mean_frame_psnr(image[:, None], other[:, None])


def test_psnr_of_bytes_and_of_no_video():
    # As in a user's session, where annotations are not checked.
    pixels = np.zeros((3, 4, 4), np.uint8)
    for metric in (mse, mean_frame_psnr):
        with pytest.raises(ValueError, match="floats in"):
            inspect.unwrap(metric)(pixels, pixels)
    with pytest.raises(ValueError, match="a video has shape"):
        inspect.unwrap(mean_frame_psnr)(np.zeros((3, 4, 4)), np.zeros((3, 4, 4)))


def test_bpp():
    assert bpp(8 * 1000, (100, 50)) == 1.6
    assert bpp(np.float32(12), (2, 3, 4)) == 0.5
    for bits in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="bits"):
            bpp(bits, (4, 4))
    for shape in ((16,), (0, 4), (3, 2, 4, 4), ()):
        with pytest.raises(ValueError, match="shape"):
            bpp(1, shape)


# BD-rate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "codec", "anchor", "percent"),
    [
        (CLIC, "C3 (paper)", "VTM", 1.40),
        (CLIC, "C3 adaptive (paper)", "VTM", -1.98),
        (UVG, AUTHORS, "HEVC (medium, no bframes)", -28.89),
        (UVG, "C3 adaptive (paper)", "HEVC (medium, no bframes)", -28.92),
        (CLIC, "C3 (paper)", "COOL-CHICv2", -19.6),  # the paper prints -22.2
        (CLIC, "C3 adaptive (paper)", "COOL-CHICv2", -22.11),
        (KODAK, "C3 (paper)", "VTM", 5.43),
        (KODAK, "C3 adaptive (paper)", "VTM", 3.15),
    ],
)
def test_bd_rate_of_published_points(dataset, codec, anchor, percent):
    points, anchor_points = (
        reference.rd_points(dataset, codec),
        reference.rd_points(dataset, anchor),
    )
    assert bd_rate(*points, *anchor_points) == pytest.approx(percent, abs=0.01)


@pytest.mark.parametrize("codec", ["C3 (paper)", "C3 adaptive (paper)"])
def test_piecewise_cubics_agree_with_the_cubic_on_smooth_curves(codec):
    points, anchor = reference.rd_points(CLIC, codec), reference.rd_points(CLIC, "VTM")
    assert bd_rate(*points, *anchor, method="pchip") == pytest.approx(
        bd_rate(*points, *anchor), abs=0.3
    )


@st.composite
def curves(draw):
    """Points as codecs have them: rates of 0.05 to 3 bpp, about 6 dB each doubling or less."""
    n = draw(st.integers(4, 10))
    steps = draw(st.lists(st.floats(0.15, 0.8), min_size=n, max_size=n))
    slopes = draw(st.lists(st.floats(4, 8), min_size=n, max_size=n))
    log_rate = math.log(draw(st.floats(0.05, 0.1))) + np.cumsum(steps)
    start = draw(st.floats(26, 27))  # all curves have 27 ... 27.8 dB in common
    quality = np.cumsum(np.multiply(steps, slopes))
    return np.exp(log_rate), quality - quality[0] + start


@pytest.mark.filterwarnings("ignore:the cubic of")
@methods
@given(curve=curves(), factor=st.floats(0.2, 5))
def test_a_scaled_rate_is_that_percentage(method, curve, factor):
    rate, quality = curve
    assert bd_rate(rate, quality, rate, quality, method=method) == 0
    assert bd_rate(factor * rate, quality, rate, quality, method=method) == pytest.approx(
        100 * (factor - 1), rel=1e-7, abs=1e-7
    )


@pytest.mark.filterwarnings("ignore:the cubic of")
@methods
@given(curve=curves(), anchor=curves(), seed=st.integers(0, 9))
def test_order_does_not_matter_and_exchange_inverts(method, curve, anchor, seed):
    forward = bd_rate(*curve, *anchor, method=method)
    shuffled = np.random.default_rng(seed).permutation(len(curve[0]))
    assert bd_rate(curve[0][shuffled], curve[1][shuffled], *anchor, method=method) == forward
    backward = bd_rate(*anchor, *curve, method=method)
    assert math.log1p(forward / 100) == pytest.approx(-math.log1p(backward / 100), abs=1e-9)


def test_the_cubic_integrates_over_the_common_range_only():
    # Curves whose ln(rate) is a cubic, known in closed form, over different ranges.
    def log_rate(q, shift):
        t = (q - 35) / 10
        return -1 + 2 * t + 0.3 * t**2 + 0.2 * t**3 + shift * t

    q, anchor_q = np.linspace(30, 40, 6), np.linspace(33, 45, 7)
    percent = bd_rate(np.exp(log_rate(q, 0.1)), q, np.exp(log_rate(anchor_q, 0.0)), anchor_q)
    # The difference 0.1 t has the mean 0.1 * 0.15 over 33 ... 40 dB.
    assert percent == pytest.approx(100 * math.expm1(0.015), rel=1e-9)


def test_lists_of_numbers_and_points_of_equal_psnr():
    rate, quality = [0.1, 0.2, 0.4, 0.8, 0.81], [30, 33, 36, 39.0, 39.0]
    assert bd_rate(rate, quality, rate[:4], quality[:4]) == pytest.approx(0, abs=1)
    with pytest.raises(ValueError, match="different PSNR"):
        bd_rate(rate, quality, rate[:4], quality[:4], method="pchip")


GOOD = ([0.1, 0.2, 0.4, 0.8], [30.0, 33.0, 36.0, 39.0])


@pytest.mark.parametrize(
    ("rate", "quality", "message"),
    [
        (GOOD[0][:3], GOOD[1][:3], "at least 4 points"),
        (GOOD[0], [30.0, 30.0, 30.0, 39.0], "at least 4 points"),
        ([], [], "at least 4 points"),
        (GOOD[0], GOOD[1][:3], "one rate for each PSNR"),
        (np.ones((2, 2)), np.ones((2, 2)), "one rate for each PSNR"),
        ([0.0, 0.2, 0.4, 0.8], GOOD[1], "logarithm"),
        ([-0.1, 0.2, 0.4, 0.8], GOOD[1], "logarithm"),
        ([math.nan, 0.2, 0.4, 0.8], GOOD[1], "not finite"),
        (GOOD[0], [30.0, 33.0, 36.0, math.inf], "not finite"),
        (GOOD[0], [40.0, 43.0, 46.0, 49.0], "share no range"),
        (GOOD[0], [39.0, 43.0, 46.0, 49.0], "share no range"),  # they touch
    ],
)
@methods
def test_bad_curves(rate, quality, message, method):
    with pytest.raises(ValueError, match=message):
        bd_rate(rate, quality, *GOOD, method=method)
    with pytest.raises(ValueError, match=message):
        bd_rate(*GOOD, rate, quality, method=method)


# A cubic through points that are close in PSNR overshoots wildly between the others.
RUNAWAY = ([0.1, 0.2, 0.21, 1.0], [30.0, 30.05, 30.1, 40.0])


def test_a_cubic_that_runs_away_is_said_with_what_pchip_gives():
    expected = bd_rate(*RUNAWAY, *GOOD, method="pchip")
    assert 50 < expected < 150
    for curves, which in (((*RUNAWAY, *GOOD), "curve"), ((*GOOD, *RUNAWAY), "anchor")):
        pchip = bd_rate(*curves, method="pchip")
        with pytest.warns(UserWarning, match=f"the cubic of the {which} is not monotonic from "
                          rf"30\.00 to 39\.00 dB, .*; method=.pchip. gives {pchip:.2f} %") as said:
            percent = bd_rate(*curves)
        assert len(said) == 1 and f"BD-rate, {percent:,.2f} %," in str(said[0].message)
    with pytest.warns(UserWarning, match="pchip needs points of different PSNR"):
        bd_rate([*RUNAWAY[0], 1.1], [*RUNAWAY[1], 40.0], *GOOD)


@methods
def test_monotonic_curves_are_not_warned_about(method, recwarn):
    level = ([0.1] * 4, GOOD[1])  # neither rises nor falls
    for curve in (GOOD, level, ([0.1, 0.15, 0.3, 0.8], [30, 32, 36, 39])):
        bd_rate(*curve, *GOOD, method=method)
    bd_rate(*RUNAWAY, [0.1, 0.2, 0.4, 0.8], [39.5, 42, 45, 48])  # it rises where both are
    assert not recwarn.list


def test_an_unknown_method():
    with pytest.raises(ValueError, match="unknown method 'linear'"):
        inspect.unwrap(bd_rate)(*GOOD, *GOOD, method="linear")


def test_quality_is_the_psnr_of_an_image_and_the_frames_mean_of_a_video():
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 3, 4, 5, 6))
    assert quality(x[:, 0], y[:, 0]) == psnr(x[:, 0], y[:, 0])
    y[:, 0] = x[:, 0] + 0.01
    assert quality(x, y) == mean_frame_psnr(x, y) != psnr(x, y)
