"""Files: time and memory of encoding and decoding by image size, size against estimate, overheads.

One short fit of a crop gives the networks and the latents, of which larger pictures are tiled: a
range coder has no memory, so copies cost what originals do. Times are CPU seconds of a fresh
process, the import of JAX aside; memory is the peak's growth over what the process had before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

import c3lite as c3
from c3lite.ablation.studies.decode_time import tiled
from c3lite.coding import files, header, pixels
from c3lite.coding.info import Info
from c3lite.fitting import parameters
from c3lite.model.entropy import latent_bits

SHAPES = ((128, 192), (256, 384), (512, 768), (768, 1024), (1370, 2048))
TARGETS = "targets at 512x768: decode 1.0 s (roll-out 0.8 s), encode 1.5 s, memory 500 MB"


def measured(contents: Path) -> None:
    """In a fresh process: decode, then encode, and print the figures as JSON."""
    data = contents.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    began, before = time.process_time(), _peak()
    decoded = files.read(data)
    rolled_out = time.process_time()
    arrays = header.real_arrays(decoded.coded.networks, decoded.coded.steps, np.float32)
    pixels.synthesize(decoded.config, decoded.shape, decoded.coded.symbols, arrays)
    figures = {"rollout": rolled_out - began, "decode": time.process_time() - began,
               "decode_mb": _peak() - before}
    began = time.process_time()
    again = header.pack(decoded, files.written(decoded).finish("auto"))
    files.read(again)  # as `encode` does
    figures |= {"encode": time.process_time() - began, "encode_mb": _peak() - before}
    assert again == data
    print(json.dumps(figures))


def _peak() -> float:
    """MB. Of this process alone: what `getrusage` says starts with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _fresh(path: Path) -> dict:
    command = [sys.executable, "-m", "tests.benchmarks.bitstream", str(path)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def _row(fit: c3.Fit, estimate_bits: float) -> Info:
    """Write a fit's file, measure it in a fresh process, print one row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.c3"
        c3.save(fit, path)
        info = c3.inspect(path.read_bytes())
        t = _fresh(path)
    height, width = fit.shape
    print(f"{height:>5}x{width:<5} {info.bytes:>8} {info.bpp:>7.4f} "
          f"{8 * info.bytes / estimate_bits - 1:>+9.2%} {info.header_bytes:>7} "
          f"{t['rollout']:>9.2f} {t['decode']:>7.2f} {t['encode']:>7.2f} "
          f"{1e6 * t['decode'] / fit.pixels:>9.2f} {t['decode_mb']:>7.0f} "
          f"{t['encode_mb']:>7.0f}", flush=True)
    return info


def main() -> None:
    """Print the tables."""
    crop = c3.data.crop(c3.data.kodak(19), 300, 100, 96, 128)
    config = c3.edit(c3.C3, steps=300, stage2_steps=50)
    fit = c3.fit(crop, config, key=jax.random.key(0), progress=False)
    rate = jax.jit(lambda model, symbols, shape: latent_bits(model, config, symbols, shape).sum(),
                   static_argnums=2)
    networks = parameters.from_integers(fit.coded.networks, *fit.coded.steps)
    network_bits = sum(float(b) for b in parameters.network_bits(fit.coded.networks))
    print(TARGETS)
    print(f"{'size':>11} {'bytes':>8} {'bpp':>7} {'estimate':>9} {'header':>7} "
          f"{'roll-out':>9} {'decode':>7} {'encode':>7} {'us/pixel':>9} {'MB dec':>7} "
          f"{'MB enc':>7}")
    for shape in SHAPES:
        larger = tiled(fit, shape)
        symbols = larger.coded.symbols.astype(np.float32)
        info = _row(larger, float(rate(networks.entropy, symbols, shape)) + network_bits)
    coded_bits = sum(info.networks_bits.values())
    arrays = len(jax.tree.leaves(fit.coded.networks))
    print(f"networks: {coded_bits:.0f} bits in the file, {network_bits:.0f} ideal: "
          f"{coded_bits / network_bits - 1:+.2%}, {arrays} scales of 7 bits included")

    print("whole photographs, fitted for only 150 + 15 steps:")
    for number, rd_weight in ((23, 2e-4), (23, 1e-3), (19, 1e-3)):
        whole = c3.fit(c3.data.kodak(number), c3.edit(
            c3.C3, steps=150, stage2_steps=15, rd_weight=rd_weight), progress=False)
        _row(whole, whole.bpp_estimate * whole.pixels)


if __name__ == "__main__":
    measured(Path(sys.argv[1]))
