"""Optimizers of the networks: from a gradient to a step, to be multiplied by the learning rate."""

from __future__ import annotations

from collections.abc import Callable

import optax

from c3lite.ingredients.soap import scale_by_soap

NETWORK_OPTIMIZERS: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adam": optax.scale_by_adam, "soap": scale_by_soap}
"""By name."""
