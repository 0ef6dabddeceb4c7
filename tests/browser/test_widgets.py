"""Every explorer in a real JupyterLab in headless Chromium, and its exported page from a file.

Latencies are measured in the page and printed (`pytest -s`, and at the end of a run with `-rP`);
nothing here asserts a time.
"""

import copy
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

import c3lite as c3
from c3lite import plots, widgets
from c3lite.evaluation import anchors as codecs
from c3lite.widgets.quantizer import noisy_value
from tests.browser import fits
from tests.browser.looking import latency, pixels, put
from tests.tools import lab_shot, run_notebooks

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make extras EXTRAS=browser")
if not Path(lab_shot.CHROMIUM).exists():
    pytest.skip(f"no Chromium at {lab_shot.CHROMIUM}: apt-get install chromium, or set CHROMIUM",
                allow_module_level=True)

pytestmark = pytest.mark.timeout(600)
REPOSITORY = Path(__file__).parents[2]

SHAPE = (96, 144)
CELLS = {
    "setup": f"""from c3lite import C3, codecs, edit, widgets
from c3lite.widgets import base
from tests.browser import fits
base.CLIP_BYTES = 1  # so that frames are asked for
fit = fits.fit({SHAPE}, C3)""",
    "latents": "widgets.LatentExplorer(fit)",
    "context": "widgets.ContextExplorer(fit)",
    "quantizer": "widgets.QuantizerExplorer()",
    "compare": "widgets.compare({'original': fit.image, 'C3': fit, "
               "'JPEG': codecs.jpeg(fit.image, 10)})",
    "mask": "widgets.MaskExplorer(fits.learned(), fits.clip(), displacement=(5, -18))",
    "live": "widgets.LiveFit(fit.image, fits.LIVE, edit(fits.LIVE, rd_weight=1e-2))",
}
TITLES = {
    "latents": "Latent grids: what does each one add?",
    "context": "Decoding one latent after another",
    "quantizer": "How rounding is imitated in stage 1",
    "compare": "Compare pictures",
    "mask": "Where to look in the previous frame",
    "live": "A fit, live",
}
explorers = pytest.mark.parametrize("name", TITLES)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A folder and JupyterLab over it."""
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(
            [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]))
        hook = "--ContentsManager.pre_save_hook=tests.tools.run_notebooks.before_saving"
        assert hook in (REPOSITORY / "Makefile").read_text()
        with lab_shot.jupyterlab(folder, extra=(hook,)) as base, playwright.sync_playwright() as pw:
            yield folder, base, pw


def open_lab(server, name, cells):
    folder, base, pw = server
    notebook = nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    nbformat.write(notebook, folder / name)
    return lab_shot.Lab(pw, base, name, timeout=300)


def look(lab, name):
    """Keep pictures of the page where C3LITE_SHOTS says, for eyes."""
    if "C3LITE_SHOTS" in os.environ:
        lab.shots(Path(os.environ["C3LITE_SHOTS"]), name)


@pytest.fixture(scope="module")
def lab(server):
    """A notebook with all explorers, run in JupyterLab."""
    opened = open_lab(server, "explorers.ipynb",
                      [nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    try:
        assert opened.run_all(), "the notebook did not finish"
        look(opened, "explorers")
        yield opened
    finally:
        opened.close()


def explorer(lab, name):
    return lab.page.locator(f'.c3[aria-label="{TITLES[name]}"]').first


@pytest.fixture(scope="module")
def fit():
    """That of the notebook."""
    return fits.fit(SHAPE, c3.C3)


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
    # a slider's value and a picture's content are there in words
    silent = panel.evaluate("""(root) => [
      ...[...root.querySelectorAll('input[type=range]')].filter((e) => !e.ariaValueText ||
        !e.closest('label').querySelector('output').textContent),
      ...[...root.querySelectorAll('canvas, :not(svg) > svg')].filter((e) => e.role !== 'img' ||
        e.ariaLabel.length < 12)].map((e) => e.outerHTML)""")
    assert silent == []


def test_every_slider_changes_something_by_key(lab):
    results = lab.exercise()
    assert {s["cell"] for s in results} == {cell_of(name) for name in TITLES if name != "live"}
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
    latency(panel, "Temperature T", range(10, 70, 2))
    put(panel, "Position in stage 1", 0)


def test_latents_are_decoded_in_the_browser(lab, fit):
    panel = explorer(lab, "latents")
    picture = panel.locator("canvas").first
    off = np.abs(pixels(picture) - 255 * fit.reconstruction)
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01
    shown = panel.locator(".c3-readout").first
    psnr = c3.metrics.psnr(np.round(pixels(picture)) / 255, fit.image)
    assert abs(float(re.search(r"([\d.]+) dB", shown.inner_text()).group(1)) - psnr) < 0.02

    panel.get_by_role("button", name="only grid 6").click()
    alone = pixels(picture)
    assert np.abs(alone - 255 * fit.reconstruction).max() > 5
    assert "grid 6" in shown.inner_text()
    checks = panel.locator("input[type=checkbox]")
    assert [c.is_checked() for c in checks.all()] == 6 * [False] + [True]
    checks.nth(0).focus()
    lab.page.keyboard.press("Space")
    assert np.abs(pixels(picture) - alone).max() > 0
    latency(panel, "Coarse to fine", [0, 1, 2, 3, 4, 5, 6] * 4)
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
    latency(panel, "Decoding step", range(0, 400, 13))


def test_compare_wipes_flips_and_moves(lab):
    panel = explorer(lab, "compare")
    canvas = panel.locator("canvas")
    put(panel, "Wipe", 100)
    original = pixels(canvas)
    put(panel, "Wipe", 0)
    fitted = pixels(canvas)
    assert np.abs(original - fitted)[:, 30:].mean() > 1
    put(panel, "Wipe", 50)
    half = pixels(canvas)
    middle = half.shape[2] // 2
    np.testing.assert_array_equal(half[:, 30:, : middle - 3], original[:, 30:, : middle - 3])
    np.testing.assert_array_equal(half[:, 30:, middle + 3 :], fitted[:, 30:, middle + 3 :])
    panel.get_by_label("View").select_option("flip")
    np.testing.assert_array_equal(pixels(canvas)[:, 30:], original[:, 30:])
    panel.get_by_role("button", name="flip A/B").press("Enter")
    np.testing.assert_array_equal(pixels(canvas)[:, 30:], fitted[:, 30:])
    panel.get_by_label("View").select_option("wipe")
    put(panel, "Zoom", 4)
    zoomed = pixels(canvas)
    canvas.focus()
    lab.page.keyboard.press("Shift+ArrowRight")
    assert np.abs(pixels(canvas) - zoomed).mean() > 1
    assert "JPEG" in panel.get_by_label("Left (A)").inner_text()
    latency(panel, "Wipe", range(0, 100, 4))
    latency(panel, "Zoom", [1, 2, 3, 4] * 5)
    put(panel, "Zoom", 1)


def test_mask_moves_by_keys_and_says_its_sum(lab):
    panel = explorer(lab, "mask")
    text, (heat, now, before) = panel.locator(".c3-readout"), panel.locator("canvas").all()
    assert "100 % of the learned box" in text.inner_text()
    assert "inside the box" in text.inner_text()
    maps = fits.learned().heat_maps
    shown, mask = pixels(heat), pixels(before)
    heat.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        lab.page.keyboard.press(key)
    said = text.inner_text().replace("−", "-")
    assert "dy 6 to 9, dx -19 to -16" in said
    total = maps[0][38:42, 13:17].sum()
    assert abs(float(re.search(r"magnitude ([\d.]+)", said).group(1)) - total) < 0.01
    assert np.abs(pixels(heat) - shown).max() > 0
    assert np.abs(pixels(before) - mask).max() > 0  # the clip shows the box, too
    frame = pixels(now)
    put(panel, "Frame", 2)
    for _ in range(100):  # Python is asked for it, and for the one before
        if np.abs(pixels(now) - frame).mean() > 1:
            break
        lab.page.wait_for_timeout(100)
    else:
        raise AssertionError("the frame did not come")
    wanted = [codecs.jpeg(x, 88).reconstruction for x in fits.clip()[:, [1, 2]].swapaxes(0, 1)]
    zoom = pixels(now).shape[1] // wanted[0].shape[1]
    for canvas, x in zip((before, now), wanted, strict=True):
        off = np.abs(pixels(canvas)[:, ::zoom, ::zoom] - 255 * x)
        assert np.median(off) < 4  # JPEG's of other settings; lines are drawn on it
    panel.get_by_role("button", name="learned box").click()
    assert "100 % of the learned box" in text.inner_text()
    latency(panel, "Frame", [0, 1, 2, 3, 4, 5] * 4)


def test_live_fit_starts_pauses_goes_on_and_stops(lab):
    panel = explorer(lab, "live")
    status = panel.locator(".c3-controls .c3-readout")
    canvas = panel.locator("canvas").first
    gray = pixels(canvas)

    def steps():
        said = panel.locator(".c3-column .c3-readout").first.inner_text()
        return int(re.search(r"step ([\d,]+) of", said).group(1).replace(",", ""))

    def wait(condition, seconds=200):
        for _ in range(10 * seconds):
            if condition():
                return
            lab.page.wait_for_timeout(100)
        raise AssertionError(f"waited in vain; it says: {panel.inner_text()}")

    panel.get_by_role("button", name="start").press("Enter")
    wait(lambda: steps() > 0)
    assert np.abs(pixels(canvas) - gray).max() > 5
    panel.get_by_role("button", name="pause").press("Enter")
    wait(lambda: "paused" in status.inner_text())
    panel.get_by_role("button", name="resume").press("Enter")
    wait(lambda: "running" in status.inner_text())
    before = steps()
    wait(lambda: steps() > before)
    panel.get_by_role("button", name="stop").press("Enter")
    wait(lambda: ".fit" in status.inner_text())
    assert "networks included" in panel.inner_text()
    assert panel.locator(".c3-error:visible").count() == 0
    look(lab, "after")


def test_what_is_saved_holds_stills_and_the_page_stays_live(lab, server):
    for _ in range(2):  # the second finds its own file on the disk, and does not ask about it
        lab.page.evaluate("""async () => {
          jupyterapp.shell.currentWidget.model.dirty = true;
          await jupyterapp.commands.execute('docmanager:save'); }""")
        assert not lab.page.locator(".jp-Dialog").count()
    saved = nbformat.read(server[0] / "explorers.ipynb", 4)
    outputs = [o.data for cell in saved.cells for o in cell.outputs if "image/png" in o.data]
    assert len(outputs) == len(TITLES)
    assert not [data for data in outputs if run_notebooks.VIEW in data]
    assert "widgets" not in saved.metadata
    assert explorer(lab, "latents").is_visible() and not lab.broken()


@explorers
def test_keys_in_a_widget_do_nothing_to_the_notebook(lab, name):
    # c copies a cell in JupyterLab's command mode, as d d deletes it
    panel = explorer(lab, name)
    lab.page.evaluate("""() => { window.executed = [];
      jupyterapp.commands.commandExecuted.connect((_, { id }) => executed.push(id)); }""")
    lab.page.locator(".jp-Notebook .jp-InputPrompt").last.click()
    assert lab.page.evaluate("""() =>
      document.querySelector('.jp-Notebook').classList.contains('jp-mod-commandMode')""")
    lab.page.keyboard.press("c")
    assert "notebook:copy-cell" in lab.page.evaluate("executed")  # so it is seen
    focusable = panel.locator("input:enabled, select:enabled, button:enabled, [tabindex]")
    assert focusable.count() > 0
    leaks = []
    for element in focusable.all():
        lab.page.evaluate("executed.length = 0")
        element.focus()
        lab.page.keyboard.press("c")
        if lab.page.evaluate("executed.length"):
            leaks.append(element.evaluate("(e) => e.outerHTML.slice(0, 90)"))
    assert leaks == []


def test_errors_are_seen(lab):
    panel = explorer(lab, "quantizer")
    slider = panel.locator("input[type=range]").first
    slider.evaluate("""(e) => { e.valueAsNumber; Object.defineProperty(e, 'valueAsNumber',
      { get() { throw new Error('made for a test'); }, configurable: true });
      e.dispatchEvent(new Event('input')); delete e.valueAsNumber; }""")
    assert "made for a test" in panel.locator(".c3-error:visible").inner_text()


def made_here(name, fit):
    return {
        "latents": lambda: widgets.LatentExplorer(fit),
        "context": lambda: widgets.ContextExplorer(fit),
        "quantizer": widgets.QuantizerExplorer,
        "compare": lambda: widgets.compare({"original": fit.image, "JPEG": codecs.jpeg(
            fit.image, 10)}),
        "mask": lambda: widgets.MaskExplorer(fits.learned(), fits.clip()),
        "live": lambda: widgets.LiveFit(fit.image, fits.LIVE),
    }[name]()


@explorers
def test_exported_page_works_from_a_file(server, fit, name, tmp_path):
    path = widgets.export_html(made_here(name, fit), tmp_path / "page.html")
    browser = server[2].chromium.launch(executable_path=lab_shot.CHROMIUM, args=lab_shot.ARGS)
    page = browser.new_page()
    problems, asked = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    panel = page.locator(".c3")
    panel.locator("input, button, canvas").first.wait_for()
    page.wait_for_timeout(300)
    before = page.evaluate(PRINT)
    if name == "live":
        assert panel.get_by_role("button", name="start").is_disabled()
    else:
        control = panel.locator("input[type=range]").first
        control.press("ArrowLeft")
        control.press("ArrowLeft")
        if control.input_value() == "0":
            control.press("ArrowRight")
        page.wait_for_timeout(300)
        assert page.evaluate(PRINT) != before
    assert problems == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "blob", "data"}
    browser.close()


PRINT = """() => [...document.querySelectorAll('canvas')].map((c) => c.toDataURL()).join() +
  [...document.querySelectorAll('svg')].map((s) => s.innerHTML).join()"""


def test_a_notebook_that_nobody_ran_shows_stills(server, fit):
    cells = []
    for name in TITLES:
        data, metadata = made_here(name, fit)._repr_mimebundle_()
        cells.append(nbformat.v4.new_code_cell(execution_count=1, outputs=[
            nbformat.v4.new_output("execute_result", data, metadata=metadata, execution_count=1)]))
    committed = nbformat.v4.new_notebook(cells=copy.deepcopy(cells))
    run_notebooks.stills_only(committed)
    opened = open_lab(server, "unrun.ipynb", cells + committed.cells)
    try:
        # Lab trusts what was run here, or by hand; of the first half it trusts nothing
        opened.page.evaluate("""(first) => jupyterapp.shell.currentWidget.content.widgets
          .forEach((cell, i) => { if (i >= first) cell.model.trusted = true; })""", len(TITLES))
        opened.quiet()
        assert [cell["still"] for cell in opened.cells()] == [1] * 2 * len(TITLES)
        assert not opened.broken()
        look(opened, "unrun")
    finally:
        opened.close()
