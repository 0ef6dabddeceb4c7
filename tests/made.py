"""Fits that were never fitted: real codecs with made-up latents, for tests of what shows a fit."""

import jax
import numpy as np

import c3lite as c3
from c3lite.fitting import parameters
from c3lite.fitting.fit import Fit
from c3lite.fitting.training import History
from c3lite.model import entropy, latents
from c3lite.model.codec import Codec

STEP = 1e-3


@jax.jit
def _decoded(codec, config, symbols):
    networks = parameters.to_integers(parameters.networks_of(codec), STEP, STEP)
    decoder = parameters.with_networks(codec, parameters.from_integers(networks, STEP, STEP))
    reconstruction = parameters.to_8_bits(decoder.decode(config, symbols))
    bits = entropy.latent_bits(decoder.entropy, config, symbols, codec.shape).sum()
    return networks, reconstruction, bits, parameters.network_bits(networks)


def fit(shape=(20, 33), config=None, seed=0):
    """A `Fit` with random symbols, whose bits and reconstruction belong to them."""
    config = c3.edit(c3.C3, num_grids=5) if config is None else config
    rng = np.random.default_rng(seed)
    codec = Codec(config, shape, key=jax.random.key(seed))
    symbols = np.round(rng.laplace(size=latents.count(config, shape))).astype(np.int32)
    networks, reconstruction, latent_bits, network_bits = jax.tree.map(
        np.asarray, _decoded(codec, config, symbols.astype(np.float32)))
    bits = {"latents": float(latent_bits)}
    bits |= {name: float(b) for name, b in network_bits._asdict().items()
             if getattr(networks, name) is not None}
    image = np.clip(reconstruction + rng.normal(0, 0.02, reconstruction.shape), 0, 1)
    steps = int(config.steps) + 3
    past = History(*(np.linspace(end, 1e-3 * end, min(steps, 20), dtype=np.float32)
                     for end in (1.0, 5e3, 0.5, 1e-2)))
    return Fit(
        image=image.astype(np.float32), config=config, codec=codec,
        coded=parameters.Quantized(symbols, networks, (STEP, STEP)), reconstruction=reconstruction,
        bits=bits, psnr=c3.metrics.psnr(reconstruction, image.astype(np.float32)),
        history=past, seconds=1.25)
