"""Widgets without a browser: what is sent to it, stills, and exported pages."""

import base64
import copy
import functools
import io
import json
import math
import re
import zlib
from pathlib import Path

import hypothesis.extra.numpy as npst
import ipywidgets
import jax
import jax.numpy as jnp
import nbformat
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from nbconvert import HTMLExporter

import c3lite as c3
from c3lite import plots, widgets
from c3lite.coding.payload import Plan
from c3lite.config import ADAPTIVE_UVG
from c3lite.evaluation import anchors as codecs
from c3lite.fitting import loop
from c3lite.fitting.training import History
from c3lite.model import latents, quantize
from c3lite.video.masks import LearnedOffsets
from c3lite.widgets import base, fitted, live
from c3lite.widgets.views import noisy_value
from tests import made
from tests.tools import run_notebooks

REPOSITORY = Path(__file__).parents[1]


def unpack(packed):
    """What `unpack` of common.js does."""
    flat = np.frombuffer(zlib.decompress(packed["zlib"]), packed["type"])
    return flat.reshape(packed["shape"])


@given(npst.arrays(np.int32, npst.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_pack_keeps_integers(array):
    np.testing.assert_array_equal(unpack(base.pack(array)), array)


def test_pack_takes_the_smallest_type():
    for values, kind in [([0, 255], "uint8"), ([-1, 100], "int8"), ([-1, 200], "int16"),
                         ([40_000], "int32"), ([0.5], "float32"), ([True], "uint8")]:
        assert base.pack(np.array(values))["type"] == kind


def test_lossless_pictures_are_lossless():
    x = np.random.default_rng(0).integers(0, 256, (3, 7, 11)) / np.float32(255)
    picture = base.lossless(x)
    assert (picture["width"], picture["height"]) == (11, 7)
    with PIL.Image.open(io.BytesIO(picture["bytes"])) as back:
        np.testing.assert_array_equal(np.asarray(back), np.rint(255 * x).transpose(1, 2, 0))
    with pytest.raises(ValueError, match="one frame"):
        base.lossless(np.zeros((3, 2, 7, 11)))


@pytest.fixture(scope="module")
def fit():
    return made.fit()


def photo(shape=(24, 32)):
    x = np.linspace(0, 1, 3 * np.prod(shape)).reshape(3, *shape)
    return (0.5 + 0.4 * np.sin(9 * x)).astype(np.float32)


def learned():
    heat = np.zeros((9, 9), np.float32)
    heat[5:7, 2:4] = 1
    config = c3.edit(ADAPTIVE_UVG[6], mask_shape=(2, 2), mask_origins=((1, -2),) * 3)
    return LearnedOffsets(config, (heat,) * 3, History(*[np.zeros(1, np.float32)] * 4), 1.0)


WIDGETS = {
    "latents": lambda: widgets.LatentExplorer(made.fit()),
    "context": lambda: widgets.ContextExplorer(made.fit()),
    "compare": lambda: widgets.compare({"a": photo(), "b": codecs.jpeg(photo(), 10)}),
    "live": lambda: widgets.LiveFit(photo(), c3.C3),
    "mask": lambda: widgets.MaskExplorer(learned(), np.stack([photo()] * 3, 1), (1, -2)),
    "quantizer": lambda: widgets.QuantizerExplorer(),
}
each_widget = pytest.mark.parametrize("name", WIDGETS)


@functools.cache
def widget_of(name):
    return WIDGETS[name]()


@each_widget
def test_carries_a_still_and_words_beside_the_view(name):
    widget = widget_of(name)
    data, metadata = widget._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    png = base64.b64decode(data["image/png"])
    assert len(png) <= base.STILL_BYTES
    with PIL.Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert len(picture.getcolors(256)) > 4  # it shows something
    assert len(data["text/plain"]) > 20
    assert metadata["image/png"]["alt"] == data["text/plain"]


@pytest.mark.parametrize("path", sorted(
    path for folder in ("notebooks", "ablations") for path in (REPOSITORY / folder).glob("*.ipynb")
), ids=lambda path: path.stem)
def test_saving_a_committed_notebook_would_not_change_it(path):
    content = json.loads(path.read_text("utf-8"))
    # as a JupyterLab with a kernel of its own makes it
    opened = copy.deepcopy(content)
    opened["metadata"]["kernelspec"]["display_name"] = "Python 3 (of somebody)"
    opened["metadata"]["language_info"] |= {"version": "3.99", "mimetype": "text/x"}
    run_notebooks.before_saving({"type": "notebook", "content": opened})
    assert opened == content


def test_saving_keeps_another_kernel():
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "julia"}}}
    run_notebooks.before_saving({"type": "notebook", "content": notebook})
    assert notebook["metadata"] == {"kernelspec": {"name": "julia"}}


def test_nbconvert_shows_the_still():
    data, metadata = widget_of("quantizer")._repr_mimebundle_()
    cell = nbformat.v4.new_code_cell("explorer", outputs=[nbformat.v4.new_output(
        "execute_result", data, metadata=metadata, execution_count=1)], execution_count=1)
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert data["image/png"][:100] in page


@each_widget
def test_exported_page_holds_everything(name, tmp_path):
    page = widgets.export_html(widget_of(name), tmp_path / "page.html").read_text("utf-8")
    assert not re.search(r"(?:src|href)=(?![\"']?data:)", page)  # nothing from elsewhere
    assert "https://" not in page and "import(" not in page
    assert page.count("</script>") == 2
    state = json.loads(re.search(r'id="state">(.*?)</script>', page, re.DOTALL).group(1))
    assert state["data"] and state["error"] == ""


def test_export_takes_only_its_own_widgets(tmp_path):
    with pytest.raises(TypeError, match="not HTML"):
        widgets.export_html(ipywidgets.HTML(), tmp_path / "page.html")


@pytest.mark.parametrize(("T", "a"), [(0.3, 2.0), (0.1, 1.0), (np.inf, 1.0)])
def test_noisy_value_is_what_sampling_gives(T, a):
    z = np.array([-0.7, 0.0, 0.3, 0.5], np.float32)
    mean, low, high = noisy_value(z, T, a)
    draws = quantize.noisy_round(jnp.tile(z[:, None], 20_000), T, a, jax.random.key(0))
    np.testing.assert_allclose(mean, draws.mean(1), atol=0.01)
    below, above = np.quantile(draws, (0.025, 0.975), axis=1)
    np.testing.assert_allclose((low, high), (below, above), atol=0.05)


def test_a_fit_is_sent_whole_and_small(fit):
    data = fitted.fitted(fit)
    symbols = np.concatenate([unpack(grid["symbols"]).ravel() for grid in data["grids"]])
    np.testing.assert_array_equal(symbols, fit.coded.symbols)
    total = sum(grid["total_bits"] for grid in data["grids"])
    assert math.isclose(total, fit.bits["latents"], rel_tol=1e-4)
    assert data["shape"] == [1, *fit.shape]
    assert [grid["shape"][1:] for grid in data["grids"]] == [
        list(s) for s in latents.grid_shapes(fit.config, fit.shape)]


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("path", [(1, 5), (7, 7), (5, 9, 17), (3, 20)])
def test_band_is_the_matrix(path, method):
    matrix = latents.path_matrix(path, method)
    packed = fitted.band(matrix)
    first, taps = unpack(packed["first"]), unpack(packed["taps"])
    again = np.zeros_like(matrix)
    for row, (start, values) in enumerate(zip(first, taps, strict=True)):
        again[row, start : start + len(values)] = values
    np.testing.assert_array_equal(again, matrix)


def test_decoding_steps_never_need_what_is_not_there(fit):
    config, shape = fit.config, fit.shape
    steps = np.concatenate([grid.ravel() for grid in plots.decoding_steps(config, shape)])
    assert steps.min() == 0 and steps.max() + 1 == sum(1 for _ in Plan(config, shape).steps())
    finest = steps[: math.prod(shape)].reshape(shape)
    for dy, dx in [(-1, 0), (0, -1), (-1, 3), (-3, -3)]:
        late = finest[-dy:, max(0, -dx) : shape[1] - max(0, dx)]
        early = finest[: shape[0] + dy, max(0, dx) : shape[1] + min(0, dx)]
        assert (early < late).all()


def test_compare_says_what_it_cannot_compare():
    with pytest.raises(ValueError, match="two pictures"):
        widgets.compare({"a": photo()})
    with pytest.raises(ValueError, match="one shape"):
        widgets.compare({"a": photo(), "b": photo((8, 8))})


def test_compare_names_rates_and_psnr(fit):
    jpeg = codecs.jpeg(fit.image, 30)
    words = widgets.compare({"original": fit.image, "C3": fit, "JPEG": jpeg}).describe()
    assert f"{8 * len(c3.encode(fit)) / fit.pixels:.3f} bits per pixel, {fit.psnr:.2f} dB" in words
    assert f"{jpeg.bpp:.3f} bits per pixel, {jpeg.psnr:.2f} dB" in words


SHORT = c3.edit(c3.C3, num_grids=3, steps=30, stage2_steps=4, parameter_steps=(1e-3,),
                context_size=(3, 3), entropy_widths=(4,), synthesis_widths=(4,),
                synthesis_residual_convs=1)


def test_live_fit_is_the_fit(monkeypatch):
    # the browser's messages in place of a mouse; every chunk is shown
    monkeypatch.setattr(live, "UPDATE_S", 0.0)
    watched = widgets.LiveFit(photo(), SHORT)
    seen = []
    watched.observe(lambda change: seen.append(change["new"]["runs"][0]), "live")
    with pytest.raises(RuntimeError, match="not started"):
        watched.fits  # noqa: B018
    watched._receive(None, {"command": "start"}, [])
    found = watched.wait()
    assert watched.status == "done" and watched.error == ""
    plain = c3.fit(photo(), SHORT, progress=False)
    np.testing.assert_array_equal(found.coded.symbols, plain.coded.symbols)
    np.testing.assert_array_equal(found.history.loss, plain.history.loss)
    assert not found.interrupted and watched.fit is found
    assert seen[-1]["done"] == 34 and len(seen[-1]["loss"]) == len(seen[-1]["step"])
    assert f"{found.psnr:.2f} dB" in watched.describe()
    assert watched.message == "done: the result is in .fit"
    watched._receive(None, {"command": "start"}, [])  # the same again
    watched._receive(None, {"command": "start"}, [])  # cannot be raised in the browser: shown
    assert "is running" in watched.error
    np.testing.assert_array_equal(watched.wait().coded.symbols, plain.coded.symbols)


def test_live_fit_pauses_resumes_and_stops_with_a_usable_fit():
    watched = widgets.LiveFit(photo(), c3.edit(SHORT, steps=10**6), c3.edit(
        SHORT, steps=10**6, rd_weight=1e-2), names=("less", "more"))
    watched.start()
    while watched._runs[0].seconds < 0.01 or not watched._runs[0].past:
        assert watched.wait(0.05) is None
    watched.pause()
    assert watched.status == "paused"
    watched.resume()
    assert watched.status == "running"
    with pytest.raises(RuntimeError, match="press stop"):
        watched.fit  # noqa: B018
    watched.stop()
    less, more = watched.fits  # waits for what is left to do
    assert less.interrupted and more.config.rd_weight == 1e-2
    assert len(c3.encode(less)) > 0
    # one seed: the first losses differ by the rate's weight alone
    assert less.history.mse[0] == more.history.mse[0]
    assert len(less.history.loss) == len(more.history.loss)
    assert watched.message == "stopped: the result is in .fits"


def test_two_live_fits_are_shown_at_one_step(monkeypatch):
    # the chunks of one are made longer than the other's, as a faster step would
    monkeypatch.setattr(live, "UPDATE_S", 0.0)
    monkeypatch.setattr(live, "UPDATE_SHARE", math.inf)
    sizes = iter([7, 3, 11, 2] * 1000)
    monkeypatch.setattr(loop, "_chunk_size", lambda seconds, steps: next(sizes))
    watched = widgets.LiveFit(photo(), SHORT, c3.edit(SHORT, rd_weight=1e-2))
    seen = []
    watched.observe(lambda change: seen.append(
        [run["done"] for run in change["new"]["runs"]]), "live")
    watched.start()
    assert [len(fit.history.loss) for fit in watched.wait()] == [34, 34]
    assert len(seen) > 3 and all(a == b for a, b in seen), seen


LONG = c3.edit(SHORT, steps=10**6)


def started():
    watched = widgets.LiveFit(photo(), LONG)
    watched.start()
    while watched._runs[0].done < 20:
        assert watched.wait(0.05) is None
    return watched


def test_a_live_fit_ends_when_another_one_starts_and_keeps_its_result():
    first = started()
    second = widgets.LiveFit(photo(), LONG)
    second.start()
    first.wait(60)
    assert first.status == "done"
    assert first.message == "another fit was started: the result is in .fit"
    assert first.fit.interrupted and len(c3.encode(first.fit)) > 0  # quantized when asked for
    assert second.status == "running"
    second.stop()
    second.wait()


def test_a_live_fit_ends_when_its_view_closes():
    watched = started()
    watched._receive(None, {"command": "close"}, [])
    watched.wait(60)
    assert watched.status == "done" and "view was closed" in watched.message
    watched = started()
    watched.close()
    watched._thread.join(60)
    assert watched.status == "done"


def test_a_live_fit_says_that_it_begins_on_a_window_and_can_be_stopped_there():
    height, width = photo().shape[1:]
    watched = widgets.LiveFit(photo(), c3.edit(LONG, window=(height // 4, width // 2)))
    watched.start()
    while "fitting a window of it first" not in watched.message:
        assert watched.wait(0.05) is None
    watched.stop()
    fit = watched.wait(120)
    assert fit.interrupted and len(fit.history.loss) <= 100 and len(c3.encode(fit)) > 0


def test_a_live_fit_says_that_it_compiles_and_tells_the_time():
    watched = widgets.LiveFit(photo(), SHORT, c3.edit(SHORT, num_grids=2))
    said, told = [], []
    watched.observe(lambda change: said.append(change["new"]), "message")
    watched.observe(lambda change: told.append(change["new"]), "clock")
    assert watched.clock["left_s"] is None
    watched.start()
    watched.wait()
    assert {"compiling A", "compiling B"} <= set(said)
    elapsed = [clock["elapsed_s"] for clock in told]
    assert elapsed == sorted(elapsed) and elapsed[-1] > 0
    assert told[-1]["left_s"] == 0


def test_the_still_of_a_live_fit_is_of_its_end(monkeypatch):
    shown = []
    monkeypatch.setattr(live, "publish_display_data", lambda data, metadata, **how: shown.append(
        (data["text/plain"], data["image/png"], how)))
    watched = widgets.LiveFit(photo(), SHORT)
    watched._ipython_display_()
    watched.start()
    assert not watched.figure().axes[0].lines  # before the first step no empty axes
    fit = watched.wait()
    watched._thread.join()
    (before, first, how), (after, last, again) = shown
    assert "not started" in before and f"{fit.psnr:.2f} dB" in after and first != last
    assert again["transient"] == how["transient"] and again["update"]
    curves = [ax for ax in watched.figure().axes if ax.lines]
    assert [ax.get_xlim() for ax in curves] == [(0, 34)] * 3
    assert all(line.get_xdata()[0] == 30 for ax in curves
               for line in ax.lines if line.get_linestyle() == "--")  # where stage 2 begins


def test_live_fit_shows_why_it_failed():
    watched = widgets.LiveFit(photo(), c3.edit(
        SHORT, learning_rate=1e30, gradient_clip=float("inf"), steps=200))
    watched.start()
    with pytest.raises(RuntimeError, match="the loss is"):
        watched.wait()
    assert watched.status == "failed" and "the loss is" in watched.error


def test_live_fit_refuses_bad_images_at_once():
    with pytest.raises(ValueError, match="must lie in"):
        widgets.LiveFit(255 * photo(), SHORT)


def test_a_clip_is_sent_whole():
    explorer = widgets.MaskExplorer(learned(), np.stack([photo()] * 3, 1))
    assert "dy 1 to 2, dx -2 to -1" in explorer.describe()
    for frame in explorer.data["clip"]["frames"]:
        with PIL.Image.open(io.BytesIO(frame["bytes"])) as picture:
            assert picture.size == (32, 24) and picture.format == "JPEG"
    found = made.fit((5, 12, 16), c3.edit(c3.C3, num_grids=2, context_size=(3, 3, 3)))
    frames = widgets.LatentExplorer(found).data["clip"]["frames"]
    assert len(frames) == 5
    for t, frame in enumerate(frames):
        with PIL.Image.open(io.BytesIO(frame["bytes"])) as picture:
            np.testing.assert_array_equal(
                np.asarray(picture), np.rint(255 * found.image[:, t]).transpose(1, 2, 0))
