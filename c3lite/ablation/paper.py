"""What the paper prints for each table, by the names of our rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from c3lite.evaluation import reference
from c3lite.evaluation.metrics import bd_rate


class About(NamedTuple):
    """A table of the paper."""

    title: str
    dataset: str
    """kodak, clic2020 or video: whose images the paper used."""
    dataset_title: str
    numbers: Callable[[], dict[str, float]]
    """BD-rates in percent by row."""


def _annealing() -> dict[str, float]:
    rows = reference.paper_table("table11_clic2020_fixed_T_a_bd_rate_percent")
    return {f"T={row['T']:g} a={row['a']:g}": row["bd_rate"] for row in rows}


def _ends(dataset: str) -> dict[str, float]:
    """The rows of Tables 2 and 9 that follow from published points: their text is not at hand."""
    def against_adaptive(codec):
        anchor = reference.rd_points(dataset, "C3 adaptive (paper)")
        points = reference.rd_points(dataset, codec)
        return bd_rate(points.bpp, points.psnr_db, anchor.bpp, anchor.psnr_db)

    return {"adaptive": against_adaptive("C3 (paper)"),
            "COOL-CHICv2": against_adaptive("COOL-CHICv2")}


def _baseline() -> dict[str, float]:
    """COOL-CHICv2 against C3, from the published points on Kodak."""
    c3, v2 = (reference.rd_points("kodak", codec) for codec in ("C3 (paper)", "COOL-CHICv2"))
    return {"COOL-CHICv2": bd_rate(v2.bpp, v2.psnr_db, c3.bpp, c3.psnr_db)}


def _stages() -> dict[str, float]:
    """Both are printed against VTM: their ratio is about stage 1 alone against both."""
    rates = reference.paper_table("appendix_d2_stage2_bd_rate_vs_vtm_percent")
    both, one = (1 + rates[name] / 100 for name in ("stage 1 and 2", "stage 1 only"))
    return {"stage 1 only": 100 * (one / both - 1)}


def _table(name: str) -> Callable[[], dict[str, float]]:
    return lambda: dict(reference.paper_table(name))


def _step() -> dict[str, float]:
    """The row of Table 3 that is also a row of the study of faster latents."""
    rates = reference.paper_table("table3_kodak_knockout_bd_rate_percent")
    return {"quantization step 1": rates["quantization-step<1"]}


def _quantizers() -> dict[str, float]:
    """The rows of Table 3 that are also rows of the quantization study."""
    rates = reference.paper_table("table3_kodak_knockout_bd_rate_percent")
    return {"Kumaraswamy noise": rates["soft-rounding"],
            "soft-rounding, uniform noise": rates["kumaraswamy-noise"]}


TABLES: dict[str, About] = {
    "table02": About("Table 2: one improvement after another removed", "kodak", "Kodak",
                     lambda: _ends("kodak")),
    "table03": About("Table 3: each improvement removed alone", "kodak", "Kodak",
                     _table("table3_kodak_knockout_bd_rate_percent")),
    "kodak": About("C3 and COOL-CHICv2 image by image", "kodak", "Kodak", _baseline),
    "baseline": About("From C3 without its improvements to COOL-CHICv2", "kodak", "Kodak", dict),
    "latents": About("Does a larger quantization step slow the latents down?", "kodak", "Kodak",
                     _step),
    "table09": About("Table 9: one improvement after another removed", "clic2020", "CLIC2020",
                     lambda: _ends("clic2020-professional-valid")),
    "table10": About("Table 10: each improvement removed alone", "clic2020", "CLIC2020",
                     _table("table10_clic2020_knockout_bd_rate_percent")),
    "table11": About("Table 11: temperature and noise held fixed", "clic2020", "CLIC2020",
                     _annealing),
    "table12": About("Table 12: more settings to choose from", "video", "UVG",
                     _table("table12_uvg_bd_rate_vs_hevc_medium_percent")),
    "stage1_only": About("App. D.2: stage 1 alone", "clic2020", "CLIC2020", _stages),
    "quantization": About("What stands in for rounding", "kodak", "Kodak", _quantizers),
    "steps": About("Fig. 23: BD-rate against the length of the schedule", "clic2020", "CLIC2020",
                   dict),
}
"""By the names of the notebooks."""
