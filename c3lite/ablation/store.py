"""Finished fits on disk: one JSON file a fit, so that a sweep goes on where it was.

A file is named by a hash of what determines the fit: the config, the pixels, the seed, `NUMERICS`.
Files appear whole or not at all, so any number of processes and machines may write to one folder,
and two stores become one by copying the files of one into the other.

    STORE/fits/<hash>.json      a finished fit
    STORE/checkpoints/<hash>    a batch of fits under way
    STORE/masks/<hash>          the mask of a video's fit under way
    STORE/plans/<label>.json    what a sweep wants, for `status`
    STORE/work/, its logs       what Slurm jobs print; may be deleted when none runs
"""

import dataclasses
import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from c3lite.config import Config
from c3lite.data.atomic import write_atomically

NUMERICS = 1
"""Version of the results: raise it when the same config, pixels and seed come to give others.

Fits of another version stay in the store, are listed by `status`, and are not mixed in."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One finished fit, as stored."""

    key: str  # the hash that names it
    numerics: int
    config: dict[str, Any]  # as `Config.to_json` writes it
    image: str
    image_sha256: str
    shape: tuple[int, ...]
    seed: int
    bits: dict[str, float]  # of each part; empty for a fit that failed
    psnr_db: float
    loss: float  # MSE + lambda bpp_estimate (Eq. 24)
    steps: int  # steps done, both stages
    seconds: float  # the fit's share of its batch's time
    batch: int  # fits in the batch it was part of; of several, portraits lie
    device: str
    versions: dict[str, str]
    date: str
    history: dict[str, list[float | int]]
    """step, loss, bits, mse, learning_rate: of some steps, evenly spread."""
    error: str | None = None  # why the fit failed, when its loss stopped being finite
    frame_mse: list[float] | None = None
    """Of a clip, the mean squared error of each frame: its patches are joined by it."""
    file_bytes: int | None = None
    """Of the real file; None where it was not kept: in older stores, and for a fit that failed."""
    collapsed: bool | None = None
    """`Fit.collapsed`; None for a fit that was not judged, as short ones, and in older stores."""

    @property
    def pixels(self) -> int:
        """Number of pixels, all frames together."""
        return int(np.prod(self.shape))

    @property
    def bpp(self) -> float:
        """Estimated bits per pixel, networks included."""
        return sum(self.bits.values()) / self.pixels

    @property
    def file_bpp(self) -> float:
        """Bits per pixel of the real file; NaN where its size was not kept."""
        return math.nan if self.file_bytes is None else 8 * self.file_bytes / self.pixels

    @property
    def latents_bpp(self) -> float:
        """Estimated bits per pixel of the latents alone."""
        return self.bits["latents"] / self.pixels

    @property
    def latents_loss(self) -> float:
        """RD loss without the networks' bits, which outweigh all else on small crops."""
        return self.loss - self.config["rd_weight"] * (self.bpp - self.latents_bpp)


def fit_key(config: Config, digest: str, seed: int) -> str:
    """The name of a fit: a hash of all that determines its result."""
    return short_hash(json.dumps([config.canonical_json(), digest, int(seed), NUMERICS]))


def short_hash(text: str) -> str:
    """32 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Store:
    """A folder of finished fits. It is made when the first is added."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder).expanduser()
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"the store {self.folder} is not a folder")
        self.fits = self.folder / "fits"
        self._known: dict[str, Record] = {}

    def checkpoint(self, keys: Iterable[str]) -> Path:
        """Of a batch of these fits, while it is under way."""
        return self._place("checkpoints", short_hash("".join(keys)))

    def mask(self, key: str) -> Path:
        """Of a video's fit, until that is done."""
        return self._place("masks", key)

    def _place(self, folder: str, name: str) -> Path:
        path = self.folder / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write(self, folder: str, name: str, text: str) -> None:
        write_atomically(self._place(folder, name), lambda file: file.write(text.encode()))

    def checkpoints(self) -> list[Path]:
        """Of batches under way, or to be gone on with."""
        return sorted((self.folder / "checkpoints").glob("[!.]*"))

    def keep_plan(self, label: str, costs: dict[str, float]) -> None:
        """Remember what a sweep wants: the work (steps times pixels) of each fit."""
        text = json.dumps({"label": label, "numerics": NUMERICS, "costs": costs})
        self._write("plans", re.sub(r"[^\w.-]+", "_", label) + ".json", text)

    def plans(self) -> dict[str, dict[str, float]]:
        """The costs of the fits of each plan of this numerics version, by label."""
        plans = [json.loads(path.read_text("utf-8"))
                 for path in sorted((self.folder / "plans").glob("[!.]*.json"))]
        return {plan["label"]: plan["costs"] for plan in plans if plan["numerics"] == NUMERICS}

    def path(self, key: str) -> Path:
        """Of a fit."""
        return self.fits / f"{key}.json"

    def get(self, key: str) -> Record | None:
        """A finished fit; None where there is none, or none that can be read (with a warning)."""
        path = self.path(key)
        if key not in self._known and path.exists():
            try:
                self._known[key] = _parse(path.read_text("utf-8"), key)
            except (OSError, ValueError) as error:
                warnings.warn(f"{path} is skipped: {error}", stacklevel=2)
        return self._known.get(key)

    def add(self, record: Record) -> None:
        """Write a fit, whole or not at all. Raises `OSError` when that fails (a full disk)."""
        text = json.dumps(dataclasses.asdict(record), separators=(",", ":"))
        self._write("fits", f"{record.key}.json", text)
        self._known[record.key] = record

    def records(self) -> Iterator[Record]:
        """All fits that can be read, of any numerics version."""
        for path in sorted(self.fits.glob("[!.]*.json")):
            if (found := self.get(path.stem)) is not None:
                yield found


def _parse(text: str, key: str) -> Record:
    try:
        values = json.loads(text)
        found = Record(**values | {"shape": tuple(values["shape"])})
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("it is torn, or not a fit of c3lite") from error
    if key != found.key:
        raise ValueError(f"it holds the fit {found.key}")
    return found
