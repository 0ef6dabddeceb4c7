"""Every explorer in a real JupyterLab in headless Chromium, and its exported page from a file.

Latencies are measured in the page and printed (`pytest -s`, and at the end of a run with `-rP`);
nothing here asserts a time.
"""

import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

import c3lite as c3
from c3lite import plots
from c3lite.widgets.quantizer import noisy_value
from tests.browser import fits
from tests.tools import lab_shot

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make extras EXTRAS=browser")
if not Path(lab_shot.CHROMIUM).exists():
    pytest.skip(f"no Chromium at {lab_shot.CHROMIUM}: apt-get install chromium, or set CHROMIUM",
                allow_module_level=True)

pytestmark = pytest.mark.timeout(200)
REPOSITORY = Path(__file__).parents[2]

SHAPE = (96, 144)
CELLS = {
    "setup": f"""from c3lite import C3, widgets
from c3lite.widgets.quantizer import noisy_value
from tests.browser import fits
fit = fits.fit({SHAPE}, C3)""",
    "latents": "widgets.LatentExplorer(fit)",
    "context": "widgets.ContextExplorer(fit)",
    "quantizer": "widgets.QuantizerExplorer()",
}
TITLES = {
    "latents": "Latent grids: what does each one add?",
    "context": "Decoding one latent after another",
    "quantizer": "How rounding is imitated in stage 1",
}
explorers = pytest.mark.parametrize("name", TITLES)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A notebook with all explorers, run in JupyterLab."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    nbformat.write(notebook, folder / "explorers.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(
            [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]))
        with lab_shot.jupyterlab(folder) as base, playwright.sync_playwright() as pw:
            opened = lab_shot.Lab(pw, base, "explorers.ipynb", timeout=90)
            try:
                assert opened.run_all(), "the notebook did not finish"
                if "C3LITE_SHOTS" in os.environ:  # to look at
                    opened.shots(Path(os.environ["C3LITE_SHOTS"]), "explorers")
                yield opened
            finally:
                opened.close()


def explorer(lab, name):
    return lab.page.locator(f'.c3[aria-label="{TITLES[name]}"]').first


@pytest.fixture(scope="module")
def fit():
    """That of the notebook."""
    return fits.fit(SHAPE, c3.C3)


def pixels(canvas):
    """What a canvas shows, (3, height, width), 0 to 255."""
    width, height, *flat = canvas.evaluate("""(c) => [c.width, c.height,
      ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]""")
    return np.array(flat).reshape(height, width, 4)[..., :3].transpose(2, 0, 1)


def put(panel, label, value):
    panel.locator(f'input[aria-label="{label}"]').evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", value)


def cell_of(name):
    return list(CELLS).index(name)


def test_all_cells_ran_and_drew_their_widgets(lab):
    assert not lab.broken()
    for cell in lab.cells():
        assert cell["error"] is None
        assert not cell["undrawn"]
    assert sum(cell["views"] for cell in lab.cells()) == len(TITLES)


@explorers
def test_opens_without_an_error_and_every_control_has_a_name(lab, name):
    panel = explorer(lab, name)
    assert panel.is_visible()
    assert panel.locator(".c3-error:visible").count() == 0
    unnamed = panel.evaluate("""(root) =>
      [...root.querySelectorAll('input, select, button, [role=img]')].filter((e) =>
        !(e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent).trim())
        .map((e) => e.outerHTML)""")
    assert unnamed == []
    # a key that a control does not use must not reach JupyterLab's shortcuts either
    assert panel.evaluate("root => root.closest('[data-lm-suppress-shortcuts]') !== null")


def test_every_slider_changes_something_by_key(lab):
    results = lab.exercise()
    assert {s["cell"] for s in results} == {cell_of(name) for name in TITLES}
    for s in results:
        print(f"{s['label']}: {s['result']}")
    assert [s["label"] for s in results if s["result"] == "NO CHANGE"] == []
    assert not any(s["label"] == "" for s in results)


@explorers
def test_everything_is_reached_by_tab_and_shows_where_it_is(lab, name):
    panel = explorer(lab, name)
    panel.locator("input, select, button, canvas[tabindex]").first.focus()
    expected = panel.locator(
        "input:enabled, select:enabled, button:enabled, canvas[tabindex]").count()
    seen, outlines = set(), set()
    for _ in range(expected):
        where, outline = lab.page.evaluate("""() => {
          const e = document.activeElement;
          const all = [...e.closest('.c3')?.querySelectorAll('*') ?? []];
          return [all.indexOf(e), getComputedStyle(e).outlineStyle]; }""")
        seen.add(where)
        outlines.add(outline)
        lab.page.keyboard.press("Tab")
    assert len(seen) == expected
    assert outlines <= {"solid"} or len(outlines) == 2  # the first was focused without a key


def latency(lab, panel, control, values):
    """Median and largest milliseconds from a slider's event to the end of its drawing, and to the
    frame that shows it; how often a second the slider can move."""
    times = panel.locator(f'input[aria-label="{control}"]').evaluate("""async (input, values) => {
      const drawn = [], shown = [];
      const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      await frame();
      for (const value of values) {
        input.value = value;
        const start = performance.now();
        input.dispatchEvent(new Event('input'));
        drawn.push(performance.now() - start);
        await frame();
        shown.push(performance.now() - start);
      }
      return [drawn, shown]; }""", list(values))
    drawn, shown = np.array(times)
    print(f"{control}: drawn in {np.median(drawn):.1f} ms (largest {drawn.max():.1f}), on the "
          f"screen after {np.median(shown):.1f} ms (largest {shown.max():.1f}), "
          f"{1000 / shown.mean():.0f} a second")


def test_quantizer_computes_what_python_does(lab):
    panel = explorer(lab, "quantizer")

    put(panel, "Position in stage 1", 50)  # C3: T = 0.2, a = 1.5
    for z in (-1.3, 0.0, 0.45):
        put(panel, "Latent z", z)
        text = panel.locator(".c3-readout").inner_text().replace("−", "-")
        numbers = re.search(r"mean ([\d.-]+), .* from ([\d.-]+) to ([\d.-]+);", text).groups()
        mean, low, high = map(float, numbers)
        wanted = [float(w[0]) for w in noisy_value(np.array([z]), 0.2, 1.5)]
        np.testing.assert_allclose([mean, low, high], wanted, atol=0.01)
    latency(lab, panel, "Temperature T", range(10, 70, 2))
    put(panel, "Position in stage 1", 0)


def test_latents_are_decoded_in_the_browser(lab, fit):
    panel = explorer(lab, "latents")
    picture = panel.locator("canvas").first
    off = np.abs(pixels(picture) - 255 * fit.reconstruction)
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01
    shown = panel.locator(".c3-readout").first
    assert f"{fit.psnr:.1f}"[:3] in shown.inner_text() or "dB" in shown.inner_text()

    panel.get_by_role("button", name="only grid 6").click()
    alone = pixels(picture)
    assert np.abs(alone - 255 * fit.reconstruction).max() > 5
    assert "grid 6" in shown.inner_text()
    checks = panel.locator("input[type=checkbox]")
    assert [c.is_checked() for c in checks.all()] == 6 * [False] + [True]
    checks.nth(0).focus()
    lab.page.keyboard.press("Space")
    assert np.abs(pixels(picture) - alone).max() > 0
    latency(lab, panel, "Coarse to fine", [0, 1, 2, 3, 4, 5, 6] * 4)
    put(panel, "Coarse to fine", 7)


def test_latents_are_read_by_arrow_keys(lab, fit):
    panel = explorer(lab, "latents")
    panel.locator("canvas").first.focus()
    lab.page.keyboard.press("Shift+ArrowDown")
    lab.page.keyboard.press("ArrowRight")
    y, x = SHAPE[0] // 2 + 8, SHAPE[1] // 2 + 1
    assert f"row {y}, column {x}" in panel.inner_text()
    finest = fit.coded.symbols[: fit.pixels].reshape(SHAPE)[y, x]
    bits = plots.latent_bits(fit)[0][y, x]
    first = panel.locator(".c3-tile .c3-readout").first.inner_text().replace("−", "-")
    value, cost = re.match(r"(-?\d+): ([\d.]+) bits", first).groups()
    assert int(value) == finest
    assert abs(float(cost) - bits) < 0.01


def test_context_is_stepped_through_as_the_decoder_does(lab, fit):
    panel = explorer(lab, "context")
    text = panel.locator(".c3-readout")
    canvas = panel.locator("canvas[tabindex]")
    canvas.focus()
    lab.page.keyboard.press("ArrowLeft")
    y, x = SHAPE[0] // 2, SHAPE[1] // 2 - 1
    said = text.inner_text().replace("−", "-")
    assert f"row {y}, column {x}:" in said
    value, cost = re.search(r"actual value (-?\d+), .* so ([\d.]+) bits", said).groups()
    assert int(value) == fit.coded.symbols[: fit.pixels].reshape(SHAPE)[y, x]
    assert abs(float(cost) - plots.latent_bits(fit)[0][y, x]) < 0.01

    def decoded():  # everything but the gray of what is ahead
        return (pixels(canvas) != np.array([228, 228, 228])[:, None, None]).any(0)

    before = decoded()
    rows, columns = np.indices(SHAPE)
    assert (before == (4 * rows + columns <= 4 * y + x)).all()  # the wavefront of a 7x7 window
    panel.get_by_role("button", name="next ▶").click()
    assert text.inner_text().replace("−", "-") != said
    put(panel, "Decoding step", 0)
    assert decoded().sum() == 1
    latency(lab, panel, "Decoding step", range(0, 400, 13))
