"""The rows of the paper's tables as data: a name and the config, or configs, to fit. A row is an
edit of its base: every ingredient of C3 has a value that is the simpler formula it replaced."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from c3lite.config import Config, edit, nearest


class Row(NamedTuple):
    """A row of a table."""

    name: str
    configs: tuple[Config, ...]
    """Of several, for each image and rate weight, that of least RD loss counts (App. A.4)."""


BASE = "C3"  # name of the row that the others are compared with

KNOCKOUTS: dict[str, dict[str, Any]] = {
    "soft-rounding": {"temperature": math.inf},
    "kumaraswamy-noise": {"noise": "kumaraswamy", "noise_shape": 1.0},
    "gelu": {"activation": "relu"},
    "shifted-log-scale": {"log_scale_shift": 0.0},
    "adaptive-lr-stage2": {"stage2_patience": 10**9},
    "quantization-step<1": {"quantization_step": 1.0},
    "previous-grid-conditioning": {"previous_grid_size": 0},
}
"""What is removed, and how: the first six in the order of Table 3, the last of CLIC only.

The names are those of `reference.paper_table`. Removing soft-rounding keeps the Kumaraswamy noise,
and stage 2's slope of rounding, which reaches no latent in practice."""

LADDER = ("quantization-step<1", "shifted-log-scale", "gelu", "soft-rounding", "kumaraswamy-noise",
          "adaptive-lr-stage2")
"""The course's order of climbing: noise last of the two, as it is made for soft-rounding."""

FAST_PARTS: dict[str, tuple[str, ...]] = {
    "SOAP": ("network_optimizer", "network_decay"),
    "clipping the networks alone": ("clipped_gradients", "latent_epsilon"),
    "latents' gains": ("latent_gains", "latent_gain_bins"),
    "Gaussian noise": ("noise",),
    "steeper soft-rounding": ("temperature", "second_rounding_is_s"),
    "the clip's gradient": ("clip_gradient",),
    "the networks' bits": ("network_rate", "parameter_steps"),
    "a window first": ("window",),
}
"""The fields in which C3_FAST differs from C3, by what they are of."""


def knockouts(base: Config, names: Iterable[str] | None = None) -> list[Row]:
    """The base, then each ingredient of `names` removed alone (Tables 3 and 10), without, of all
    that change the base. Raises `ValueError` for others."""
    rows = [Row(BASE, (base,))]
    for name in KNOCKOUTS if names is None else names:
        check_name("no ingredient", name, KNOCKOUTS)
        without = edit(base, **KNOCKOUTS[name])
        if without != base:
            rows.append(Row(name, (without,)))
        elif names is not None:
            raise ValueError(f"the base has no {name!r} that could be removed")
    return rows


def check_name(what: str, name: str, known: Iterable[str]) -> None:
    """Raise `ValueError` for a name that is not known, with the nearest and all that are."""
    if name not in known:
        raise ValueError(f"{what} {name!r}{nearest(name, known)}; there are {', '.join(known)}")


def sequential(adaptive: Sequence[Config], fixed: Config,
               baseline: Config | None = None) -> list[Row]:
    """Adaptive C3, fixed hyperparameters, then one ingredient after another removed for good
    (Tables 2 and 9, whose order is not in the text we hold), and `baseline`."""
    rows = [Row("C3 adaptive", tuple(adaptive)), Row("adaptive", (fixed,))]
    for row in knockouts(fixed)[1:]:
        fixed = edit(fixed, **KNOCKOUTS[row.name])
        rows.append(Row(row.name, (fixed,)))
    return rows if baseline is None else [*rows, Row("COOL-CHICv2", (baseline,))]


def between(first: Config, last: Config, names: tuple[str, str],
            parts: Mapping[str, Sequence[str]]) -> list[Row]:
    """`first`, it with each of the `parts` (names and fields) of `last` in which they differ, then
    `last`, and it with each of `first`. `names` are of the two. Raises `ValueError` for a
    difference that is in no part."""
    def taken(base, other, fields):
        return edit(base, **{field: getattr(other, field) for field in fields})

    everything = taken(first, last, itertools.chain(*parts.values()))
    if everything != last:
        others = [f.name for f in dataclasses.fields(last)
                  if getattr(everything, f.name) != getattr(last, f.name)]
        raise ValueError(f"no part has {', '.join(others)}, in which the configs differ")
    parts = {part: fields for part, fields in parts.items() if taken(first, last, fields) != first}
    return [
        Row(names[0], (first,)),
        *(Row(f"with {part}", (taken(first, last, fields),)) for part, fields in parts.items()),
        Row(names[1], (last,)),
        *(Row(f"{names[1]} without {part}", (taken(last, first, fields),))
          for part, fields in parts.items())]


def ladder(first: Config, last: Config, parts: Mapping[str, Sequence[str]]) -> list[Row]:
    """From one config to another, one part of their difference after another, each kept."""
    rows = []
    for part, fields in parts.items():
        first = edit(first, **{field: getattr(last, field) for field in fields})
        rows.append(Row(f"and {part}", (first,)))
    return rows


def rungs(base: Config, names: Sequence[str] = LADDER) -> list[Row]:
    """`base` without any of `names` (of `KNOCKOUTS`), "none of them", then with one after another
    given back, by its name; the last is `base`."""
    bottom = edit(base, **{field: value for name in names
                           for field, value in KNOCKOUTS[name].items()})
    climb = ladder(bottom, base, {name: tuple(KNOCKOUTS[name]) for name in names})
    return [Row("none of them", (bottom,)),
            *(row._replace(name=name) for row, name in zip(climb, names, strict=True))]


def annealing(base: Config) -> list[Row]:
    """The base, then soft-rounding and noise held fixed instead of annealed (Table 11)."""
    return [Row(BASE, (base,)),
            *(Row(f"T={T:g} a={a:g}", (edit(base, temperature=T, noise_shape=a),))
              for T, a in itertools.product((0.1, 0.2, 0.3), (1.0, 1.5, 2.0)))]


def schedules(base: Config, steps: Sequence[int]) -> list[Row]:
    """The base, then schedules of other lengths, stage 2 a tenth of stage 1 (Fig. 23)."""
    return [Row(BASE, (base,)), *(
        Row(f"{n} steps", (edit(base, steps=n, stage2_steps=n // 10),)) for n in steps)]
