"""The codec: everything that is fitted to one image or video, and the objective (Eq. 4).

    z_1 ... z_N          latent grids, each half the size of the one before (Eq. 6)
      |  times gain / q                                                       App. A.1.1
    scaled latents       one long vector, in steps of the bin width q
      |  quantize        stage 1: r(s(x) + noise)                             Eqs. 5, 19-23
      |                  stage 2, files: round(x)                             Eqs. 16-18
    symbols ------------------------------.
      |  times q                          |  context of each latent           Eqs. 2, 7, 8
    grids                                 |  network g_psi                    Eqs. 10, 11
      |  upsample        App. A.1.2     mu, scale
    N full-size arrays                    |  Laplace over a bin               Eqs. 1, 12
      |  network f_theta App. A.1.3     bits of each latent
    pixels in [0, 1]                      |  sum                              Eq. 9
      |  squared error to x             bits
    MSE                                   |  lambda / pixels
      '----------------  +  --------------'
                         L                                                    Eq. 4
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, PRNGKeyArray

from c3lite.model import latents
from c3lite.model.entropy import EntropyModel, total_bits
from c3lite.model.synthesis import Synthesis


class Codec(eqx.Module):
    """Latent grids z, entropy model g_psi and synthesis f_theta for data of one shape. Every array
    in it is trained. What is fixed lives in the config, which all functions take."""

    grids: tuple[Float[Array, "..."], ...]
    """z: the latent grids before gains and quantization, finest first; zero at the start."""
    log2_gains: Float[Array, " grids"] | None
    upsampling: Float[Array, "*taps"] | None
    synthesis: Synthesis
    entropy: EntropyModel
    shape: tuple[int, ...] = eqx.field(static=True)
    """Shape of the data: (height, width) or (frames, height, width)."""

    def __init__(self, config, shape: tuple[int, ...], *, key: PRNGKeyArray,
                 mean_rgb: Float[Array, "3"] | None = None):
        synthesis_key, entropy_key = jr.split(key)
        ndim = len(shape)
        self.shape = tuple(shape)
        self.grids = tuple(jnp.zeros(s) for s in latents.grid_shapes(config, shape))
        self.log2_gains = jnp.log2(latents.initial_gains(config)) if config.learned_gains else None
        self.upsampling = latents.initial_kernel(config, ndim)
        self.synthesis = Synthesis(config, ndim, key=synthesis_key, mean_rgb=mean_rgb)
        self.entropy = EntropyModel(config, ndim, key=entropy_key)

    def gains(self, config) -> Float[Array, " grids"]:
        """The factor of each grid before quantization (App. A.1.1)."""
        if self.log2_gains is None:
            return jnp.asarray(latents.initial_gains(config))
        return jnp.maximum(2.0**self.log2_gains, config.gain_floor)

    def scaled_latents(self, config) -> Float[Array, " latents"]:
        """gain z / q for all grids, flattened, finest first: what the quantizer gets."""
        gains = self.gains(config) / config.quantization_step
        flat = jnp.zeros(sum(z.size for z in self.grids))
        first = 0
        for gain, z in zip(gains, self.grids, strict=True):
            # written one after another: XLA's concatenation asks of each entry whose it is, which
            # took a fifth of the time of a whole image's step
            flat = jax.lax.dynamic_update_slice(flat, gain * z.reshape(-1), (first,))
            first += z.size
        return flat

    def decode(self, config, symbols: Float[Array, " latents"]) -> Float[Array, "3 *shape"]:
        """Pixels in [0, 1] from quantized latents in step units."""
        shapes = latents.grid_shapes(config, self.shape)
        grids = latents.split(symbols * config.quantization_step, shapes)[: config.num_grids]
        up = latents.upsample(config, grids, self.shape, self.upsampling)
        return self.synthesis(config, up)


class Cost(eqx.Module):
    """The two sides of the objective for one set of latents."""

    bits: Float[Array, ""]
    """Of all latents together."""
    mse: Float[Array, ""]
    """Mean over pixels and channels, values in [0, 1]."""


def rate_distortion(codec: Codec, config, x: Float[Array, "3 *shape"],
                    quantize: Callable) -> tuple[Float[Array, ""], Cost]:
    """L = MSE + lambda bits / pixels (Eq. 4), and its parts.

    Training and evaluation differ only in `quantize`, from latents in step units to (nearly) whole
    ones. The networks' bits are not in L.
    """
    symbols = quantize(codec.scaled_latents(config))
    bits = total_bits(codec.entropy, config, symbols, codec.shape)
    mse = jnp.mean((codec.decode(config, symbols) - x) ** 2)
    return mse + config.rd_weight * bits / math.prod(codec.shape), Cost(bits, mse)
