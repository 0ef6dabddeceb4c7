"""The HTML of a fit holds the picture, the numbers and the shares, and no script."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser

import jax
import numpy as np
import PIL.Image
import pytest

import c3lite as c3
from c3lite.evaluation import report
from c3lite.fitting.loop import progress_bar, show_progress
from c3lite.fitting.training import History, begin
from tests import made


class Page(HTMLParser):
    """Tags with their attributes, the text, and a check that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def picture(page):
    (attrs,) = [attrs for tag, attrs in page.tags if tag == "img"]
    kind, data = attrs["src"].split(",")
    assert kind == "data:image/jpeg;base64"
    return attrs, PIL.Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.fixture(scope="module")
def fit():
    return made.fit()


def test_numbers_and_picture(fit):
    page = Page(report.html(fit))
    size = np.ceil(sum(fit.bits.values()) / 8)
    for text in (f"{fit.psnr:.2f} dB", f"{fit.bpp_estimate:.4f} bits per pixel, networks included",
                 "reconstruction", "20×33", f"about {size:,.0f} bytes",
                 f"{24 / fit.bpp_estimate:,.0f} times smaller",
                 f"{fit.loss:.4g} at λ = 0.001", *(f"{b:,.0f} bits" for b in fit.bits.values())):
        assert text in page.text
    attrs, image = picture(page)
    assert image.size == (33, 20)
    assert f"{fit.psnr:.2f} dB" in attrs["alt"]
    assert int(attrs["width"]) == 33 * (480 // 33)
    shown = np.asarray(image).transpose(2, 0, 1) / 255
    assert c3.metrics.psnr(shown, fit.reconstruction.astype(float)) > 25
    assert "script" not in {tag for tag, _ in page.tags}


def test_ms_ssim_where_there_is_one(fit):
    assert fit.ms_ssim is None and "MS-SSIM" not in report.html(fit)
    large = made.fit((161, 163))
    assert f"{large.psnr:.2f} dB, MS-SSIM {large.ms_ssim:.4f}" in Page(report.html(large)).text


def test_a_notebook_shows_it(fit):
    assert fit._repr_html_() == report.html(fit)


def test_bar_is_the_bits(fit):
    widths = [float(w) for w in re.findall(r'style="width:([\d.]+)%', report.html(fit))]
    shares = 100 * np.array(list(fit.bits.values())) / sum(fit.bits.values())
    np.testing.assert_allclose(widths, shares, atol=0.006)


def test_readable_on_dark_pages(fit):
    # a text color of our own would vanish on one of the two themes
    colors = set(re.findall(r'[";]color:([^;"]+)', report.html(fit)))
    assert colors <= {"inherit", *report.PART_COLORS.values()}


def test_large_pictures_are_scaled_down_and_videos_show_a_frame(fit):
    wide = np.zeros((3, 50, 1201), np.float32)
    wide = dataclasses.replace(fit, image=wide, reconstruction=wide)
    _, image = picture(Page(report.html(wide)))
    assert image.size == (480, 20)
    frames = np.zeros((3, 3, 8, 8), np.float32)
    frames[:, 1] = 1
    video = dataclasses.replace(fit, image=frames, reconstruction=frames)
    _, image = picture(Page(report.html(video)))
    assert np.asarray(image).min() > 250


def test_an_interrupted_fit_says_so(fit):
    assert "interrupted" not in report.html(fit)
    assert "interrupted" in report.html(dataclasses.replace(fit, interrupted=True))


def test_a_collapsed_fit_says_so(fit):
    history = type(fit.history)(*(np.zeros(300, np.float32) for _ in fit.history))
    image = np.random.default_rng(0).random(fit.image.shape, np.float32)
    gray = np.broadcast_to(image.mean((1, 2), keepdims=True), image.shape)
    good = dataclasses.replace(fit, history=history, image=image, reconstruction=image)
    assert "collapsed" in report.html(dataclasses.replace(good, reconstruction=gray))
    assert "collapsed" not in report.html(good)


def test_the_bar_says_that_it_compiles_and_does_not_count_that_in_the_time_left(capsys):
    def last():
        return capsys.readouterr().out.split("\r")[-1]

    fit = made.fit((10, 10))
    state = begin(fit.image, fit.config, jax.random.key(0))
    half = np.full(10, 0.5, np.float32)
    steps = History(half, 151 * half, half, half)
    with progress_bar(True, 100, 0) as bar:
        assert "compiling" in last()
        bar.start_t = 0
        for now, told in ((30, "00:30, ?"), (31, "00:31, 00:08"), (32, "00:32, 00:07")):
            bar._time = lambda now=now: now
            show_progress(bar, state, steps)
            assert f"{told} left" in (text := last())
            assert "latents 0.755 bpp" in text and "stage 1" in text
