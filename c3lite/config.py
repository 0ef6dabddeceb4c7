"""Every choice of the paper as one frozen table (Tables 4-6), and the presets that are rows of it.

A field that shapes arrays or the program is *static* (hashable, compiled in). Every number
(rate weight, temperature, clip, learning rate, number of steps) is a *leaf*: two configs that
differ only in numbers share one compiled program and can run as one batch.

Each ingredient of C3 has a value that is the simpler formula it replaced, so that an ablation is
an edit of one field: `temperature=inf` is no soft-rounding, `noise_shape=1` is uniform noise and
`noise_shape=inf` none, `quantization_step=1`, `log_scale_shift=0`, `gradient_clip=inf`,
`stage2_temperature=inf` (the linear straight-through estimator), `stage2_patience=10**9` (a
constant stage-2 learning rate).
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import json
import math
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

import equinox as eqx
import jax.numpy as jnp

from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.ingredients.distributions import DISTRIBUTIONS
from c3lite.ingredients.initialization import INITIALIZATIONS
from c3lite.ingredients.noise import NOISES
from c3lite.ingredients.optimizers import NETWORK_OPTIMIZERS
from c3lite.ingredients.upsampling import UPSAMPLINGS

FORMAT_VERSION = 1
"""Version of the config's own fields; a saved config of another version is refused."""


class Anneal(eqx.Module):
    """A number that moves from `start` to `end` over stage 1."""

    start: float
    end: float

    def linear(self, progress):
        """Value at `progress` in [0, 1], on a straight line."""
        # `end` itself at progress 1 and `start` while start == end, also when both are infinite
        mixed = self.start + (self.end - self.start) * progress
        return jnp.where(jnp.equal(self.start, self.end), self.start, mixed)

    def cosine(self, progress):
        """Value at `progress` in [0, 1], on half a cosine (App. A.2.3)."""
        return self.end + (self.start - self.end) * (1 + jnp.cos(jnp.pi * progress)) / 2


def _field(default, *, coded: int | None = None, above=None, least=None, static=False):
    """A field of `Config`, a number `above` a limit or at `least` one. `coded` marks what a decoder
    needs: the field's number in files, never used for another one."""
    return eqx.field(default=default, static=static, metadata={
        "coded": coded, "above": above, "least": least})


_static = functools.partial(_field, static=True)


class Config(eqx.Module):
    """Hyperparameters of a codec and of its fit. Defaults: C3 on Kodak (Tables 4 and 5). Raises
    `ValueError` when a value is impossible, `TypeError` when it has the wrong type."""

    # Objective, Eq. 4
    rd_weight: float = _field(1e-3, above=0)
    """lambda, above 0: a bit per pixel is worth this much MSE of values in [0, 1] (Eq. 4)."""

    # Latent grids, App. A.1.1
    num_grids: int = _static(7, coded=0)
    """N, 1 to 16: grid n has 2**-n of the resolution (Eq. 6)."""
    finest_grid: bool = _static(True, coded=1)
    """Whether the grid at full resolution is there; without it the exponents are 1..N."""
    learned_gains: bool = _static(False)
    """Gains 2**exponent are fixed (C3) or trained (COOL-CHIC)."""
    gain_floor: float = _field(0.0, least=0)
    """Lower limit of a learned gain, 0 or more: 0 in COOL-CHIC, 1 in COOL-CHICv2."""
    latent_gains: Literal["doubling", "at least", "equal"] = _static("doubling")
    """Gains at the start: 2**exponent, at least `latent_gain_bins` bins, or all of so many."""
    latent_gain_bins: float = _field(8.0, above=0)
    """Above 0: Adam moves a latent by about this many bins a step, times the learning rate."""
    quantization_step: float = _field(0.4, coded=2, above=0)
    """Bin width q in latent units, above 0: networks see multiples of q (App. A.1.1)."""

    # Upsampling, App. A.1.2
    upsampling: Literal[tuple(UPSAMPLINGS)] = _static("bilinear", coded=3)
    """Kernel, one of `UPSAMPLINGS`."""
    upsampling_recursive: bool = _static(False, coded=4)
    """Upsample by 2 from grid to grid (COOL-CHIC) instead of straight to full size."""

    # Synthesis, App. A.1.3
    synthesis_widths: tuple[int, ...] = _static((18, 18), coded=5)
    """Channels of the hidden 1x1 layers, 1 to 1024 each."""
    synthesis_residual_convs: int = _static(2, coded=6, least=0)
    """Residual convolutions of 3 entries a side after the 1x1 layers, 0 or more."""
    synthesis_per_frame: bool = _static(False, coded=7)
    """Video: residual convolutions of 1x3x3 instead of 3x3x3 (Table 6, S1 and S3)."""
    rgb_activation: bool = _static(False, coded=8)
    """An activation between the last 1x1 layer and the residual convolutions (COOL-CHICv2)."""
    mean_rgb_bias: bool = _static(False)
    """Start the last 1x1 layer's bias at the mean color (Table 6, S1 and S2)."""
    clip_gradient: Literal["zero", "straight_through"] = _static("zero")
    """Outside of the clip of pixels to [0, 1]: zero, with which a bright picture can end as one of
    one color (the release), or as if there were no clip."""

    # Entropy model, App. A.1.4 and A.3
    entropy_widths: tuple[int, ...] = _static((18, 18), coded=9)
    """Channels of the hidden layers, 1 to 1024 each."""
    context_size: tuple[int, ...] = _static((7, 7), coded=10)
    """Window (height, width) or (frames, height, width), odd; its causal half is the context."""
    context_taps: int = _static(0, coded=23, least=0)
    """Only so many of the frame's own causal latents, 1 to 14 by `context.PRIORITY`; 0: all."""
    grid_features: int = _static(0, coded=24, least=0)
    """Numbers that a latent of the `featured_grids` finest grids learns from all coarser ones where
    it lies; 0: none (Cool-Chic 5: 6)."""
    featured_grids: int = _static(3, coded=25, least=0)
    """How many of the finest grids have these features, 0 or more."""
    hyper_grids: int = _static(0, coded=26, least=0)
    """Further grids, of the sizes of as many coarsest ones, that only features are made of."""
    previous_grid_size: int = _static(0, coded=11, least=0)
    """Side of the window taken from the next finer grid (Eq. 10); 0: none, 3: the paper's."""
    entropy_per_grid: bool = _static(False, coded=12)
    """A network for each grid (Eq. 11)."""
    entropy_film: bool = _static(False, coded=13)
    """One network, modulated for each grid by a scale and a shift a channel (FiLM)."""
    mask_shape: tuple[int, int] | None = _static(None, coded=14)
    """Video: (height, width) of the custom mask in the previous frame; None: no mask."""
    masked_grids: int = _static(3, coded=15, least=0)
    """How many of the finest grids see the previous frame through the mask (K), 0 or more."""
    mask_origins: tuple[tuple[int, int], ...] = _field((), coded=16)
    """(dy, dx) of the mask's first entry for each masked grid; learned by `learn_offsets`."""
    latent_distribution: Literal[tuple(DISTRIBUTIONS)] = _static("laplace", coded=29)
    """Of a latent around its mu, one of `DISTRIBUTIONS`."""
    log_scale_shift: float = _field(8.0, coded=17)
    """Added to the network's second output; the log-scale is -1/2 of the sum (App. A.1.4)."""
    scale_min: float = _field(1e-3, coded=18, above=0)
    """Lower limit of the Laplace scale, in latent units, above 0."""
    scale_max: float = _field(150.0, coded=19)
    """Upper limit of the Laplace scale, in latent units; above `scale_min`."""

    # Both networks
    activation: Literal[tuple(ACTIVATIONS)] = _static("gelu", coded=20)
    """One of `ACTIVATIONS`."""
    residual_layers: bool = _static(False, coded=21)
    """Hidden layers of equal width add their input before the activation (COOL-CHIC)."""
    linear_branches: bool = _static(False, coded=22)
    """Each network's inputs, by a linear map of their own, are added to its outputs; the colors'
    after the residual convolutions (Cool-Chic 5)."""
    init: Literal[tuple(INITIALIZATIONS)] = _static("truncated_normal")
    """How weights start, one of `INITIALIZATIONS`."""
    init_scale: float = _field(1.0, above=0)
    """Factor on the weights' initial standard deviation, above 0."""

    # Warm-up of COOL-CHIC
    warmup_starts: int = _static(1, least=1)
    """1 or more random networks take the first steps; the one of least loss goes on."""
    warmup_steps: int = _field(200, least=0)
    """The first steps of each start, 0 or more, though no more than a tenth of stage 1."""
    window: tuple[int, int] | None = _static(None)
    """(height, width) of a window of a large picture, from a fit of which the networks start."""

    # Stage 1, App. A.2
    rate_warmup: float = _field(0.0, least=0)
    """Share of stage 1 in which lambda grows from 3 % of itself; 0: it is all there at once."""
    steps: int = _field(100_000, least=0)
    """Of stage 1, 0 or more: soft-rounding and noise."""
    network_optimizer: Literal[tuple(NETWORK_OPTIMIZERS)] = _static("adam")
    """Of all but the latents, which have Adam; one of `NETWORK_OPTIMIZERS`."""
    network_decay: float = _static(0.0, least=0)
    """Weights lose this share of themselves a step, times the learning rate; 0 or more."""
    network_rate: float = _static(0.0, least=0)
    """Weight of the networks' own bits in their gradient; 0: not seen (C3), 1: as in a file."""
    network_pixels: float = _field(0.0, least=0)
    """Above 0 they weigh as in a file of so many pixels or more, in a `window` as in the picture's;
    0: as in one of what is fitted, also in a window."""
    network_speed: float = _field(1.0, above=0)
    """Learning rate of the networks in stage 1, as a multiple of the latents'; a window has 1."""
    network_warmup: float = _field(0.0, least=0)
    """Share of stage 1 in which that grows from 0, after a window or without; a window has 0."""
    latent_beta2: float = _static(0.999, least=0)
    """Decay rate of Adam's second moment of the latents, 0 to below 1."""
    latent_epsilon: float = _static(1e-8, above=0)
    """Adam's epsilon for the latents, whose gradients are near 1e-8 on whole photos."""
    learning_rate: Anneal = _field(Anneal(1e-2, 0.0))
    """0 or more, along a cosine; equal ends make it constant."""
    temperature: Anneal = _field(Anneal(0.3, 0.1))
    """T of soft-rounding (Eq. 20), above 0, along a line; inf: none."""
    second_rounding_is_s: bool = _static(False)
    """The second soft-rounding is s again instead of r (App. A.2.4)."""
    noise: Literal[tuple(NOISES)] = _static("kumaraswamy")
    """Added between the two soft-roundings (Eq. 19), one of `NOISES`."""
    noise_shape: Anneal = _field(Anneal(2.0, 1.0))
    """a of the Kumaraswamy noise (Eq. 22), 1 to 16, along a line; 1: uniform, inf: no noise."""
    noise_sigma: Anneal = _field(Anneal(0.22, 0.15))
    """Standard deviation of the Gaussian noise, in bins, 0 or more, along a line."""
    gradient_clip: float = _field(0.1, above=0)
    """Largest norm of the `clipped_gradients`, above 0; inf: no clipping."""
    clipped_gradients: Literal["all", "networks"] = _static("all")
    """Clipped by their norm together (App. A.2.2), or without the latents'."""
    latent_gradient_scale: float = _field(1.0, above=0)
    """Factor on the latents' gradient before clipping, above 0 (COOL-CHICv2: 100)."""
    frozen_networks: bool = _static(False)
    """Fit the latents only: the networks stay what they are at the start (`refit`)."""

    # Stage 2, App. A.2
    stage2_steps: int = _field(10_000, least=0)
    """Most steps of hard rounding, 0 or more."""
    stage2_learning_rate: float = _field(1e-4, least=0)
    """At the start of stage 2, 0 or more."""
    stage2_patience: int = _field(20, above=0)
    """1 or more steps without improvement before the rate decays and the best is restored."""
    stage2_decay: float = _field(0.8, above=0)
    """Factor of that decay, above 0, at most 1."""
    stage2_min_learning_rate: float = _field(1e-8, least=0)
    """Below this rate, 0 or more, the fit ends."""
    stage2_temperature: float = _field(1e-4, above=0)
    """T of the soft-rounding whose slope stands in for rounding's, above 0; inf: the identity."""
    stage2_latent_gradient_scale: float = _field(1.0, least=0)
    """Factor on the latents' gradient, 0 or more: epsilon of COOL-CHICv2 (0.01)."""

    # Network quantization, App. A.2.6
    parameter_steps: tuple[float, ...] = _static((5e-5, 1e-4, 5e-4, 1e-3, 3e-3, 6e-3, 1e-2))
    """Candidate quantization steps in (0, 1), tried for weights x biases (Eq. 24)."""
    steps_per_network: bool = _static(False, coded=27)
    """The entropy model has a pair of steps of its own (Cool-Chic)."""
    steps_per_array: bool = _static(False, coded=28)
    """Every array of the networks has a step of its own, of `header.ARRAY_STEPS`."""
    network_rdoq: bool = _static(False)
    """The networks' integers are moved towards zero where it costs less than it saves."""

    def __check_init__(self):
        for field in dataclasses.fields(self):
            name, value, limits = field.name, getattr(self, field.name), field.metadata
            _check_type(name, value)
            # NaN fails every comparison, so it is refused here too
            if limits["above"] is not None and not value > limits["above"]:
                raise ValueError(f"{name} must be greater than {limits['above']}, got {value!r}")
            if limits["least"] is not None and not value >= limits["least"]:
                raise ValueError(f"{name} must be {limits['least']} or more, got {value!r}")
        for name, holds, wish in (
            ("num_grids", lambda v: 1 <= v <= 16, "in 1..16"),
            # beyond 16, float32 loses the noise to cancellation, until it is a constant -1/2
            ("noise_shape", lambda a: all(1 <= v <= 16 or v == math.inf for v in (a.start, a.end)),
             "1 (uniform) to 16, or inf (none)"),
            *((name, lambda a: math.isinf(a.start) == math.isinf(a.end),
               "finite at both ends or inf at both") for name in ("noise_shape", "temperature")),
            ("temperature", lambda t: t.start > 0 and t.end > 0, "greater than 0"),
            *((name, lambda a: 0 <= a.start < math.inf and 0 <= a.end < math.inf,
               "0 or more, and finite") for name in ("learning_rate", "noise_sigma")),
            ("scale_max", lambda v: v > self.scale_min, "above scale_min"),
            ("context_size", lambda v: len(v) in (2, 3) and all(k > 0 and k % 2 for k in v),
             "two or three odd numbers, (height, width) or (frames, height, width)"),
            ("context_taps", lambda v: v <= 14, "0 (all) to 14"),
            *((name, lambda v: v <= 1, "0 to 1")
              for name in ("rate_warmup", "network_warmup", "stage2_decay")),
            ("latent_beta2", lambda v: v < 1, "0 to below 1"),
            ("hyper_grids", lambda v: v <= min(self.num_grids, 16 - self.num_grids),
             "no more than num_grids, and 16 with them"),
            ("previous_grid_size", lambda v: v == 0 or v % 2 == 1, "0 or an odd number"),
            *((name, lambda v: all(0 < width <= 1024 for width in v), "widths in 1..1024")
              for name in ("synthesis_widths", "entropy_widths")),
            *((name, lambda v: v is None or min(v) > 0, "two numbers above 0, or None")
              for name in ("mask_shape", "window")),
            ("parameter_steps", lambda v: len(v) > 0 and all(0 < s < 1 for s in v),
             "one or more steps in (0, 1)"),
        ):
            if not holds(getattr(self, name)):
                raise ValueError(f"{name} must be {wish}, got {getattr(self, name)!r}")
        if self.warmup_starts > 1 and self.window is not None:
            raise ValueError("warmup_starts and window exclude each other")
        for one, other in (
            ("entropy_per_grid", "entropy_film"), ("grid_features", "previous_grid_size"),
            ("mask_shape", "grid_features"), ("mask_shape", "linear_branches"),
            ("steps_per_network", "steps_per_array"),
        ):
            if getattr(self, one) and getattr(self, other):
                raise ValueError(f"{one} and {other} exclude each other")
        if UPSAMPLINGS[self.upsampling].is_separable and not self.finest_grid:
            raise ValueError(f"{self.upsampling} upsampling needs the finest_grid")
        if self.hyper_grids and not self.grid_features:
            raise ValueError("hyper_grids are seen through grid_features, which are 0")
        if self.mask_shape is not None and self.context_size[:-2] not in ((), (1,)):
            raise ValueError("a mask replaces the previous frame: context_size must be one frame "
                             f"(height, width), got {self.context_size}")
        if self.mask_shape is None and len(self.mask_origins):
            raise ValueError("mask_origins need a mask_shape")

    def to_json(self) -> str:
        """The config as JSON, to be read back by `Config.from_json`."""
        return json.dumps({"version": FORMAT_VERSION, **dataclasses.asdict(self)})

    def canonical_json(self) -> str:
        """What names a fit in a store or a checkpoint: the fields off their defaults, sorted. A
        field that is added later, with a default that changes nothing, leaves old names as they
        are; 1 and 1.0 are one config."""
        changed = {name: value for name, value in _plain(self).items()
                   if value != _defaults(type(self))[name]}
        return json.dumps(changed, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Config:
        """Inverse of `to_json`. Raises `ValueError` for a config of another version."""
        values = json.loads(text)
        version = values.pop("version", None)
        if version != FORMAT_VERSION:
            raise ValueError(f"this config was written by version {version} of the config format; "
                             f"this c3lite reads version {FORMAT_VERSION}")
        return edit(Config(), **values)


def _plain(config: Config) -> dict[str, Any]:
    return json.loads(json.dumps(dataclasses.asdict(config), default=float), parse_int=float)


_defaults = functools.cache(lambda kind: _plain(kind()))


@functools.cache
def field_types() -> dict[str, Any]:
    """The type of every field of `Config`."""
    return typing.get_type_hints(Config)


def coded_fields() -> dict[str, int]:
    """What a decoder needs: the fields that are marked so, and their numbers in files."""
    return {f.name: f.metadata["coded"] for f in dataclasses.fields(Config)
            if f.metadata["coded"] is not None}


def _check_type(name: str, value):
    hint = field_types()[name]
    if _has_type(value, hint):
        return
    if typing.get_origin(hint) is Literal:
        wish = "one of " + ", ".join(map(repr, typing.get_args(hint)))
        raise ValueError(f"{name} must be {wish}, got {value!r}")
    text = Config.__dataclass_fields__[name].type
    raise TypeError(f"{name} must be {text}, got {value!r}")


def _has_type(value, hint) -> bool:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin in (Union, types.UnionType):
        return any(_has_type(value, part) for part in parts)
    if origin is tuple:
        if isinstance(value, tuple) and parts[-1] is Ellipsis:
            parts = parts[:1] * len(value)
        return isinstance(value, tuple) and len(value) == len(parts) and all(
            map(_has_type, value, parts))
    if hint in (int, float):
        kind = numbers.Integral if hint is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool)
    if hint is Anneal and isinstance(value, Anneal):
        return _has_type(value.start, float) and _has_type(value.end, float)
    return isinstance(value, hint)


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def nearest(name: str, known) -> str:
    """A hint ", did you mean 'x'?" for an unknown name; empty if nothing is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def edit(config: Config, **changes) -> Config:
    """A copy of `config` with some fields changed.

    An annealed field takes a number (the same at both ends), a pair (start, end) or an `Anneal`;
    one end alone is `temperature__end=0.2` or, from a mapping, `**{"temperature.end": 0.2}`.

    Raises `ValueError` for an unknown name (naming the nearest) or an impossible value,
    `TypeError` for a value of the wrong type.
    """
    values: dict[str, Any] = {}
    for name, value in changes.items():
        name, _, end = name.replace("__", ".").partition(".")
        if name not in field_types():
            raise ValueError(f"no config field {name!r}{nearest(name, field_types())}")
        hint = field_types()[name]
        if end and (hint is not Anneal or end not in ("start", "end")):
            raise ValueError(f"{name} has no part {end!r}: annealed fields have start and end")
        if end:
            value = dataclasses.replace(values.get(name, getattr(config, name)), **{end: value})
        elif hint is Anneal:
            value = _annealed(name, value)
        elif hint is float and _has_type(value, float):
            value = float(value)  # so that 1 and 1.0 are one program and one hash
        values[name] = _tuples(value)
        _check_type(name, values[name])
    return dataclasses.replace(config, **values)


def fitted_as(other: Config, config: Config) -> Config:
    """The decoder of `config` with what no file tells from `other`: rate weight and steps, too."""
    fields = field_types().keys() - coded_fields().keys()
    return edit(config, **{name: getattr(other, name) for name in fields})


def _annealed(name: str, value) -> Anneal:
    if isinstance(value, Anneal | Mapping):
        return value if isinstance(value, Anneal) else Anneal(**value)
    ends = (value, value) if _has_type(value, float) else value
    if isinstance(ends, list | tuple) and len(ends) == 2:
        return Anneal(*map(float, ends))
    raise TypeError(f"{name} must be a number or a pair (start, end), got {value!r}")


C3 = Config()
"""C3 on Kodak, the fixed setting of Table 5."""

C3_CLIC = edit(C3, previous_grid_size=3)
"""C3 on CLIC2020, the fixed setting of Table 5."""

COOL_CHIC_V2 = edit(
    C3,
    learned_gains=True, gain_floor=1.0, quantization_step=1.0,
    upsampling="learned", upsampling_recursive=True,
    synthesis_widths=(40,), rgb_activation=True,
    entropy_widths=(24, 24), log_scale_shift=0.0, scale_max=math.exp(5),
    activation="relu", residual_layers=True, init="cool_chic_v2",
    temperature=math.inf, noise_shape=1.0, latent_gradient_scale=100.0,
    stage2_temperature=math.inf, stage2_latent_gradient_scale=0.01, warmup_starts=5,
)
"""COOL-CHICv2 (Leguay et al. 2023). Its warm-up is the first round of the published (5 starts,
then the best 4, 3 and 2 of them), without which one start in eight stays of one color: no gradient
passes the ReLU of its pixels. Its phases of constant learning rate are shortened to one
cosine, and its straight-through phases to the adaptive stage 2: in 2,200 steps on a crop, the RD
loss is 1.003 times that of the phases, and 1.012 times for `COOL_CHIC` (two rate weights each,
from one start; tests/benchmarks/schedules.py)."""

COOL_CHIC = edit(
    COOL_CHIC_V2,
    gain_floor=0.0, upsampling="bicubic",
    synthesis_widths=(12, 12), synthesis_residual_convs=0, rgb_activation=False,
    entropy_widths=(12, 12), context_size=(5, 5), init="cool_chic", gradient_clip=10.0,
    latent_gradient_scale=1.0, stage2_latent_gradient_scale=1.0,
)
"""COOL-CHIC (Ladune et al. 2023), with the schedule of `COOL_CHIC_V2`'s docstring."""

_WIDTHS = ((12, 12), (18, 18), (24, 24))

ADAPTIVE_KODAK = tuple(
    edit(C3, finest_grid=finest, synthesis_widths=widths, entropy_widths=widths,
         context_size=(side, side))
    for finest, widths, side in itertools.product((True, False), _WIDTHS, (7, 5)))
"""The 12 settings of C3 adaptive on Kodak (Table 5)."""

ADAPTIVE_CLIC = tuple(
    edit(C3_CLIC, finest_grid=finest, synthesis_widths=widths, entropy_widths=widths)
    for finest, widths in itertools.product((True, False), _WIDTHS))
"""The 6 settings of C3 adaptive on CLIC2020 (Table 5)."""

_FAST = {
    "clip_gradient": "straight_through", "network_optimizer": "soap", "network_decay": 0.01,
    "clipped_gradients": "networks", "latent_epsilon": 1e-15, "latent_gains": "equal",
    "latent_gain_bins": 16.0, "noise": "gaussian", "temperature": (0.35, 0.08),
    "second_rounding_is_s": True, "steps": 2000, "stage2_steps": 200, "network_rate": 1.0,
    "parameter_steps": (5e-4, 1e-3, 3e-3, 6e-3, 1e-2, 1.5e-2, 2e-2, 3e-2, 4.5e-2, 6e-2),
}

C3_FAST = edit(C3, **_FAST, window=(128, 192))
"""C3's decoder and file, fitted in a fraction of the steps: SOAP for the networks, faster latents,
Gaussian noise, steeper soft-rounding, a clip of pixels that no fit gets stuck behind, the networks'
own bits in the gradient, and for a large picture networks that have learned on a small window of
it. Each is one field; `ablations/fast.ipynb` says what each is worth."""

BEYOND = edit(C3_FAST, grid_features=6, context_taps=14, linear_branches=True,
              upsampling="separable", steps_per_array=True, network_pixels=1.0, network_speed=2.0,
              network_warmup=0.05, latent_beta2=0.99)
"""A decoder ahead of C3 at 1,776 MACs a pixel: ideas of Cool-Chic 5 (2026) with C3's networks and
GELU, each worth what `ablations/beyond.ipynb` says. Fitted as `C3_FAST` is, but that networks cost
no more in the window than in the picture, start slowly from there and learn faster; and latents
forget sooner how large their first gradients were."""

BEYOND_SMALL = fitted_as(C3_FAST, edit(
    BEYOND, context_taps=8, entropy_widths=(12, 12), synthesis_widths=(12, 12)))
"""The same at 1,008 MACs a pixel, near Cool-Chic 5's decoder "mop", and fitted as `C3_FAST` is."""

UVG_SETTINGS: dict[str, dict[str, Any]] = {
    "E1": {"num_grids": 6, "entropy_widths": (16, 16), "context_size": (3, 9, 9)},
    "E2": {"num_grids": 5, "entropy_widths": (2, 2), "context_size": (3, 9, 9),
           "entropy_per_grid": True},
    "E3": {"num_grids": 6, "entropy_widths": (8, 8), "context_size": (7, 7),
           "entropy_per_grid": True, "mask_shape": (4, 4), "masked_grids": 3},
    "S1": {"mean_rgb_bias": True, "synthesis_per_frame": True},
    "S2": {"mean_rgb_bias": True, "synthesis_per_frame": False},
    "S3": {"mean_rgb_bias": False, "synthesis_per_frame": True},
}
"""Table 6: what the entropy settings E1-E3 and the synthesis settings S1-S3 edit. The 3x65x65 that
the table gives as E3's context is the window in which `learn_offsets` looks for its mask."""

UVG = edit(C3, quantization_step=0.3, noise_shape=(1.75, 1.0), gradient_clip=0.03,
           synthesis_widths=(32, 32), **UVG_SETTINGS["E1"], **UVG_SETTINGS["S1"])
"""C3 for videos (Tables 4 and 6), with E1 and S1: the single setting of Table 12."""

UVG_FAST = edit(UVG, **_FAST)
"""C3 for videos, fitted in a fraction of the steps as `C3_FAST` is."""

ADAPTIVE_UVG = tuple(
    edit(UVG, **UVG_SETTINGS[e], **UVG_SETTINGS[s])
    for e, s in itertools.product(("E1", "E2", "E3"), ("S1", "S2", "S3")))
"""The 9 settings of C3 adaptive for videos (Table 6), E by E. Those of E3 have no mask positions
yet: `adaptive` learns them, and `learn_offsets` fills them in."""

PRESETS: dict[str, Config] = {
    "c3": C3, "c3-clic": C3_CLIC, "cool-chic": COOL_CHIC, "cool-chic-v2": COOL_CHIC_V2,
    "uvg": UVG, "c3-fast": C3_FAST, "uvg-fast": UVG_FAST,
    "beyond": BEYOND, "beyond-small": BEYOND_SMALL,
}
"""Presets by the names of the command line."""
