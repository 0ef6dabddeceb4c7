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

from tests.tools import lab_shot

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make extras EXTRAS=browser")
if not Path(lab_shot.CHROMIUM).exists():
    pytest.skip(f"no Chromium at {lab_shot.CHROMIUM}: apt-get install chromium, or set CHROMIUM",
                allow_module_level=True)

pytestmark = pytest.mark.timeout(200)
REPOSITORY = Path(__file__).parents[2]

CELLS = {
    "setup": "from c3lite import widgets",
    "quantizer": "widgets.QuantizerExplorer()",
}
TITLES = {
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
    from c3lite.widgets.quantizer import noisy_value

    panel = explorer(lab, "quantizer")

    def put(label, value):
        panel.locator(f'input[aria-label="{label}"]').evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", value)

    put("Position in stage 1", 50)  # C3: T = 0.2, a = 1.5
    for z in (-1.3, 0.0, 0.45):
        put("Latent z", z)
        text = panel.locator(".c3-readout").inner_text().replace("−", "-")
        numbers = re.search(r"mean ([\d.-]+), .* from ([\d.-]+) to ([\d.-]+);", text).groups()
        mean, low, high = map(float, numbers)
        wanted = [float(w[0]) for w in noisy_value(np.array([z]), 0.2, 1.5)]
        np.testing.assert_allclose([mean, low, high], wanted, atol=0.01)
    latency(lab, panel, "Temperature T", range(10, 70, 2))
    put("Position in stage 1", 0)
