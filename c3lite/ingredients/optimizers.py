"""Optimizers: from a gradient to a step, which is then multiplied by the learning rate."""

from __future__ import annotations

import optax


def adam(config) -> optax.GradientTransformation:
    """Adam with the usual decay rates, after all gradients were clipped to one norm (App. A.2)."""
    # flattened to one vector: a third of the operations of an array at a time, and of the
    # compilation
    return optax.flatten(
        optax.chain(optax.clip_by_global_norm(config.gradient_clip), optax.scale_by_adam()))


OPTIMIZERS = {"adam": adam}
"""By name: a config to a transformation of the gradient of a whole codec."""
