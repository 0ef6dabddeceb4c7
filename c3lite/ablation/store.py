"""Finished fits on disk: one JSON file a fit, so that a sweep goes on where it was.

A fit's file is named by a hash of what determines its result: the config (its rate weight and steps
are fields), the pixels, the seed and `NUMERICS`. Tables that contain the same fit share it. Files
appear whole or not at all, so any number of processes and machines may write to one folder.

    STORE/fits/<hash>.json      a finished fit
    STORE/checkpoints/<hash>    a batch of fits under way
    STORE/masks/<hash>          the mask of a video's fit under way
    STORE/plans/<label>.json    what a sweep wants, for `status`
    STORE/work/, its logs       what Slurm jobs print; may be deleted when none runs
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import re
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from c3lite.coding import encode
from c3lite.config import Config
from c3lite.data.atomic import write_atomically
from c3lite.fitting.fit import Fit
from c3lite.fitting.loop import FitError
from c3lite.fitting.training import History

NUMERICS = 1
"""Version of the results: raise it when the same config, pixels and seed come to give others.

Fits of another version stay in the store, are listed by `status`, and are not mixed in."""

HISTORY_POINTS = 200
"""A stored history keeps about this many entries, evenly spread."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One finished fit, as stored: everything that the tables need."""

    key: str
    """The hash that names it."""
    numerics: int
    config: dict[str, Any]
    """As `Config.to_json` writes it."""
    image: str
    image_sha256: str
    shape: tuple[int, ...]
    seed: int
    bits: dict[str, float]
    """Of each part; empty for a fit that failed."""
    psnr_db: float
    loss: float
    """MSE + lambda bpp_estimate (Eq. 24)."""
    steps: int
    """Steps done, both stages."""
    seconds: float
    """The fit's share of its batch's time."""
    batch: int
    """Fits in the batch it was part of."""
    device: str
    versions: dict[str, str]
    date: str
    history: dict[str, list[float | int]]
    """step, loss, bits, mse, learning_rate: thinned to about `HISTORY_POINTS`."""
    error: str | None = None
    """Why the fit failed, when its loss stopped being finite."""
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


def canonical(config: Config) -> str:
    """What of a config enters the hash: the fields that are not at their defaults, sorted."""
    return config.canonical_json()


def key_of(canonical_config: str, digest: str, seed: int) -> str:
    """The name of a fit: a hash of all that determines its result."""
    text = json.dumps([canonical_config, digest, int(seed), NUMERICS])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fit_key(config: Config, digest: str, seed: int) -> str:
    """`key_of` for a config."""
    return key_of(canonical(config), digest, seed)


def thinned(history: History) -> dict[str, list[float | int]]:
    """About `HISTORY_POINTS` entries of a history, the first and the last among them."""
    n = len(history.loss)
    steps = np.unique(np.linspace(0, n - 1, min(n, HISTORY_POINTS)).round().astype(int))
    return {"step": steps.tolist()} | {
        name: [float(f"{v:.5g}") for v in values[steps]]
        for name, values in history._asdict().items()}


def record(
    result: Fit | FitError, key: str, config: Config, image: str, digest: str,
    shape: tuple[int, ...], seed: int, seconds: float, batch: int,
) -> Record:
    """What is stored of a finished, or failed, fit."""
    about = {
        "key": key, "numerics": NUMERICS, "config": json.loads(config.to_json()), "image": image,
        "image_sha256": digest, "shape": tuple(shape), "seed": int(seed),
        "seconds": round(seconds, 3), "batch": batch, "device": _device(),
        "versions": _versions(), "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if isinstance(result, FitError):
        return Record(**about, bits={}, psnr_db=float("nan"), loss=float("nan"), steps=0,
                      history={}, error=str(result))
    return Record(**about, bits=result.bits, psnr_db=result.psnr, loss=result.loss,
                  steps=len(result.history.loss), history=thinned(result.history),
                  frame_mse=_frame_mse(result), file_bytes=len(encode(result)),
                  collapsed=result.collapsed)


def _frame_mse(result: Fit) -> list[float] | None:
    if len(result.shape) < 3:
        return None
    errors = np.square(result.reconstruction.astype(np.float64) - result.image).mean((0, 2, 3))
    return [float(f"{error:.7g}") for error in errors]


def _device() -> str:
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return device.device_kind


def _versions() -> dict[str, str]:
    try:
        own = importlib.metadata.version("c3lite")
    except importlib.metadata.PackageNotFoundError:
        own = "not installed"
    return {"c3lite": own, "jax": jax.__version__, "python": platform.python_version()}


class Store:
    """A folder of finished fits. It is made when the first is added."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder).expanduser()
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"the store {self.folder} is not a folder")
        self._known: dict[str, Record] = {}

    @property
    def fits(self) -> Path:
        """Where the finished fits are."""
        return self.folder / "fits"

    def checkpoint(self, keys: Iterable[str]) -> Path:
        """Where a batch of these fits keeps its state while it is under way."""
        folder = self.folder / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / hashlib.sha256("".join(keys).encode()).hexdigest()[:32]

    def mask(self, key: str) -> Path:
        """Where the mask that a video's fit has learned is kept until the fit is done."""
        folder = self.folder / "masks"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / key

    def forget_mask(self, key: str) -> None:
        """The fit is done."""
        (self.folder / "masks" / key).unlink(missing_ok=True)

    def checkpoints(self) -> list[Path]:
        """The checkpoints there are."""
        folder = self.folder / "checkpoints"
        return sorted(folder.glob("[!.]*")) if folder.is_dir() else []

    def keep_plan(self, label: str, costs: dict[str, float]) -> None:
        """Remember what a sweep wants: the work (steps times pixels) of each fit."""
        folder = self.folder / "plans"
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"label": label, "numerics": NUMERICS, "costs": costs})
        name = re.sub(r"[^\w.-]+", "_", label)
        write_atomically(folder / f"{name}.json", lambda file: file.write(text.encode()))

    def plans(self) -> dict[str, dict[str, float]]:
        """The costs of the fits of each plan of this numerics version, by label."""
        found = {}
        for path in sorted((self.folder / "plans").glob("[!.]*.json")):
            try:
                plan = json.loads(path.read_text("utf-8"))
                if plan["numerics"] == NUMERICS:
                    found[plan["label"]] = plan["costs"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                warnings.warn(f"{path} is skipped: {error}", stacklevel=2)
        return found

    def path(self, key: str) -> Path:
        """The file of a fit."""
        return self.fits / f"{key}.json"

    def get(self, key: str) -> Record | None:
        """A finished fit; None where there is none, or none that can be read (with a warning)."""
        if key not in self._known:
            found = self._read(self.path(key))
            if found is None:
                return None
            self._known[key] = found
        return self._known[key]

    def add(self, record: Record) -> None:
        """Write a fit, whole or not at all. Raises `OSError` when that fails (a full disk)."""
        self.fits.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(record), separators=(",", ":"))
        write_atomically(self.path(record.key), lambda file: file.write(text.encode()))
        self._known[record.key] = record

    def records(self) -> Iterator[Record]:
        """All fits that can be read, of any numerics version."""
        for path in self._files():
            key = path.stem
            found = self._known.get(key) or self._read(path)
            if found is not None:
                self._known[key] = found
                yield found

    def _files(self) -> list[Path]:
        return sorted(self.fits.glob("[!.]*.json")) if self.fits.is_dir() else []

    def _read(self, path: Path) -> Record | None:
        try:
            return _parse(path.read_text("utf-8"), path.stem)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, BadRecord) as error:
            warnings.warn(f"{path} is skipped: {error}", stacklevel=3)
            return None

    def export(self, path: str | os.PathLike) -> int:
        """Write all readable fits into one compressed file. Returns their number."""
        records = [dataclasses.asdict(r) for r in self.records()]

        def write(file):
            with gzip.open(file, "wt", encoding="utf-8") as text:
                for r in records:
                    text.write(json.dumps(r, separators=(",", ":")) + "\n")

        write_atomically(path, write)
        return len(records)

    def merge(self, path: str | os.PathLike) -> tuple[int, int]:
        """Add the fits of an exported file, or of another store's folder, that are not here.

        Returns how many were added and how many were here already. Raises `ValueError` for a file
        that is not an export.
        """
        path = Path(path)
        others = Store(path).records() if path.is_dir() else _exported(path)
        added = known = 0
        for r in others:
            if self.path(r.key).exists():
                known += 1
            else:
                self.add(r)
                added += 1
        return added, known


class BadRecord(ValueError):
    """A file that is not a stored fit; the message says why."""


_FIELDS = {f.name for f in dataclasses.fields(Record)}
_NEEDED = _FIELDS - {"file_bytes", "frame_mse", "collapsed"}


def _parse(text: str, key: str | None = None) -> Record:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadRecord("it is torn or not JSON") from error
    if not isinstance(values, dict) or not _NEEDED <= set(values) <= _FIELDS:
        raise BadRecord("it is not a fit of c3lite")
    if key is not None and values["key"] != key:
        raise BadRecord(f"it holds the fit {values['key']}")
    return Record(**values | {"shape": tuple(values["shape"])})


def _exported(path: Path) -> Iterator[Record]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield _parse(line)
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError, BadRecord) as error:
        raise ValueError(f"{path} is not a whole export of a store ({error})") from error
