"""A fit of 768x512 and a video, each in a page of its own: first moments, memory, and frames.

Times are printed (`-rP`), never asserted.
"""

import re
from pathlib import Path

import numpy as np
import psutil
import pytest

import c3lite as c3
from c3lite import widgets
from tests.benchmarks.widgets import size
from tests.browser import fits
from tests.browser.looking import latency, pixels, put
from tests.tools import lab_shot

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make extras EXTRAS=browser")
if not Path(lab_shot.CHROMIUM).exists():
    pytest.skip(f"no Chromium at {lab_shot.CHROMIUM}: apt-get install chromium, or set CHROMIUM",
                allow_module_level=True)


@pytest.fixture
def page():
    with playwright.sync_playwright() as pw:
        browser = pw.chromium.launch(executable_path=lab_shot.CHROMIUM, args=lab_shot.ARGS)
        yield browser.new_page()
        browser.close()


def private_mb():
    """Memory of the largest of our browser's renderers that no other process shares, in MB."""
    renderers = [p for p in psutil.Process().children(recursive=True)
                 if "--type=renderer" in p.cmdline()]
    return max(p.memory_full_info().uss for p in renderers) / 1e6


def test_a_768x512_fit_is_smooth_from_its_first_moment_and_small(page, tmp_path):
    explorer = widgets.LatentExplorer(fits.fit((512, 768), c3.C3))
    sent = size(explorer.data)
    print(f"sent: {sent / 1e6:.2f} MB")
    assert sent <= 3e6
    blank = private_mb()
    path = widgets.export_html(explorer, tmp_path / "page.html")
    page.goto(path.as_uri(), wait_until="commit")
    panel = page.locator(".c3")
    panel.get_by_label("Coarse to fine").wait_for()
    rungs = [7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6]
    latency(panel, "Coarse to fine", rungs * 4, ", at once after opening")
    most = private_mb()
    page.wait_for_timeout(2000)
    latency(panel, "Coarse to fine", rungs * 4, ", later")
    # pictures that no slider asks for were never decoded before
    for n in range(7):
        panel.get_by_role("button", name=f"only grid {n}").click()
    page.wait_for_timeout(2000)
    session = page.context.new_cdp_session(page)
    print(f"the page's process: {most:.0f} MB of memory while busy, {private_mb():.0f} at rest, "
          f"{blank:.0f} when blank")
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    used = sum(heap[name] for name in ("usedSize", "embedderHeapUsedSize", "backingStorageSize"))
    print(f"scripts and arrays: {used / 1e6:.0f} MB, the page's process {private_mb():.0f} MB")
    assert used < 60e6


def test_a_video_is_looked_through_frame_by_frame(page, tmp_path):
    fit = fits.fit(fits.shape_of("video"), fits.CONFIGS["video"])
    page.goto(widgets.export_html(widgets.LatentExplorer(fit), tmp_path / "page.html").as_uri())
    panel = page.locator(".c3")
    for t in (3, 0, 5):
        put(panel, "Frame", t)
        text = panel.locator(".c3-readout").first
        page.wait_for_function("() => document.querySelector('.c3-readout').innerText"
                               ".includes('of this frame')")
        shown = pixels(panel.locator("canvas").first)
        assert np.abs(shown - 255 * fit.reconstruction[:, t]).max() < 1.01
        psnr_db = c3.metrics.psnr(np.round(shown) / 255, fit.image[:, t])
        said = float(re.search(r"([\d.]+) dB", text.inner_text()).group(1))
        assert abs(said - psnr_db) < 0.02
    latency(panel, "Frame", [0, 1, 2, 3, 4, 5] * 4)
