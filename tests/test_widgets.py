"""Widgets without a browser: what is sent to it, stills, and exported pages."""

import base64
import io
import json
import re
import zlib

import hypothesis.extra.numpy as npst
import ipywidgets
import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from hypothesis import given

import c3lite as c3
from c3lite import quantize, widgets
from c3lite.widgets import base
from c3lite.widgets.quantizer import noisy_value


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


WIDGETS = {
    "quantizer": lambda: widgets.QuantizerExplorer(),
    "quantizer without soft-rounding": lambda: widgets.QuantizerExplorer(c3.COOL_CHIC),
}
each_widget = pytest.mark.parametrize("name", WIDGETS)


@each_widget
def test_carries_a_still_and_words_beside_the_view(name):
    widget = WIDGETS[name]()
    data, metadata = widget._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    png = base64.b64decode(data["image/png"])
    assert len(png) <= base.STILL_BYTES
    with PIL.Image.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        assert len(picture.getcolors(256)) > 4  # it shows something
    assert len(data["text/plain"]) > 20
    assert metadata["image/png"]["alt"] == data["text/plain"]


@each_widget
def test_exported_page_holds_everything(name, tmp_path):
    page = widgets.export_html(WIDGETS[name](), tmp_path / "page.html").read_text("utf-8")
    assert not re.search(r"(?:src|href)=(?![\"']?data:)", page)  # nothing from elsewhere
    assert "https://" not in page and "import(" not in page
    assert page.count("</script>") == 2
    state = json.loads(re.search(r'id="state">(.*?)</script>', page, re.DOTALL).group(1))
    assert state["data"] and state["error"] == ""


def test_export_takes_only_its_own_widgets(tmp_path):
    with pytest.raises(TypeError, match="not HTML"):
        widgets.export_html(ipywidgets.HTML(), tmp_path / "page.html")


@pytest.mark.parametrize("second_is_s", [False, True])
@pytest.mark.parametrize(("T", "a"), [(0.3, 2.0), (0.1, 1.0), (np.inf, 1.0)])
def test_noisy_value_is_what_sampling_gives(T, a, second_is_s):
    z = np.array([-0.7, 0.0, 0.3, 0.5], np.float32)
    mean, low, high = noisy_value(z, T, a, second_is_s)
    draws = quantize.noisy_round(jnp.tile(z[:, None], 20_000), T, a, jax.random.key(0), second_is_s)
    np.testing.assert_allclose(mean, draws.mean(1), atol=0.01)
    below, above = np.quantile(draws, (0.025, 0.975), axis=1)
    np.testing.assert_allclose((low, high), (below, above), atol=0.05)
