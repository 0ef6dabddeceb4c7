"""A fit's state on disk, so that a killed fit goes on where it was; and the finished of several."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from c3lite.data.atomic import write_atomically
from c3lite.fitting.training import History, State

SECONDS_BETWEEN = 30.0
"""A kill loses at most about this much work."""


class Checkpoint:
    """The checkpoint file of one fit or of a batch. `like` is any state of its structure."""

    def __init__(self, path: str | os.PathLike, images: Sequence, configs: Sequence,
                 keys: Sequence, like: State):
        self.path = Path(path)
        self.like = like
        self.identity = _identity(images, configs, keys)
        self._saved_at = time.monotonic()
        _check_folder(self.path)

    def load(self) -> tuple[State | None, list[History]]:
        """The state and history kept at the path, or (None, []) where there is none.

        Raises `ValueError` for an unreadable file and for that of another fit.
        """
        if not self.path.exists():
            return None, []
        try:
            with np.load(self.path) as file:
                saved = dict(file)
            identity, history = str(saved["identity"]), saved["history"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.path} is not a readable checkpoint; move it away to start "
                             "the fit anew") from error
        _check_identity(self.path, identity, self.identity)
        leaves, structure = jax.tree.flatten(self.like)
        leaves = [_restored(saved[f"leaf{i}"], leaf) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, leaves), [History(*history)]

    def save_sometimes(self, state: State, past: Sequence[History]) -> None:
        """Save if the last save is `SECONDS_BETWEEN` ago."""
        if time.monotonic() - self._saved_at >= SECONDS_BETWEEN:
            self.save(state, past)

    def save(self, state: State, past: Sequence[History]) -> None:
        """Save now, atomically."""
        leaves = {f"leaf{i}": _plain(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        history = np.stack([np.concatenate(part) for part in zip(*past, strict=True)])
        write_atomically(self.path, lambda file: np.savez(
            file, identity=np.array(self.identity), history=history, **leaves))
        self._saved_at = time.monotonic()

    def remove(self) -> None:
        """The fit is done: its checkpoint is of no more use."""
        self.path.unlink(missing_ok=True)


def steps_done(path: str | os.PathLike) -> int:
    """Steps in the checkpoint at a path; 0 where there is none that can be read."""
    try:
        with np.load(path) as file:
            return file["history"].shape[1]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return 0


class Kept:
    """A file of what is finished of several fits of one image, beside the checkpoint of the next.

    It is a pickle: load only files of your own.
    """

    def __init__(self, path: str | os.PathLike, x, configs: Sequence, key):
        self.path = Path(path)
        self.identity = _identity([x] * len(configs), configs, [key] * len(configs))
        _check_folder(self.path)

    def beside(self, name: str) -> Path:
        """A file for something under way."""
        return self.path.with_name(f"{self.path.name}.{name}")

    def load(self, default: Any) -> Any:
        """What was saved last, or `default` where there is nothing.

        Raises `ValueError` for an unreadable file and for that of other fits.
        """
        if not self.path.exists():
            return default
        try:
            identity, value = pickle.loads(self.path.read_bytes())
        except Exception as error:  # whatever bytes that are no pickle happen to mean
            raise ValueError(f"{self.path} is not a readable checkpoint; move it away to start "
                             "the fits anew") from error
        _check_identity(self.path, identity, self.identity)
        return value

    def save(self, value: Any) -> None:
        """Save, atomically."""
        write_atomically(self.path, lambda file: pickle.dump((self.identity, value), file))

    def remove(self) -> None:
        """All is done."""
        self.path.unlink(missing_ok=True)


def _identity(images: Sequence, configs: Sequence, keys: Sequence) -> str:
    """A hash of all that determines the result of fits."""
    identity = hashlib.sha256()
    for x, config, key in zip(images, configs, keys, strict=True):
        identity.update(config.to_json().encode())
        identity.update(np.asarray(jax.random.key_data(key)).tobytes())
        identity.update(repr(x.shape).encode() + x.tobytes())
    return identity.hexdigest()


def _check_identity(path: Path, found: str, ours: str) -> None:
    if found != ours:
        raise ValueError(f"{path} belongs to another fit (other pixels, config or key); "
                         "move it away to start anew")


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise ValueError(f"the checkpoint's folder {path.parent} does not exist")


def _is_key(leaf) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _restored(array: np.ndarray, like):
    return jax.random.wrap_key_data(array) if _is_key(like) else jax.numpy.asarray(array)
