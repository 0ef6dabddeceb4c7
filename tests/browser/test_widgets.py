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
from c3lite.widgets import views
from c3lite.widgets.views import noisy_value
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
from tests.browser import fits
fit = fits.fit({SHAPE}, C3)""",
    "latents": "widgets.LatentExplorer(fit)",
    "context": "widgets.ContextExplorer(fit)",
    "quantizer": "widgets.QuantizerExplorer()",
    "compare": "widgets.compare({'original': fit.image, 'C3': fit, "
               "'JPEG': codecs.jpeg(fit.image, 10)})",
    "mask": "widgets.MaskExplorer(fits.learned(), fits.clip(), displacement=(5, -18))",
    "live": "widgets.LiveFit(fit.image, fits.LIVE, edit(fits.LIVE, rd_weight=1e-2))",
}
TITLES = {name: of.title.default_value for name, of in {
    "latents": widgets.LatentExplorer, "context": widgets.ContextExplorer,
    "quantizer": widgets.QuantizerExplorer, "compare": views.Compare,
    "mask": widgets.MaskExplorer, "live": widgets.LiveFit}.items()}
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
    value, cost = re.match(r"value (-?\d+)\s+cost ([\d.]+) bits", first).groups()
    assert int(value) == finest
    assert abs(float(cost) - bits) < 0.01


def test_context_is_stepped_through_as_the_decoder_does(lab, fit):
    panel = explorer(lab, "context")
    text = panel.locator(".c3-readout")
    canvas = panel.locator("canvas[tabindex]")
    panel.get_by_label("Grid", exact=True).select_option("0")
    canvas.focus()
    where = re.compile(r"row (\d+), column (\d+):")
    y, x = map(int, where.search(text.inner_text()).groups())
    assert 0 < x and abs(fit.coded.symbols[: fit.pixels].reshape(SHAPE)[
        max(0, y - 3) : y + 1, max(0, x - 3) : x + 4]).sum() > 5  # it opens where something is
    lab.page.keyboard.press("ArrowLeft")
    x -= 1
    # first what is predicted, then the value
    assert f"row {y}, column {x}:" in text.inner_text()
    text.get_by_text("actual value").wait_for()
    said = text.inner_text().replace("−", "-")
    assert f"row {y}, column {x}:" in said
    value, cost = re.search(r"actual value (-?\d+), .* so ([\d.]+) bits", said).groups()
    assert int(value) == fit.coded.symbols[: fit.pixels].reshape(SHAPE)[y, x]
    assert abs(float(cost) - plots.latent_bits(fit)[0][y, x]) < 0.01

    def decoded():  # everything but the dark of what is ahead
        return (pixels(canvas) != np.array([72, 72, 80])[:, None, None]).any(0)

    before = decoded()
    rows, columns = np.indices(SHAPE)
    assert (before == (4 * rows + columns <= 4 * y + x)).all()  # the wavefront of a 7x7 window
    # bits of all that was decoded before this step, in all grids
    steps = np.concatenate(
        [grid.ravel() for grid in plots.decoding_steps(fit.config, fit.shape)])
    bits = np.concatenate([b.ravel() for b in plots.latent_bits(fit)])
    wanted = bits[steps < steps[y * SHAPE[1] + x]].sum()
    told = re.search(r"step ([\d,]+) of ([\d,]+) bits", said).groups()
    np.testing.assert_allclose([int(n.replace(",", "")) for n in told], [wanted, bits.sum()],
                               rtol=0.01)
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
    for flips, wanted in ((lambda: panel.get_by_role("button", name="flip").press("Enter"), fitted),
                          (lambda: canvas.click(position={"x": 60, "y": 60}), original),
                          (lambda: canvas.press(" "), fitted)):
        flips()
        np.testing.assert_array_equal(pixels(canvas), wanted)
    panel.get_by_label("View").select_option("error of B against A")
    panel.get_by_text("yellow: 32 of 255").wait_for()
    lab.page.wait_for_timeout(200)
    off = np.abs(original - fitted).mean(0)
    shown = pixels(canvas).sum(0)
    assert np.corrcoef(np.minimum(off, 32).ravel(), shown.ravel())[0, 1] > 0.8
    panel.get_by_label("View").select_option("wipe")
    put(panel, "Zoom", 4)
    zoomed = pixels(canvas)
    canvas.focus()
    lab.page.keyboard.press("Shift+ArrowRight")
    assert np.abs(pixels(canvas) - zoomed).mean() > 1
    put(panel, "Zoom", 2)
    box, (dx, dy) = canvas.bounding_box(), (200, 90)
    at = lambda: pixels(canvas)[:, dy - 4 : dy + 4, dx - 4 : dx + 4].mean((1, 2))  # noqa: E731
    panel.get_by_label("View").select_option("flip")
    canvas.scroll_into_view_if_needed()
    box, under = canvas.bounding_box(), at()
    lab.page.mouse.move(box["x"] + dx, box["y"] + dy)
    lab.page.keyboard.down("Control")
    lab.page.mouse.wheel(0, -100)
    lab.page.keyboard.up("Control")
    assert np.abs(at() - under).max() < 12  # what is under the pointer stays there
    panel.get_by_label("View").select_option("wipe")
    assert "JPEG" in panel.get_by_label("A", exact=True).inner_text()
    latency(panel, "Wipe", range(0, 100, 4))
    latency(panel, "Zoom", [1, 2, 3, 4] * 5)
    put(panel, "Zoom", 1)


def test_mask_moves_by_keys_and_says_its_sum(lab):
    panel = explorer(lab, "mask")
    text, (heat, before, now) = panel.locator(".c3-readout"), panel.locator("canvas").all()
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
    put(panel, "Zoom", 1)
    frame = pixels(now)
    put(panel, "Frame", 2)
    for _ in range(100):  # it is decoded, and the one before
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
        said = panel.locator(".c3-column .c3-readout, .c3-row.c3-readout").first.inner_text()
        return int(re.search(r"step ([\d,]+) of", said).group(1).replace(",", ""))

    def wait(condition, seconds=200):
        for _ in range(10 * seconds):
            if condition():
                return
            lab.page.wait_for_timeout(100)
        raise AssertionError(f"waited in vain; it says: {panel.inner_text()}")

    assert panel.locator("svg").first.is_hidden()  # no axes before there is a curve
    panel.get_by_role("button", name="start").press("Enter")
    wait(lambda: re.search(r"compiling A; 0:\d\d elapsed", status.inner_text()))
    wait(lambda: steps() > 0)
    wait(lambda: re.search(r"running; \d+:\d\d elapsed, about \d+:\d\d left", status.inner_text()))
    assert np.abs(pixels(canvas) - gray).max() > 5
    panel.get_by_role("button", name="pause").press("Enter")
    wait(lambda: "paused" in status.inner_text())
    panel.get_by_role("button", name="resume").press("Enter")
    wait(lambda: "running" in status.inner_text())
    before = steps()
    wait(lambda: steps() > before)
    panel.get_by_role("button", name="stop").press("Enter")
    wait(lambda: "stopped: the result is in .fits" in status.inner_text())
    both = re.findall(r"step ([\d,]+) of", panel.inner_text())
    assert len(both) == 2 and both[0] == both[1]  # step for step
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
    assert page.title() == TITLES[name]
    panel = page.locator(".c3")
    panel.locator("input, button, canvas").first.wait_for()
    page.wait_for_timeout(300)
    before = page.evaluate(PRINT)
    if name == "live":
        assert panel.get_by_role("button", name="start").is_hidden()
        assert "Not started" in panel.inner_text() and "press start" not in panel.inner_text()
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


# ---------------------------------------------------------------- what a person met


@pytest.fixture(scope="module")
def export(server, tmp_path_factory):
    """Opens a widget's exported page, of one width and height, and gives back its panel."""
    browser = server[2].chromium.launch(executable_path=lab_shot.CHROMIUM, args=lab_shot.ARGS)
    folder = tmp_path_factory.mktemp("pages")

    def opened(widget, width=1000, height=720):
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(widgets.export_html(widget, folder / "page.html").as_uri())
        panel = page.locator(".c3")
        panel.locator("canvas, svg").first.wait_for()
        page.wait_for_timeout(300)
        return panel

    yield opened
    browser.close()


def large():
    return fits.fit((512, 768), c3.C3)


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("width", [1280, 900])
@explorers
def test_fits_into_a_laptops_screen(lab, name, width, theme):
    lab.page.set_viewport_size({"width": width, "height": 720})
    change = """(theme) => jupyterapp.commands.execute('apputils:change-theme',
      { theme: `JupyterLab ${theme}` })"""
    lab.page.evaluate(change, theme)
    try:
        panel = explorer(lab, name)
        panel.scroll_into_view_if_needed()
        box = panel.bounding_box()
        assert box["height"] <= 599
        cell = lab.page.locator(lab_shot.PANEL).first.bounding_box()
        assert box["x"] + box["width"] <= cell["x"] + cell["width"]
        text, page = panel.evaluate("""(e) => [e, document.body].map((e, i) =>
          getComputedStyle(e)[["color", "backgroundColor"][i]].match(/[0-9.]+/g).map(Number))""")
        assert abs(sum(text[:3]) - sum(page[:3])) > 300  # it reads on either
        if "C3LITE_SHOTS" in os.environ:
            lab.page.wait_for_timeout(500)
            panel.screenshot(
                path=Path(os.environ["C3LITE_SHOTS"]) / f"{name}_{width}_{theme}.png")
    finally:
        lab.page.evaluate(change, "Light")
        lab.page.set_viewport_size({"width": 1100, "height": 900})


@pytest.mark.parametrize("make", [widgets.LatentExplorer, widgets.ContextExplorer])
def test_whole_photos_fit_into_a_laptops_screen(export, make):
    assert export(make(large()), 940).bounding_box()["height"] <= 599


def test_the_charts_of_every_grid_stay_where_they_are(export):
    panel = export(widgets.ContextExplorer(large()), 896)
    heights, places = set(), set()
    for n in range(7):
        panel.get_by_label("Grid", exact=True).select_option(str(n))
        panel.get_by_text("actual value").wait_for()
        heights.add(round(panel.bounding_box()["height"]))
        chart, picture = (panel.locator(kind).first.bounding_box() for kind in ("svg", "canvas"))
        assert chart["x"] > picture["x"] + picture["width"] / 2  # beside it, not below
        places.add(round(chart["y"]))
    assert len(places) == 1 and max(heights) - min(heights) <= 40


def test_sliders_lead_back_from_what_they_cannot_show(export):
    panel = export(widgets.LatentExplorer(fits.fit(SHAPE, c3.C3)))
    ladder = panel.get_by_label("Coarse to fine")
    panel.get_by_role("button", name="only grid 0").click()
    ladder.press("End")
    assert "Shown: all grids" in panel.inner_text()
    panel.get_by_role("button", name="only grid 0").click()
    box = ladder.bounding_box()
    ladder.click(position={"x": box["width"] - 4, "y": box["height"] / 2})
    assert "Shown: all grids" in panel.inner_text()
    panel.get_by_role("button", name="only grid 0").click()
    panel.get_by_role("button", name="all", exact=True).click()
    assert "Shown: all grids" in panel.inner_text()

    panel = export(widgets.QuantizerExplorer())
    position = panel.get_by_label("Position in stage 1")
    position.press("End")
    at_the_end = panel.locator(".c3-readout").inner_text()
    panel.get_by_label("Temperature T").press("ArrowRight")
    assert panel.locator(".c3-readout").inner_text() != at_the_end
    position.press("End")
    assert panel.locator(".c3-readout").inner_text() == at_the_end


def test_a_box_out_of_view_has_an_arrow(export):
    panel = export(widgets.MaskExplorer(fits.learned(), fits.clip(), displacement=(5, -18)))
    before = panel.get_by_role("img", name="with the mask")

    def blue():
        return (np.abs(pixels(before) - np.array([0x56, 0xB4, 0xE9])[:, None, None]).max(0)
                < 3).sum()

    put(panel, "Zoom", 8)
    panel.page.wait_for_timeout(200)
    assert blue() > 100
    assert "looking back at frame 4" in panel.inner_text()


def test_the_mouse_passes_over_latents_without_changing_what_is_read(export):
    panel = export(widgets.LatentExplorer(fits.fit(SHAPE, c3.C3)))
    picture, tiles = panel.locator("canvas").first, panel.locator(".c3-tile .c3-readout")
    picture.hover(position={"x": 30, "y": 30})
    read = tiles.all_inner_texts()
    picture.hover(position={"x": 90, "y": 60})
    assert tiles.all_inner_texts() == read
    picture.click(position={"x": 90, "y": 60})
    assert tiles.all_inner_texts() != read


def test_what_is_lost_without_a_grid_is_a_picture(export):
    fit = fits.fit(SHAPE, c3.C3)
    panel = export(widgets.LatentExplorer(fit))
    picture = panel.locator("canvas").first
    panel.get_by_label("Large picture").select_option("what is lost by that")
    assert pixels(picture).max() <= 4  # nothing, black
    decoded = 255 * fit.reconstruction
    panel.locator("input[type=checkbox]").first.uncheck()
    lost = pixels(picture)
    panel.get_by_label("Large picture").select_option("what is decoded")
    off = np.abs(pixels(picture) - decoded).mean(0)
    assert np.corrcoef(np.minimum(off, 32).ravel(), lost.sum(0).ravel())[0, 1] > 0.9
    tile = panel.locator(".c3-tile canvas").first
    panel.get_by_label("Small ones").select_option("what is lost without")
    np.testing.assert_array_equal(pixels(tile), lost)  # of a small image it is the same decoding


def test_labels_of_compared_pictures_end_at_the_line_and_stay_readable(export):
    fit = fits.fit(SHAPE, c3.C3)
    panel = export(widgets.compare({"original": fit.image, "C3": fit}), 500)
    a, b = (tag.bounding_box() for tag in panel.locator(".c3-tag").all())
    canvas = panel.locator("canvas").bounding_box()
    line = canvas["x"] + canvas["width"] / 2
    assert abs(a["x"] + a["width"] - line) < 2 and abs(b["x"] - line) < 2
    assert b["x"] + b["width"] <= canvas["x"] + canvas["width"] + 1
    assert panel.locator(".c3-tag").first.evaluate("(e) => getComputedStyle(e).fontSize") == "13px"
    told = float(re.search(r"([\d.]+)×", panel.inner_text()).group(1))
    assert abs(told - canvas["width"] / SHAPE[1]) < 0.06  # true pixels


def test_play_at_the_end_begins_again_and_steps_are_those_of_the_slider(export):
    panel = export(widgets.ContextExplorer(fits.fit(SHAPE, c3.C3)))
    panel.get_by_label("Grid", exact=True).select_option("6")
    slider = panel.get_by_label("Decoding step")
    last = int(slider.get_attribute("max"))
    panel.get_by_label("Speed").select_option("fast")
    for position in (0, last):
        put(panel, "Decoding step", position)
        assert f"{position + 1} of {last + 1}" in panel.inner_text()
    panel.get_by_role("button", name="play").click()
    assert int(slider.input_value()) < last
    panel.page.wait_for_timeout(60 * (last + 4) + 500)
    assert int(slider.input_value()) == last
    assert panel.get_by_role("button", name="play").is_visible()


def test_reset_brings_the_first_sight_back(export):
    panel = export(widgets.QuantizerExplorer())
    first = panel.locator(".c3-readout").inner_text()
    put(panel, "Temperature T", 20)
    box = panel.locator("svg").first.bounding_box()
    panel.page.mouse.move(box["x"] + 100, box["y"] + 80)
    panel.page.mouse.down()
    panel.page.mouse.move(box["x"] + 150, box["y"] + 80)
    panel.page.mouse.up()
    moved = panel.locator(".c3-readout").inner_text()
    assert re.search(r"z = (\S+):", moved).group(1) != re.search(r"z = (\S+):", first).group(1)
    panel.get_by_role("button", name="reset").click()
    assert panel.locator(".c3-readout").inner_text() == first


LIVE = """import os, threading
from tests.browser import fits
from c3lite import data, edit, widgets
photo = data.crop(data.kodak(23), 192, 288, 96, 144)
def running(): return sum(t.name == "LiveFit" for t in threading.enumerate())"""


def test_a_live_fit_has_a_clear_end(server):
    cells = [LIVE, "live = widgets.LiveFit(photo, fits.LIVE)\nlive",
             "print(running(), live.status)",
             "short = widgets.LiveFit(photo, edit(fits.LIVE, steps=30, stage2_steps=5))\nshort"]
    opened = open_lab(server, "live.ipynb", [nbformat.v4.new_code_cell(c) for c in cells])
    page = opened.page

    def run(i):
        page.evaluate("""async (i) => {
          jupyterapp.shell.currentWidget.content.activeCellIndex = i;
          await jupyterapp.commands.execute('notebook:run-cell'); }""", i)

    def printed():
        run(2)
        return page.locator(".jp-OutputArea-output pre").first.inner_text().strip()

    def button(name, view=0):
        return page.locator(".c3").nth(view).get_by_role("button", name=name, exact=True)

    def says(text, seconds=120, view=0):
        page.locator(".c3").nth(view).get_by_text(text).first.wait_for(timeout=1000 * seconds)

    try:
        for i in (0, 1):
            run(i)
        button("start").click()
        says("running;")
        assert printed() == "1 running"
        run(1)  # again: the first has no view any more
        says("press start")
        button("start").click()
        says("running;")
        assert printed() == "1 running"  # not two
        # to its end, and saved: the still is of the end
        run(3)
        says("press start", view=1)
        button("start", 1).click()
        says("done: the result is in .fit", view=1)
        assert "another fit was started" in page.locator(".c3").nth(0).inner_text()
        for _ in range(60):  # the new still may come a moment after the words
            page.evaluate("async () => await jupyterapp.commands.execute('docmanager:save')")
            (output,) = nbformat.read(server[0] / "live.ipynb", 4).cells[3].outputs
            if "not started" not in output.data["text/plain"]:
                break
            page.wait_for_timeout(1000)
        assert "step 35 of 35" in output.data["text/plain"]
        look(opened, "live")
        assert page.locator(".c3:visible").nth(1).get_by_text("networks included").is_visible()
        # a restart, and a kernel that is killed
        button("fit again", 1).click()
        run(1)
        button("start").click()
        says("running;")
        page.evaluate(
            "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        says("The kernel was restarted")
        assert button("stop").is_disabled()
        opened.wait_kernel(60)
        for i in (0, 1):
            run(i)
        button("start").click()
        says("running;")
        page.evaluate("""() => { jupyterapp.shell.currentWidget.sessionContext.session.kernel
          .requestExecute({ code: 'os.kill(os.getpid(), 9)' }); }""")
        says("Nothing was heard of the kernel for a while")
        assert button("stop").is_disabled()
        assert not opened.broken()
    finally:
        opened.close()
