"""The entropy model: what a latent costs, given its context (Eqs. 1, 2, 7-12; App. A.1.4).

Contexts, `mu` and `scale` are in latent units (multiples of the bin width q); bits are taken in
step units, everything divided by q.
"""

import itertools
import math
from collections.abc import Iterator

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from c3lite.arrays import blocks
from c3lite.ingredients.activations import ACTIVATIONS
from c3lite.ingredients.distributions import DISTRIBUTIONS
from c3lite.model import context as ctx
from c3lite.model import latents
from c3lite.model.networks import Dense, dense_layers, linear, run_layers

WIDE = 256
"""A mask of more entries is not gathered but transformed (`context.correlate`)."""

MAX_BITS = 16.0
"""A latent costs at most this much: the probability floor of COOL-CHIC and of the release."""


def bin_bits(
    x: Float[Array, "*shape"], mu: Float[Array, "*shape"], scale: Float[Array, "*shape"],
    distribution: str = "laplace"
) -> Float[Array, "*shape"]:
    """-log2 of one of `DISTRIBUTIONS` integrated over x +- 1/2, at most 16 (Eqs. 1, 12).

    All in step units. Where both ends of the bin lie in one tail, it is what is within it.
    """
    family, d = DISTRIBUTIONS[distribution], jnp.abs(x - mu)
    near = 1 - (family.beyond(0.5 - d, scale) + family.beyond(d + 0.5, scale)) / 2
    far = family.within(d - 0.5, scale) / 2
    probability = jnp.where(d < 0.5, near, far)
    return -jnp.log2(jnp.maximum(probability, 2.0**-MAX_BITS))


def laplace_scale(config, raw: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The Laplace scale in latent units from the network's raw second output.

    v = raw + shift; log-scale = -1/2 clip(v, -2 ln scale_max, -2 ln scale_min), as in the release:
    a larger output is a *smaller* scale. Read literally the text would start at e^8.
    """
    v = raw + config.log_scale_shift
    v = jnp.clip(v, -2 * jnp.log(config.scale_max), -2 * jnp.log(config.scale_min))
    return jnp.exp(-v / 2)


class EntropyModel(eqx.Module):
    """The network(s) g_psi that map a context to (mu, raw scale)."""

    networks: tuple[tuple[Dense, ...], ...]
    """One network for all grids, or one a grid."""
    film: tuple[tuple[Float[Array, "grids width"], Float[Array, "grids width"]], ...]
    """For each hidden layer the FiLM (scale - 1, shift) of each grid; empty without FiLM."""
    branches: tuple[Dense, ...]
    """The linear branch of each network; empty without."""
    features: tuple[Dense, ...]
    """For each grid that has them, its features from the coarser grids' latents; or empty."""

    def __init__(self, config, ndim: int, *, key: PRNGKeyArray):
        ctx.check_mask(config, ndim)
        total = len(latents.exponents(config))
        counts = [ctx.context_count(config, ndim, n) for n in range(total)]
        if not config.entropy_per_grid:
            if len(set(counts)) > 1:
                raise ValueError("a mask on some grids only needs entropy_per_grid=True")
            counts = counts[:1]
        keys = jr.split(key, len(counts))
        # with a mask the release divides by the wide window that the mask was cut from
        fan_in = 3 * 65 * 65 if config.mask_shape is not None and ndim == 3 else None
        self.networks = tuple(
            dense_layers(config, k, (n, *config.entropy_widths, 2), fan_in)
            for k, n in zip(keys, counts, strict=True))
        self.film = tuple(
            (jnp.zeros((total, w)), jnp.zeros((total, w)))
            for w in config.entropy_widths) if config.entropy_film else ()
        self.branches = tuple(
            linear(jr.normal(jr.fold_in(k, 2**16), (2, n)) / 4)
            for k, n in zip(keys, counts, strict=True) if config.linear_branches)
        sources = [len(ctx.ancestors(config, n)) for n in range(total)]
        self.features = tuple(
            linear(jr.normal(jr.fold_in(key, 2**16 + n), (config.grid_features, k)) / 36)
            for n, k in enumerate(sources) if k)

    def network(self, grid: int) -> tuple[Dense, ...]:
        """The layers that serve a grid, FiLM folded in: (1 + gamma)(Wx + b) + beta."""
        layers = self.networks[grid if len(self.networks) > 1 else 0]
        folded = tuple(
            Dense((1 + gamma[grid])[:, None] * layer.weight,
                  (1 + gamma[grid]) * layer.bias + beta[grid])
            for layer, (gamma, beta) in zip(layers, self.film, strict=False))
        return folded + layers[len(folded):]

    def branch(self, grid: int) -> Dense | None:
        """The linear branch beside the layers that serve a grid, if there is one."""
        return self.branches[grid if len(self.branches) > 1 else 0] if self.branches else None

    def __call__(
        self, config, grids: tuple[Float[Array, "..."], ...], first: int = 0
    ) -> tuple[Float[Array, " latents"], Float[Array, " latents"]]:
        """mu and scale (latent units) of every latent of the grids from number `first` on, grids
        one after another, flattened."""
        numbers, ndim = range(first, len(grids)), grids[0].ndim
        if len(self.networks) > 1 or self.film:
            out = jnp.concatenate([self._one_grid(config, grids, n) for n in numbers], axis=1)
        else:  # one pass over all grids: the coarse ones alone are too small to be efficient
            alike = not (config.previous_grid_size or config.grid_features
                         or ctx.masked(config, ndim, 0))
            spare = blocks.spare_columns(count := sum(grids[n].size for n in numbers))
            if alike:
                contexts = ctx.stack_contexts(grids[first:], ctx.own_offsets(config, ndim), spare)
            else:
                parts = [self.context(config, grids, n) for n in numbers]
                if spare:
                    parts.append(jnp.zeros((len(parts[0]), spare)))
                contexts = jnp.concatenate(parts, axis=1)
            out = run_layers(config, self.network(0), contexts, self.branch(0))[:, :count]
        return out[0], laplace_scale(config, out[1])

    def _one_grid(self, config, grids, n) -> Float[Array, "2 latents"]:
        """The network's outputs for grid n."""
        layers = self.network(n)
        if not is_wide(config, grids[n].ndim, n):
            return run_layers(config, layers, self.context(config, grids, n), self.branch(n))
        # the first layer's columns for the wide window are a kernel over the previous frame
        first, *others = layers
        kernel, near = jnp.split(first.weight, [math.prod(config.mask_shape)], axis=1)
        (moved,) = box_sources(config, grids[n], n)
        far = ctx.correlate(moved, kernel.reshape(-1, *config.mask_shape))
        hidden = far + Dense(near, first.bias)(self._near_context(config, grids, n))
        if not others:
            return hidden
        return run_layers(config, others, ACTIVATIONS[config.activation].train(hidden))

    def context(
        self, config, grids: tuple[Float[Array, "..."], ...], n: int
    ) -> Float[Array, "context latents"]:
        """Of every latent of grid n: the mask's box, its own grid, the halved finer, features."""
        near = self._near_context(config, grids, n)
        boxes = [jnp.stack(ctx.views(moved, ctx.box_starts(config.mask_shape), grids[n].shape))
                 for moved in box_sources(config, grids[n], n)]
        return jnp.concatenate([*boxes, near])

    def _near_context(self, config, grids, n):
        """The context without the mask's box."""
        return jnp.concatenate([ctx.stack_contexts([source], offsets)
                                for source, offsets in self.near_sources(config, grids, n)])

    def near_sources(
        self, config, grids: tuple[Float[Array, "..."], ...], n: int
    ) -> Iterator[tuple[Float[Array, "..."], tuple[ctx.Offset, ...]]]:
        """What the context of grid n is read from beside the box, and at which offsets: its own
        grid, the finer one halved, its features."""
        grid = grids[n]
        yield grid, ctx.own_offsets(config, grid.ndim)
        if offsets := ctx.previous_offsets(config, grid.ndim):
            yield ctx.halve(grids[n - 1], grid.shape) if n else jnp.zeros_like(grid), offsets
        if config.grid_features:
            for feature in self.features_of(config, grids, n):
                yield feature, ((0,) * grid.ndim,)

    def features_of(
        self, config, grids: tuple[Float[Array, "..."], ...], n: int
    ) -> Float[Array, "features ..."]:
        """What grid n learns from the coarser latents r: A r + b once for all that share a parent;
        zeros for a grid without features."""
        shape, sources = grids[n].shape, ctx.ancestors(config, n)
        if not sources:
            return jnp.zeros((config.grid_features, *shape))
        parents = tuple(-(-side // 2) for side in shape)
        rows = [ctx.spread(grids[m], ratio - 1, parents).reshape(-1) for m, ratio in sources]
        features = self.features[n](jnp.stack(rows)).reshape(config.grid_features, *parents)
        return ctx.spread(features, 1, shape)


def is_wide(config, ndim: int, n: int) -> bool:
    """Whether grid n has a mask too wide to be gathered."""
    return ctx.masked(config, ndim, n) and math.prod(config.mask_shape) > WIDE


def box_sources(config, grid: Float[Array, "..."], n: int) -> list[Float[Array, "..."]]:
    """The previous frame as grid n sees it through its mask, in a list; empty without a mask."""
    if not ctx.masked(config, grid.ndim, n):
        return []
    return [ctx.previous_frame(grid, config.mask_origins[n], config.mask_shape)]


def latent_bits(
    model: EntropyModel, config, symbols: Float[Array, " latents"], shape: tuple[int, ...]
) -> Float[Array, " latents"]:
    """Bits of every latent; `symbols` in step units, `shape` that of the data (Eqs. 1, 12)."""
    q = config.quantization_step
    grids = latents.split(symbols * q, latents.grid_shapes(config, shape))
    mu, scale = model(config, grids)
    return bin_bits(symbols, mu / q, scale / q, config.latent_distribution)


def total_bits(
    model: EntropyModel, config, symbols: Float[Array, " latents"], shape: tuple[int, ...]
) -> Float[Array, ""]:
    """The sum of `latent_bits`, large grids in blocks."""
    shapes = latents.grid_shapes(config, shape)
    large = len(list(itertools.takewhile(
        lambda n: blocks.is_large(math.prod(shapes[n])) and not is_wide(config, len(shape), n),
        range(len(shapes)))))
    q = config.quantization_step
    flat = latents.split(symbols, shapes)
    grids = tuple(grid * q for grid in flat)
    total = sum((_grid_bits(model, config, grids, flat[n], n) for n in range(large)), jnp.zeros(()))
    if large < len(shapes):
        mu, scale = model(config, grids, large)
        rest = jnp.concatenate([grid.reshape(-1) for grid in flat[large:]])
        total = total + bin_bits(rest, mu / q, scale / q, config.latent_distribution).sum()
    return total


def _grid_bits(model, config, grids, symbols, n) -> Float[Array, ""]:
    """Bits of grid n, in blocks."""
    sources = [(moved, ctx.box_starts(config.mask_shape))
               for moved in box_sources(config, grids[n], n)]
    sources += [ctx.padded_for(*source)
                for source in model.near_sources(config, grids, n) if source[1]]
    arrays, starts = zip(*sources, strict=True)

    def block_bits(config, network, inside, parts):
        *padded, x = parts
        rows = [row for array, at in zip(padded, starts, strict=True)
                for row in ctx.views(array, at, x.shape)]
        context = jnp.concatenate(rows).reshape(len(rows), x.size)
        layers, branch = network
        mu, raw = run_layers(config, layers, context, branch)
        q = config.quantization_step
        bits = bin_bits(x.reshape(-1), mu / q, laplace_scale(config, raw) / q,
                        config.latent_distribution)
        return (bits * inside.reshape(-1)).sum()

    network = model.network(n), model.branch(n)
    return blocks.sum_over_blocks(block_bits, config, network, (*arrays, symbols))
