"""The decoder in JavaScript beside the one in Python."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from c3lite import plots
from c3lite.coding import pixels as decoder
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.model import latents
from c3lite.widgets import base
from c3lite.widgets.base import in_json
from c3lite.widgets.fitted import fitted
from tests import coded
from tests.browser import fits
from tests.tools import lab_shot

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make extras EXTRAS=browser")
if not Path(lab_shot.CHROMIUM).exists():
    pytest.skip(f"no Chromium at {lab_shot.CHROMIUM}: apt-get install chromium, or set CHROMIUM",
                allow_module_level=True)


@pytest.fixture(scope="module")
def page():
    with playwright.sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=lab_shot.CHROMIUM, args=lab_shot.ARGS)
        yield browser.new_page()
        browser.close()


def run(page, fit, code):
    """Evaluate JavaScript with `codec`, the fit's, in scope."""
    restore = (base.STATIC / "page.js").read_text().partition("const state")[0]
    data = json.dumps(fitted(fit), default=in_json)
    return page.evaluate(f"""async () => {{
      {base.script("codec.js")}
      {restore}
      const codec = new FittedCodec(await unpack(restore({data})));
      {code} }}""")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activates_as_python_does(page, name):
    x = np.linspace(-10, 10, 1001, dtype=np.float32)
    y = page.evaluate(f"""() => {{
      {base.script("codec.js")}
      const y = Float64Array.from({x.tolist()});
      activation("{name}")(y, 1, y.length - 1);
      return [...y]; }}""")
    assert y[0] == x[0]  # is not to be touched
    np.testing.assert_allclose(y[1:], ACTIVATIONS[name].decode(x)[1:], atol=1e-5)


def test_an_activation_that_it_lacks_is_an_error(page):
    fit = fits.fit((37, 50), fits.CONFIGS["C3"])
    with pytest.raises(playwright.Error, match='does not have the activation "swish"'):
        run(page, fit, 'new FittedCodec({ ...codec, activation: "swish" });')


PREDICT = """return codec.grids.map(({ shape: [T, H, W] }, n) => {
  const all = [];
  for (let t = 0; t < T; t++) for (let y = 0; y < H; y++) for (let x = 0; x < W; x++) {
    all.push(codec.predict(n, [t, y, x]).bits);
  }
  return all; });"""


@pytest.mark.parametrize("name", fits.CONFIGS)
def test_decodes_and_predicts_what_python_does(page, name):
    fit = fits.fit(fits.shape_of(name), fits.CONFIGS[name])
    x = fit.reconstruction if fit.image.ndim == 4 else fit.reconstruction[:, None]
    frames = range(x.shape[1])
    found = run(page, fit, f"""return {list(frames)}.map((t) =>
      [...finish(codec.decode(codec.grids.map(() => true), t)).rgba]);""")
    found = np.array(found).reshape(len(frames), *x.shape[2:], 4)[..., :3].transpose(3, 0, 1, 2)
    off = np.abs(found - 255 * x)
    # sums in another precision: now and then a value rounds to the other side
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01
    assert x.std() > 0.01  # a picture of one color would be no test
    for bits, wanted in zip(run(page, fit, PREDICT), plots.latent_bits(fit), strict=True):
        np.testing.assert_allclose(bits, wanted.ravel(), atol=2e-3)


def test_switches_grids_off(page):
    fit = fits.fit((37, 50), fits.CONFIGS["C3"])
    fine = np.prod(latents.grid_shapes(fit.config, fit.shape)[0])
    symbols = fit.coded.symbols.copy()
    symbols[:fine] = 0
    wanted = decoder.synthesize(
        fit.config, fit.shape, symbols, coded.real_arrays(fit.config, fit.coded))
    found, small = run(page, fit, """const on = [false, true, true, true];
      const small = finish(codec.decode(on, 0, 4));
      return [[...finish(codec.decode(on, 0)).rgba],
        [small.width, small.height, ...small.rgba]];""")
    found = np.array(found).reshape(37, 50, 4)[..., :3].transpose(2, 0, 1)
    off = np.abs(found - 255 * wanted)
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01
    assert np.abs(wanted - fit.reconstruction).max() > 0.02  # switching it off is seen
    assert small[:2] == [13, 10]  # the preview: every fourth row and column
    preview = np.array(small[2:]).reshape(10, 13, 4)[..., :3].transpose(2, 0, 1)
    middles = found[:, np.minimum(np.arange(10) * 4 + 2, 36)][:, :, np.minimum(
        np.arange(13) * 4 + 2, 49)]
    assert np.corrcoef(preview.ravel(), middles.ravel())[0, 1] > 0.8


def test_a_video_with_a_learned_kernel_is_refused():
    fit = fits.fit((37, 50), fits.CONFIGS["COOL-CHICv2"])
    codec = copy.copy(fit.codec)
    object.__setattr__(codec, "shape", (2, 37, 50))
    with pytest.raises(ValueError, match="bicubic"):
        fitted(dataclasses.replace(fit, codec=codec))
