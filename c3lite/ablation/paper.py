"""What the paper prints for each table, by the names of our rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from c3lite.evaluation import reference
from c3lite.evaluation.metrics import bd_rate


class PaperTable(NamedTuple):
    """A table of the paper."""

    title: str
    dataset: str
    """kodak, clic2020 or video: whose images the paper used."""
    numbers: Callable[[], dict[str, float]]
    """BD-rates in percent by row."""


DATASETS = {"kodak": ("Kodak", "kodak"), "clic2020": ("CLIC2020", "clic2020-professional-valid"),
            "video": ("UVG", "uvg")}
"""A table's data set for people, and in `reference`."""


def _annealing() -> dict[str, float]:
    rows = reference.paper_table("table11_clic2020_fixed_T_a_bd_rate_percent")
    return {f"T={row['T']:g} a={row['a']:g}": row["bd_rate"] for row in rows}


def _published_rate(dataset: str, codec: str, anchor: str) -> float:
    """From published points: BD-rate of one codec over another, in percent."""
    points, known = (reference.rd_points(dataset, name) for name in (codec, anchor))
    return bd_rate(points.bpp, points.psnr_db, known.bpp, known.psnr_db)


def _ends(dataset: str) -> dict[str, float]:
    """The rows of Tables 2 and 9 that follow from published points: their text is not at hand."""
    return {row: _published_rate(dataset, codec, "C3 adaptive (paper)")
            for row, codec in (("adaptive", "C3 (paper)"), ("COOL-CHICv2", "COOL-CHICv2"))}


def _stages() -> dict[str, float]:
    """Both are printed against VTM: their ratio is about stage 1 alone against both."""
    rates = reference.paper_table("appendix_d2_stage2_bd_rate_vs_vtm_percent")
    both, one = (1 + rates[name] / 100 for name in ("stage 1 and 2", "stage 1 only"))
    return {"stage 1 only": 100 * (one / both - 1)}


def _table(name: str) -> Callable[[], dict[str, float]]:
    return lambda: dict(reference.paper_table(name))


def _table3_rows(names: Mapping[str, str]) -> dict[str, float]:
    """Rows of Table 3 by the names that they have in another study."""
    rates = reference.paper_table("table3_kodak_knockout_bd_rate_percent")
    return {name: rates[row] for name, row in names.items()}


TABLES: dict[str, PaperTable] = {
    "table02": PaperTable("Table 2: one improvement after another removed", "kodak",
                          lambda: _ends("kodak")),
    "table03": PaperTable("Table 3: each improvement removed alone", "kodak",
                          _table("table3_kodak_knockout_bd_rate_percent")),
    "kodak": PaperTable("C3 and COOL-CHICv2 image by image", "kodak", lambda: {
        "COOL-CHICv2": _published_rate("kodak", "COOL-CHICv2", "C3 (paper)")}),
    "baseline": PaperTable("From C3 without its improvements to COOL-CHICv2", "kodak", dict),
    "ladder": PaperTable("The ladder: from C3 without its improvements to C3", "kodak", dict),
    "fast": PaperTable("From C3 to C3_FAST, part by part", "kodak", dict),
    "beyond": PaperTable("From C3_FAST to BEYOND, part by part", "kodak", dict),
    "latents": PaperTable("Does a larger quantization step slow the latents down?", "kodak",
                          lambda: _table3_rows({"quantization step 1": "quantization-step<1"})),
    "table09": PaperTable("Table 9: one improvement after another removed", "clic2020",
                          lambda: _ends("clic2020-professional-valid")),
    "table10": PaperTable("Table 10: each improvement removed alone", "clic2020",
                          _table("table10_clic2020_knockout_bd_rate_percent")),
    "table11": PaperTable("Table 11: temperature and noise held fixed", "clic2020", _annealing),
    "table12": PaperTable("Table 12: more settings to choose from", "video",
                          _table("table12_uvg_bd_rate_vs_hevc_medium_percent")),
    "stage1_only": PaperTable("App. D.2: stage 1 alone", "clic2020", _stages),
    "quantization": PaperTable("What stands in for rounding", "kodak", lambda: _table3_rows({
        "Kumaraswamy noise": "soft-rounding",
        "soft-rounding, uniform noise": "kumaraswamy-noise"})),
    "steps": PaperTable("Fig. 23: BD-rate against the length of the schedule", "clic2020", dict),
}
"""By the names of the notebooks."""
