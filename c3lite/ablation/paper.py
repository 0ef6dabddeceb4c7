"""What the paper prints for each table, by the names of our rows."""

from collections.abc import Mapping
from typing import NamedTuple

from c3lite.evaluation import reference
from c3lite.evaluation.metrics import bd_rate

DATASETS = {"kodak": ("Kodak", "kodak"), "clic2020": ("CLIC2020", "clic2020-professional-valid"),
            "video": ("UVG", "uvg")}
"""A table's data set for people, and in `reference`."""


class PaperTable(NamedTuple):
    """A table of the paper."""

    title: str
    dataset: str  # kodak, clic2020 or video: whose images the paper used
    numbers: Mapping[str, float]  # BD-rates in percent by row


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


TABLE3 = reference.paper_table("table3_kodak_knockout_bd_rate_percent")

TABLES: dict[str, PaperTable] = {
    "table02": PaperTable("Table 2: one improvement after another removed", "kodak",
                          _ends("kodak")),
    "table03": PaperTable("Table 3: each improvement removed alone", "kodak", TABLE3),
    "kodak": PaperTable("C3 and COOL-CHICv2 image by image", "kodak", {
        "COOL-CHICv2": _published_rate("kodak", "COOL-CHICv2", "C3 (paper)")}),
    "baseline": PaperTable("From C3 without its improvements to COOL-CHICv2", "kodak", {}),
    "ladder": PaperTable("The ladder: from C3 without its improvements to C3", "kodak", {}),
    "fast": PaperTable("From C3 to C3_FAST, part by part", "kodak", {}),
    "fast_video": PaperTable("From UVG to UVG_FAST, on clips", "video", {}),
    "worth": PaperTable("How many steps of C3 a short fit with C3_FAST is worth", "kodak", {}),
    "beyond": PaperTable("From C3_FAST to BEYOND, part by part", "kodak", {}),
    "table03_fast": PaperTable("Table 3's rows over C3_FAST", "kodak", TABLE3),
    "latents": PaperTable("Does a larger quantization step slow the latents down?", "kodak",
                          {"quantization step 1": TABLE3["quantization-step<1"]}),
    "table09": PaperTable("Table 9: one improvement after another removed", "clic2020",
                          _ends("clic2020-professional-valid")),
    "table10": PaperTable("Table 10: each improvement removed alone", "clic2020",
                          reference.paper_table("table10_clic2020_knockout_bd_rate_percent")),
    "table11": PaperTable("Table 11: temperature and noise held fixed", "clic2020", {
        f"T={row['T']:g} a={row['a']:g}": row["bd_rate"]
        for row in reference.paper_table("table11_clic2020_fixed_T_a_bd_rate_percent")}),
    "table12": PaperTable("Table 12: more settings to choose from", "video",
                          reference.paper_table("table12_uvg_bd_rate_vs_hevc_medium_percent")),
    "stage1_only": PaperTable("App. D.2: stage 1 alone", "clic2020", _stages()),
    "quantization": PaperTable("What stands in for rounding", "kodak", {
        "Kumaraswamy noise": TABLE3["soft-rounding"],
        "soft-rounding, uniform noise": TABLE3["kumaraswamy-noise"]}),
    "steps": PaperTable("Fig. 23: BD-rate against the length of the schedule", "clic2020", {}),
}
"""By the names of the notebooks."""
