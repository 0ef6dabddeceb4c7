"""What is done of a fit, or of several, in a file, so that one that was killed goes on from there.

The file is a line of JSON and, after it, the arrays as Equinox writes them.
"""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from c3lite.config import Config
from c3lite.data.atomic import write_atomically
from c3lite.fitting.training import History, State, joined

SECONDS_BETWEEN = 30.0
"""A kill loses at most about this much work."""

_WRITER = concurrent.futures.ThreadPoolExecutor(1, "checkpoints")
"""Writes beside the fit: a batch on a GPU has hundreds of megabytes."""

_UNDER_WAY: dict[Path, concurrent.futures.Future] = {}
"""What the writer has not been seen to finish."""


class Checkpoint:
    """A checkpoint file. It belongs to the fits of these images, configs and keys, and no others.
    Raises `ValueError` where the path's folder does not exist."""

    def __init__(self, path: str | os.PathLike, images: Sequence, configs: Sequence[Config],
                 keys: Sequence[PRNGKeyArray]):
        self.path = Path(path)
        self.identity = _identity(images, configs, keys)
        self._saved_at = time.monotonic()
        if not self.path.parent.is_dir():
            raise ValueError(f"the checkpoint's folder {self.path.parent} does not exist")

    def load(
        self, like: Callable[[dict[str, Any]], PyTree] = lambda notes: ()
    ) -> tuple[PyTree, dict[str, Any]] | None:
        """The arrays and the notes that were saved last; None where there is no file. `like` makes
        of the notes a tree of arrays of the shapes that were saved. Raises `ValueError` for a file
        that cannot be read, and for that of other fits."""
        settle(self.path)
        if not self.path.exists():
            return None
        try:
            with open(self.path, "rb") as file:
                notes = json.loads(file.readline())
                if notes.pop("identity") == self.identity:
                    return eqx.tree_deserialise_leaves(file, like(notes)), notes
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
                RuntimeError) as error:
            raise ValueError(f"{self.path} is not a readable checkpoint; move it away to start "
                             "anew") from error
        raise ValueError(f"{self.path} belongs to another fit (other pixels, config or key); "
                         "move it away to start anew")

    def save(self, arrays: PyTree = (), **notes: Any) -> None:
        """Save arrays, and notes that JSON can hold; atomically."""
        def write(file):
            file.write(json.dumps({"identity": self.identity} | notes).encode() + b"\n")
            eqx.tree_serialise_leaves(file, arrays)

        write_atomically(self.path, write)

    def save_sometimes(self, state: State, past: Sequence[History]) -> None:
        """Save a fit under way, beside it, if the last save is `SECONDS_BETWEEN` ago. Raises what
        went wrong with the save before, as `OSError` for a full disk."""
        if time.monotonic() - self._saved_at < SECONDS_BETWEEN:
            return
        settle(self.path)
        history = np.stack(joined(past))
        arrays = jax.device_get(_with_plain_key(state))
        _UNDER_WAY[self.path] = _WRITER.submit(self.save, (arrays, history), steps=history.shape[1])
        self._saved_at = time.monotonic()


def remove(path: str | os.PathLike) -> None:
    """Remove the checkpoint of what is done, written or not."""
    with contextlib.suppress(OSError):  # that it could not be written matters no more
        settle(Path(path))
    Path(path).unlink(missing_ok=True)


def settle(path: Path) -> None:
    """Wait until the file holds what was saved last. Raises `OSError` if that failed."""
    if (writing := _UNDER_WAY.pop(path, None)) is not None:
        writing.result()


def resumed(path: str | os.PathLike | None, images: Sequence, configs: Sequence[Config],
            keys: Sequence[PRNGKeyArray],
            state: State) -> tuple[Checkpoint | None, State, list[History]]:
    """The checkpoint at a path, or None; the state to go on from, or `state`; and its history."""
    if path is None:
        return None, state, []
    store = Checkpoint(path, images, configs, keys)
    found = store.load(lambda notes: (_with_plain_key(state), history_like(notes["steps"], state)))
    if found is None:
        return store, state, []
    (saved, history), _ = found
    key = jax.random.wrap_key_data(saved.key, impl=jax.random.key_impl(state.key))
    return store, saved._replace(key=key), [History(*history)]


def _with_plain_key(state: State) -> State:
    """A state of arrays that can be written."""
    return state._replace(key=jax.random.key_data(state.key))


def history_like(steps: int, state: State | None = None) -> np.ndarray:
    """An array of the shape of a history of so many steps, of one fit or of a batch."""
    fits = () if state is None else state.learning_rate.shape
    return np.zeros((len(History._fields), steps, *fits), np.float32)


def steps_done(path: str | os.PathLike) -> int:
    """Steps in the checkpoint at a path; 0 where there is none that can be read."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.readline())["steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def path_beside(path: str | os.PathLike | None, name: str) -> Path | None:
    """The path of a file for something under way, beside a checkpoint, if there is one."""
    return None if path is None else Path(path).with_name(f"{Path(path).name}.{name}")


def _identity(images: Sequence, configs: Sequence[Config], keys: Sequence[PRNGKeyArray]) -> str:
    """A hash of all that determines the result of fits."""
    identity = hashlib.sha256()
    for x, config, key in zip(images, configs, keys, strict=True):
        identity.update(config.canonical_json().encode())
        identity.update(np.asarray(jax.random.key_data(key)).tobytes())
        identity.update(repr(x.shape).encode() + x.tobytes())
    return identity.hexdigest()
