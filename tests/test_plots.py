"""Plots draw the data they are given, on the axes they are given, with labels and units."""

import dataclasses
import inspect
import io
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

import c3lite as c3
from c3lite import plots
from c3lite.evaluation import anchors as codecs
from c3lite.evaluation import reference
from c3lite.evaluation.report import PART_COLORS
from c3lite.model import latents
from c3lite.plots import styles
from tests import made

pytestmark = pytest.mark.usefixtures("closed_figures")


@pytest.fixture(scope="module")
def fit():
    return made.fit()


@pytest.fixture(scope="module")
def video_fit():
    config = c3.edit(c3.C3, num_grids=3, context_size=(3, 3, 3), finest_grid=False)
    return made.fit((5, 9, 14), config)


def shown(ax):
    """The array of the one picture on an axes."""
    (drawn,) = ax.images
    return np.asarray(drawn.get_array())


def test_image(ax):
    x = np.random.default_rng(0).random((3, 5, 7)).astype(np.float32)
    assert plots.image(x, ax) is ax
    np.testing.assert_array_equal(shown(ax), x.transpose(1, 2, 0))
    assert plots.image(x) is not ax
    one_wide = plots.image(np.zeros((3, 9, 1)))
    assert shown(one_wide).shape == (9, 1, 3)


@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (4, 5), (1, 4, 5), (3, 0, 5)])
def test_what_is_no_picture(shape):
    # as in a user's session, where annotations are not checked
    x = np.zeros(shape)
    with pytest.raises(ValueError, match="a picture is"):
        inspect.unwrap(plots.image)(x)
    with pytest.raises(ValueError, match="a picture is"):
        inspect.unwrap(plots.error)(x, x)


def test_error_is_in_8_bit_levels(ax):
    x = np.full((3, 4, 6), 0.5)
    y = x.copy()
    y[:, 1, 2] += [3 / 255, -6 / 255, 0]
    assert plots.error(x, y, ax) is ax
    assert shown(ax)[1, 2] == pytest.approx(3)
    assert shown(ax).sum() == pytest.approx(3)
    assert ax.child_axes[0].get_ylabel() == "error (8-bit levels)"
    assert shown(plots.error(x, x)).max() == 0
    with pytest.raises(ValueError, match="cannot compare"):
        inspect.unwrap(plots.error)(x, np.zeros((3, 6, 4)))


def test_rd_curve_of_codecs_and_published_points(ax):
    x = c3.data.crop(c3.data.kodak(23), 192, 288, 32, 48)
    jpeg = codecs.rd_curve(x, codecs.jpeg, (90, 20, 50))
    vtm = reference.rd_points("kodak", "VTM")
    assert plots.rd_curve({"jpeg": jpeg, "VTM": vtm, "mine": ([2.0, 1.0], [41, 40])}, ax) is ax
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines) == ["JPEG", "VTM", "mine"]
    assert lines["JPEG"].get_xdata().tolist() == sorted(c.bpp for c in jpeg)
    assert lines["JPEG"].get_ydata().tolist() == sorted(c.psnr for c in jpeg)
    np.testing.assert_array_equal(lines["VTM"].get_xydata().T, vtm)
    assert lines["mine"].get_xydata().tolist() == [[1, 40], [2, 41]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("rate (bits per pixel)", "PSNR (dB)")
    assert [(t.get_text(), t.get_color()) for t in ax.texts] == [
        (name, line.get_color()) for name, line in lines.items()]
    alone = plots.rd_curve({"jpeg": jpeg})
    assert [line.get_label() for line in alone.lines] == ["JPEG"]


def test_a_fit_is_drawn_at_the_rate_of_its_file(fit):
    (line,) = plots.rd_curve({"C3": fit}).lines
    assert line.get_label() == "C3"
    assert line.get_xydata().tolist() == [[fit.bpp, fit.psnr]]
    assert fit.bpp == 8 * len(c3.encode(fit)) / (20 * 33)


@pytest.mark.parametrize(
    "points", [([1.0, 2.0], [30.0]), [], ([], []), "VTM", [1.0, None], ([1.0], [2.0], [3.0])])
def test_points_that_are_no_curve(points):
    with pytest.raises(ValueError, match=r"points are|are no curve"):
        plots.rd_curve({"C3": points})


def test_methods_look_the_same_everywhere():
    assert plots.style("jpeg") == plots.style("JPEG")
    assert plots.style("C3 (paper)") == plots.style("C3")
    assert plots.style("HEVC (medium, no bframes)")["color"] == plots.METHOD_STYLE["HEVC"]["color"]
    assert plots.style("Cool-Chic v2.0") == plots.style("COOL-CHICv2")
    assert plots.style("unheard of")["linewidth"] == 1
    looks = [(to_rgb(s["color"]), s["marker"], s.get("linestyle"))
             for s in plots.METHOD_STYLE.values()]
    assert len(set(looks)) == len(looks)


def test_ours_are_told_apart_also_in_gray():
    ours = [plots.style(name) for name in ("C3", "C3_FAST", "BEYOND")]
    for one, other in itertools.combinations(ours, 2):
        assert np.abs(np.subtract(to_rgb(one["color"]), to_rgb(other["color"]))).max() > 0.3
        assert one["marker"] != other["marker"]
        assert one.get("linestyle", "-") != other.get("linestyle", "-")


def test_published_curves(ax):
    assert plots.published_curves("kodak", ax) is ax
    names = {line.get_label(): line for line in ax.lines}
    points = reference.rd_points("kodak", "C3 (paper)")
    np.testing.assert_array_equal(names["C3 (paper)"].get_xydata().T, points)
    assert names["C3 (paper)"].get_color() == plots.METHOD_STYLE["C3"]["color"]
    for dataset in reference.datasets():
        assert len(plots.published_curves(dataset).lines) >= 2
    two = plots.published_curves("kodak", codecs=["VTM", "ELIC"])
    assert [line.get_label() for line in two.lines] == ["VTM", "ELIC"]
    with pytest.raises(ValueError, match="did you mean"):
        plots.published_curves("kodk")


def test_where_bits_went(fit, ax):
    assert plots.where_bits_went(fit, ax) is ax
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == list(fit.bits.values())
    assert [to_rgb(bar.get_facecolor()) for bar in ax.patches] == [
        to_rgb(PART_COLORS[name]) for name in fit.bits]
    assert f"{fit.bits['latents']:,.0f} bits" in ax.texts[0].get_text()
    assert f"{sum(fit.bits.values()):,.0f} bits" in ax.get_title()
    assert ax.get_xlabel() == "size (bits)"


def test_latent_bits_add_up(fit, video_fit):
    for one in (fit, video_fit):
        grids = plots.latent_bits(one)
        assert [g.shape for g in grids] == list(latents.grid_shapes(one.config, one.shape))
        assert sum(g.sum() for g in grids) == pytest.approx(one.bits["latents"], rel=1e-5)


def test_latent_grids(fit, ax):
    assert plots.latent_grids(fit, ax) is ax
    panels, flat = ax.child_axes, fit.coded.symbols
    assert len(panels) == 5
    np.testing.assert_array_equal(shown(panels[0]), flat[: 20 * 33].reshape(20, 33))
    np.testing.assert_array_equal(shown(panels[4]), flat[-2 * 3 :].reshape(2, 3))
    shapes = latents.grid_shapes(fit.config, fit.shape)
    for panel, grid, bits in zip(panels, shapes, plots.latent_bits(fit), strict=True):
        title = panel.get_title()
        assert f"{grid[0]}×{grid[1]}" in title and f"{bits.sum():,.0f} bits" in title
        low, high = panel.images[0].get_clim()
        assert low == -high and high == max(np.abs(shown(panel)).max(), 1)


def test_panels_do_not_overlap(fit):
    ax = plots.latent_grids(fit)
    ax.figure.canvas.draw()
    boxes = [panel.get_tightbbox() for panel in ax.child_axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_latent_grids_of_a_video(video_fit):
    first = plots.latent_grids(video_fit).child_axes
    last = plots.latent_grids(video_fit, frame=4).child_axes
    shapes = latents.grid_shapes(video_fit.config, video_fit.shape)
    grid = video_fit.coded.symbols[: np.prod(shapes[0])].reshape(shapes[0])
    np.testing.assert_array_equal(shown(first[0]), grid[0])
    np.testing.assert_array_equal(shown(last[0]), grid[2])


def test_a_pixel_pays_its_share_of_each_latent_above_it(fit):
    # pixel (17, 30) of 20 x 33: in grid e it belongs to the latent (17 >> e, 30 >> e), whose block
    # of 2**e pixels a side the edges cut off
    expected = 0
    for e, bits in enumerate(plots.latent_bits(fit)):
        (y, x), side = (17 >> e, 30 >> e), 1 << e
        pixels = (min(20, (y + 1) * side) - y * side) * (min(33, (x + 1) * side) - x * side)
        expected += bits[y, x] / pixels
    assert plots.pixel_bits(fit)[17, 30] == pytest.approx(expected)


def test_bit_map(fit, ax):
    assert plots.bit_map(fit, ax) is ax
    assert shown(ax).shape == (20, 33)
    np.testing.assert_array_equal(shown(ax), plots.pixel_bits(fit))
    assert shown(ax).sum() == pytest.approx(fit.bits["latents"], rel=1e-5)
    assert ax.child_axes[0].get_ylabel() == "latent bits per pixel"
    third = plots.bit_map(fit, grid=2)
    np.testing.assert_array_equal(shown(third), plots.latent_bits(fit)[2])
    for grid in (-1, 5):
        with pytest.raises(ValueError, match="grids 0 to 4"):
            plots.bit_map(fit, grid=grid)


def test_bit_map_of_a_video_adds_up_over_its_frames(video_fit):
    total = sum(shown(plots.bit_map(video_fit, frame=t)).sum() for t in range(5))
    assert total == pytest.approx(video_fit.bits["latents"], rel=1e-5)


def test_history(fit, ax):
    assert plots.history(fit, ax) is ax
    loss, mse, rate = ax.lines[:3]
    np.testing.assert_array_equal(loss.get_ydata(), fit.history.loss)
    np.testing.assert_array_equal(mse.get_ydata(), fit.history.mse)
    np.testing.assert_allclose(
        rate.get_ydata(), fit.config.rd_weight * fit.history.bits / (20 * 33))
    assert ax.get_yscale() == "log" and ax.get_xlabel() == "step"
    assert {text.get_text() for text in ax.texts} >= {
        "loss", "distortion (MSE)", "rate (λ · bpp)"} and ax.get_legend() is None


def test_history_marks_stage_2(fit):
    ax = plots.history(dataclasses.replace(fit, config=c3.edit(fit.config, steps=6)))
    assert len(ax.lines) == 4
    assert list(ax.lines[3].get_xdata()) == [6, 6]


def test_coding_intervals_are_parts_of_the_part_above(ax):
    assert plots.coding_intervals([0, 1, 2, 4], [2, 0], ax, names="abc") is ax
    bars = ax.patches
    assert [bar.get_x() for bar in bars] == [0, 0.25, 0.5] * 2
    assert [bar.get_width() for bar in bars] == [0.25, 0.25, 0.5] * 2
    blue = to_rgb(plots.COLORS[0])
    assert [i for i, bar in enumerate(bars) if to_rgb(bar.get_facecolor()) == blue] == [2, 3]
    texts = [t.get_text() for t in ax.texts]
    assert texts.count("a") == texts.count("b") == texts.count("c") == 2
    assert "from 0.500000\nwidth 0.500000" in texts
    assert [tuple(line.get_xdata()) for line in ax.lines] == [(0.5, 0), (1, 1)]
    for wrong in (3, -1):
        with pytest.raises(ValueError, match="0 to 2"):
            plots.coding_intervals([0, 1, 2, 4], [wrong])


def test_wavefront(ax):
    config = c3.edit(c3.C3, num_grids=3)
    assert plots.wavefront(config, (9, 14), ax) is ax
    # 4 steps a row and 1 a column, for a window of 7 x 7
    np.testing.assert_array_equal(shown(ax), np.add.outer(4 * np.arange(9), np.arange(14)))
    assert ax.child_axes[0].get_ylabel() == "step"
    with pytest.raises(ValueError, match="an image"):
        inspect.unwrap(plots.wavefront)(config, (3, 9, 14))


def test_wavefront_at_a_step():
    config = c3.edit(c3.C3, num_grids=3)
    ax = plots.wavefront(config, (9, 14), step=17)
    kinds = np.asarray(ax.collections[0].get_array()).reshape(9, 14)
    steps = np.add.outer(4 * np.arange(9), np.arange(14))
    np.testing.assert_array_equal(kinds == 2, steps == 17)
    np.testing.assert_array_equal(kinds == 0, steps > 17)
    # the one in the middle is (3, 5): three rows of seven above it, and three on its left
    assert (kinds == 3).sum() == 3 * 7 + 3
    assert (kinds[3, 2:5] == 3).all() and (kinds[:3, 2:9] == 3).all()
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "unknown", "known", "this step", "a context"]
    assert max(steps.flat) == 45
    for step in (-1, 46):
        with pytest.raises(ValueError, match=f"step {step}"):
            plots.wavefront(config, (9, 14), step=step)


def test_show_hands_over_its_text(ax, monkeypatch):
    calls = []
    monkeypatch.setattr("IPython.display.display", lambda *args, **more: calls.append((args, more)))
    plots.show(ax, "a < b")
    ((data,), more), ((words,), _) = calls
    assert ax.figure.number not in plt.get_fignums()
    width, height = ax.figure.get_size_inches() * ax.figure.dpi
    assert more["metadata"] == {"image/png": {"alt": "a < b", "width": int(width)}}
    assert Image.open(io.BytesIO(data["image/png"])).size == (int(2 * width), int(2 * height))
    assert data["text/plain"] == "a < b"
    assert "<details>" in words.data and "a &lt; b" in words.data


def test_a_photograph_is_shown_as_jpeg(monkeypatch):
    calls = []
    monkeypatch.setattr("IPython.display.display", lambda *args, **more: calls.append((args, more)))
    plots.show(plots.image(c3.data.kodak(19)), "a lighthouse")
    ((data,), more), _ = calls
    assert list(data) == ["image/jpeg", "text/plain"] and list(more["metadata"]) == ["image/jpeg"]


def test_what_moves_is_shown_frame_by_frame(monkeypatch):
    calls = []
    monkeypatch.setattr("IPython.display.display", lambda *args, **more: calls.append((args, more)))

    def frames():
        for shade in (0.1, 0.5, 0.9):
            figure, ax = plt.subplots(figsize=(2, 1))
            ax.imshow(np.full((2, 2, 3), shade))
            yield figure

    plots.show_moving(frames(), "gray, lighter and lighter", seconds=0.25)
    ((data,), _), ((words,), _) = calls
    moving = Image.open(io.BytesIO(data["image/gif"]))
    assert (moving.n_frames, moving.info["duration"], moving.info["loop"]) == (3, 250, 0)
    middles = []
    for i in range(3):
        moving.seek(i)
        middles.append(moving.convert("L").getpixel((moving.width // 2, moving.height // 2)))
    assert middles == sorted(set(middles)) and not plt.get_fignums()
    assert "lighter and lighter" in words.data


def names(ax):
    """Boxes of the names at the lines of a drawn figure, by name."""
    ax.figure.canvas.draw()
    return {text.get_text(): Text.get_window_extent(text) for text in ax.texts
            if text.get_gid() == "name"}


def test_lines_are_named_at_their_ends_and_never_on_top_of_each_other(ax):
    for value in (1, 1.001, 1.002, 5):
        ax.plot([0, 1], [0, value], label=str(value))
    ax.plot([0, 1], [0, 3])  # without a label
    ax.plot([], [], label="nothing")
    ax.legend()
    plots.name_lines(ax)
    assert ax.get_legend() is None
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [
        (line.get_label(), line.get_color()) for line in ax.lines[:4]]
    boxes = sorted(names(ax).values(), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in itertools.pairwise(boxes))
    assert all(box.x0 > ax.bbox.x1 and box.x1 < ax.figure.bbox.x1 for box in boxes)


def test_a_line_that_ends_early_is_named_there_and_nothing_is_covered(ax):
    ax.plot([0, 10], [0, 1], label="long")
    ax.plot([0, 4], [0, 2], label="short")
    box = names(plots.name_lines(ax))["short"]
    end = ax.transData.transform((4, 2))
    assert np.abs(np.clip(end, box.p0, box.p1) - end).max() < 20
    for line in ax.lines:
        assert not line.get_path().transformed(ax.transData).intersects_bbox(box, filled=False)


def test_names_follow_limits_and_lines_that_come_later(ax):
    ax.plot([0, 10], [0, 10], label="up")
    plots.name_lines(ax)
    for limit in (10, 5):
        ax.set(xlim=(0, limit), ylim=(0, 10))
        box = names(ax)["up"]
        assert (box.y0 + box.y1) / 2 == pytest.approx(
            ax.transData.transform((0, limit))[1], abs=10)
    ax.plot([0, 10], [0, 0], label="flat")
    assert list(names(plots.name_lines(ax))) == ["up", "flat"] and len(ax.texts) == 2


@pytest.mark.parametrize("dataset", ["kodak", "clic2020-professional-valid", "uvg"])
def test_names_of_published_curves_do_not_overlap_and_are_not_cut_off(dataset):
    ax = plots.published_curves(dataset)
    boxes = names(ax)
    assert list(boxes) == [line.get_label() for line in ax.lines]
    for one, other in itertools.combinations(boxes.values(), 2):
        assert not one.overlaps(other)
    figure = ax.figure.bbox
    for line, box in zip(ax.lines, boxes.values(), strict=True):
        assert figure.x0 <= box.x0 and box.x1 <= figure.x1
        assert figure.y0 <= box.y0 and box.y1 <= figure.y1
        assert not line.get_path().transformed(ax.transData).intersects_bbox(box, filled=False)


def test_a_color_has_one_meaning():
    methods = {how["color"] for how in plots.METHOD_STYLE.values()}
    others = [*plots.COLORS, *PART_COLORS.values(), styles.ERROR, styles.TARGET]
    assert len(set(others)) == len(others) and not methods & set(others)
    assert styles.RATE == PART_COLORS["latents"] and styles.KNOWN == plots.COLORS[0]
    runs = {"C3": 1, "width 3": 2, "JPEG": 3, "width 4": 4}
    assert [color for *_, color in styles.colored(runs)] == [
        plots.METHOD_STYLE["C3"]["color"], plots.COLORS[1],
        plots.METHOD_STYLE["JPEG"]["color"], plots.COLORS[3]]


def test_curves_are_shown_without_a_box_and_maps_with_one(monkeypatch):
    monkeypatch.setattr(styles, "_display", lambda *_: None)
    figure, (curve, map_, mesh) = plt.subplots(1, 3)
    curve.plot([1, 2])
    mesh.pcolormesh([[1, 2]])
    styles.color_bar(map_.imshow([[1, 2]]), map_, "value")
    figure.add_axes((0, 0, 0.1, 0.1), projection="polar")  # whose edge has another name
    plots.show(figure, "a curve and a map")
    assert [curve.spines[side].get_visible() for side in ("top", "right", "left")] == [0, 0, 1]
    assert all(ax.spines[side].get_visible() for ax in (map_, mesh) for side in ("top", "right"))
