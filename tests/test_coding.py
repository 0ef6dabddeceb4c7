"""Files: whatever goes in comes out, estimates hold, and no damage goes unnoticed."""

import dataclasses
import functools
import graphlib
import os
import random
import subprocess
import sys
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import c3lite as c3
from c3lite.coding import BitstreamError, files, header
from c3lite.coding import payload as integer
from c3lite.coding.header import Contents, Quantized
from c3lite.coding.rangecoder import BACKENDS, RangeCoderError, resolve_backend
from c3lite.config import coded_fields
from c3lite.fitting import parameters
from c3lite.ingredients.distributions import DISTRIBUTIONS
from c3lite.model import entropy, latents
from c3lite.model.codec import Codec
from tests.coded import CONFIGS, STEP, coded, shape_of


def with_crc(rest: bytes, version=header.VERSION) -> bytes:
    return header.with_crc(header.MAGIC, version, rest)


HEAD = len(header.MAGIC) + 5


@pytest.fixture(scope="session")
def small_file():
    """Some 250 bytes: networks without hidden layers."""
    config = c3.edit(c3.C3, num_grids=3, entropy_widths=(), synthesis_widths=(),
                     context_size=(3, 3), synthesis_residual_convs=0)
    return c3.encode(coded(config, (10, 13)))


# Round trips ------------------------------------------------------------------------------------


def later_bytes(config):
    """Of fields that came after version 2: a number and a value each, and two more steps."""
    later = sum(getattr(config, name) != getattr(c3.C3, name)
                for name, number in coded_fields().items() if number > 21 or name == "upsampling")
    return 2 * later + 2 * config.steps_per_network


@pytest.mark.parametrize("name", list(CONFIGS))
def test_round_trip(name):
    fit = coded(CONFIGS[name], shape_of(name))
    data = c3.encode(fit)
    contents = files.read(data).coded
    np.testing.assert_array_equal(contents.symbols, fit.coded.symbols)
    for ours, theirs in zip(*map(jax.tree.leaves, (contents.networks, fit.coded.networks)),
                            strict=True):
        np.testing.assert_array_equal(ours, theirs)
    image = c3.decode(data)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, fit.reconstruction)
    info = c3.inspect(data)
    fields = info.structure()
    assert fields == {k: pytest.approx(v) if isinstance(v := getattr(fit.config, k), float) else v
                      for k in fields}
    assert info.header_bytes + info.payload_bytes == len(data)
    masks = 6 if fit.config.mask_shape else 0
    most = 19 if name in c3.PRESETS else 40 + later_bytes(fit.config)
    assert info.header_bytes - masks <= most
    counted = sum(info.grids_bits) + sum(info.networks_bits.values())
    assert counted == pytest.approx(8 * info.payload_bytes, abs=0.002 * counted + 16)
    assert str(len(data)) in repr(info) and "grid 0" in repr(info)



def test_a_preset_is_one_byte_and_a_variant_of_it_not_many():
    # mark, version, CRC; preset, two steps; two sides of two bytes; CRC of the latents
    presets = (*c3.PRESETS.values(), *c3.ADAPTIVE_KODAK, *c3.ADAPTIVE_CLIC)
    for config in presets:
        later = config in (c3.BEYOND, c3.BEYOND_SMALL)  # not settled yet, so written out
        assert later or len(header_with(config, (512, 768))) - 1 == 19
    for config in presets:
        variant = c3.edit(config, activation="relu", quantization_step=0.37, scale_max=20)
        assert len(header_with(variant, (512, 768))) - 1 <= 43 + later_bytes(variant)
        data = header_with(variant, (512, 768))
        assert header.unpack(data).contents.config == header.as_decoded(variant, 2)


def test_presets_in_files_stay_what_they_are():
    # A preset that changes would change what files of the past decode to. Give the new one a new
    # place at the end of header._KNOWN; the numbers below grow, those before them stay.
    known = header._known(2)
    assert zlib.crc32(b"".join(data[1:] for data in known[:20])) == CRC_OF_PRESETS
    assert len(set(known)) == len(known) < 128


CRC_OF_PRESETS = 3787280389


def test_extreme_latents_and_parameters_come_back():
    config = CONFIGS["c3-clic"]
    rng = np.random.default_rng(1)
    n = latents.count(config, (31, 50))
    symbols = np.round(rng.laplace(size=n) * 2.0 ** rng.integers(-3, 30, n))
    symbols = np.clip(symbols, -header.MAX_SYMBOL, header.MAX_SYMBOL)
    symbols[:4] = 2**20, -(2**20), header.MAX_SYMBOL, -header.MAX_SYMBOL
    fit = coded(config, (31, 50), symbols)
    extreme = jax.tree.map(
        lambda a: np.clip(np.round(rng.standard_cauchy(a.shape) * 1000), -(2**24), 2**24)
        .astype(np.float32), fit.coded.networks)
    fit = dataclasses.replace(fit, coded=fit.coded._replace(networks=extreme))
    contents = files.read(c3.encode(fit)).coded
    np.testing.assert_array_equal(contents.symbols, symbols)
    for ours, theirs in zip(*map(jax.tree.leaves, (contents.networks, extreme)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("scale", [0.0, 0.01, 0.4, 3.0, 40.0, 700.0, 32_888.0])
def test_a_parameter_array_costs_its_laplace_and_seven_bits(scale):
    values = np.round(np.random.default_rng(2).laplace(size=4000, scale=scale)).astype(np.int64)
    writer = integer.Writer()
    integer.code_array(writer, values, 0)
    ideal = float(parameters.laplace_array_bits(jnp.asarray(values, jnp.float32)))
    assert writer.bits()[0] <= 1.001 * ideal + 7.5
    reader = integer.Reader(writer.finish("auto"), "auto")
    np.testing.assert_array_equal(integer.code_array(reader, 0 * values, 0), values)


class Sampler:
    """A coder that reads given network symbols, and draws latents as the model says."""

    def __init__(self, writer):
        self.networks = iter([symbols for _, symbols, label in writer._parts if label[0] >= 16])
        self.tables, self.rng = integer.Tables(), np.random.default_rng(3)

    def code(self, tables, symbols, label):
        if np.min(label) >= 16:
            return next(self.networks)
        draws = self.rng.integers(0, integer.TOTAL, len(tables))
        return np.array([np.searchsorted(self.tables[t], u, "right") - 1
                         for t, u in zip(tables.tolist(), draws, strict=True)])


@pytest.fixture(scope="session")
def typical():
    """Latents drawn from their own model, over 10 kB."""
    return drawn_from("laplace")


@functools.cache
def drawn_from(distribution):
    config, shape = c3.edit(
        c3.C3, log_scale_shift=2.5, latent_distribution=distribution), (160, 208)
    fit = coded(config, shape)
    smaller = jax.tree.map(lambda a: np.round(a / 8), fit.coded.networks)
    fit = dataclasses.replace(fit, coded=fit.coded._replace(networks=smaller))
    contents = files._contents(fit)
    unknown = contents.coded._replace(symbols=None, networks=None)
    drawn = integer.walk(Sampler(files.written(contents)), contents._replace(coded=unknown))
    return dataclasses.replace(
        fit, coded=fit.coded._replace(symbols=drawn.coded.symbols.astype(np.int32)))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_file_is_as_large_as_the_estimate(distribution):
    typical = drawn_from(distribution)
    data = c3.encode(typical)
    codec = Codec(typical.config, typical.shape, key=jax.random.key(0))
    model = parameters.with_networks(
        codec, parameters.from_integers(typical.coded.networks, STEP, STEP)).entropy
    estimate = float(jax.jit(lambda m, s: entropy.latent_bits(
        m, typical.config, s, typical.shape).sum())(
            model, jnp.asarray(typical.coded.symbols, jnp.float32)))
    latents_bits = sum(c3.inspect(data).grids_bits)
    assert latents_bits > 8 * 10_000
    assert abs(latents_bits / estimate - 1) < 0.002
    networks = jax.tree.map(jnp.asarray, typical.coded.networks)
    estimate += sum(float(b) for b in parameters.network_bits(networks))
    assert 8 * len(data) / estimate < 1.005


# The same everywhere ----------------------------------------------------------------------------


def both_backends():
    try:
        resolve_backend("range-coder")
    except RangeCoderError:
        pytest.skip("range-coder has no wheel here")


def test_backends_write_and_read_the_same(typical):
    both_backends()
    first, second = (c3.encode(typical, backend=backend) for backend in BACKENDS)
    assert first == second


def test_threads_change_nothing(typical, tmp_path):
    data = c3.encode(typical)
    with ThreadPoolExecutor(2) as pool:
        for decoded in pool.map(files.read, [data] * 4):
            np.testing.assert_array_equal(decoded.coded.symbols, typical.coded.symbols)
    (tmp_path / "a.c3").write_bytes(data)
    program = ("import sys, zlib; from c3lite.coding import files; "
               "data = open(sys.argv[1], 'rb').read(); "
               "print(zlib.crc32(files.read(data).coded.symbols.tobytes()))")
    for threads in "12":
        result = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "a.c3")], check=True, text=True,
            capture_output=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads})
        assert int(result.stdout) == zlib.crc32(typical.coded.symbols.tobytes())


def test_decoding_compiles_nothing(typical, monkeypatch):
    data = c3.encode(typical)

    def refuse(*_, **__):
        raise AssertionError("decoding used JAX")

    monkeypatch.setattr(jax, "jit", refuse)
    for name in ("bind", "bind_with_trace"):
        monkeypatch.setattr(jax.extend.core.Primitive, name, refuse)
    with pytest.raises(AssertionError):
        jnp.zeros(3) + 1
    c3.decode(data)


def test_a_file_of_another_day_still_decodes():
    """Kodak 23 in 64x96 pixels after 660 steps, written on 2026-11-25 on an x86-64 of 2 cores."""
    data = (Path(__file__).parent / "files" / "kodim23_64x96.c3").read_bytes()
    assert zlib.crc32(files.read(data).coded.symbols.astype("<i4").tobytes()) == 1905443605
    x = c3.data.crop(c3.data.kodak(23), 192, 288, 64, 96)
    assert c3.metrics.psnr(c3.decode(data), x) == pytest.approx(37.63, abs=0.005)


# Refusals ---------------------------------------------------------------------------------------


def test_a_newer_version_says_so(small_file):
    newer = with_crc(small_file[HEAD:], version=header.VERSION + 1)
    with pytest.raises(BitstreamError, match="newer c3lite"):
        c3.decode(newer)
    with pytest.raises(BitstreamError, match="never released"):
        c3.decode(with_crc(small_file[HEAD:], version=1))


def test_other_bytes_are_named(small_file):
    for data, message in [(b"", "not a c3lite file"), (b"\x89PNG\r\n", "not a c3lite file"),
                          (small_file[:-1], "checksum"), (small_file + b"\0", "checksum"),
                          (small_file[:5], "ends within its header")]:
        with pytest.raises(BitstreamError, match=message):
            c3.decode(data)


def header_with(config, shape):
    config = header.as_decoded(config, len(shape))
    steps = (STEP,) * header.count_of_steps(config)
    return header.pack(Contents(config, shape, Quantized(np.zeros(1, np.int32), [], steps)), b"\0")


@pytest.mark.parametrize(("changes", "shape"), [
    ({}, (2**14 + 1, 8)), ({}, (0, 8)), ({}, (2**13, 2**13)), ({}, (2**34 - 1, 2**34 - 1)),
    ({}, (2**12 + 1, 8, 8)), ({"context_size": (255, 255)}, (8, 8)),
    ({"synthesis_widths": (1024, 1024)}, (8, 8)),
    ({"context_size": (1, 1), "mask_shape": (4, 4), "masked_grids": 1,
      "mask_origins": ((0, 10**6),)}, (2, 8, 8)),
    ({"context_size": (3, 3), "mask_shape": (4, 4), "masked_grids": 1,
      "mask_origins": ((0, 0),)}, (2, 8, 8)),
])
def test_limits_hold_before_anything_is_allocated(changes, shape, monkeypatch):
    data = header_with(c3.edit(c3.C3, **changes), shape)
    monkeypatch.setattr(integer, "Plan", None)
    monkeypatch.setattr(files, "walk", None)
    with pytest.raises(BitstreamError, match=r"limit|sides|frames|farther|one entropy"):
        c3.decode(data)


@pytest.mark.parametrize("value", [np.nan, np.inf, 2.0**25])
def test_a_fit_that_cannot_be_written_is_refused(value):
    fit = coded(CONFIGS["c3"], (8, 8))
    fit.coded.networks.synthesis.layers[0].weight[0, 0] = value
    with pytest.raises(BitstreamError, match="weights"):
        c3.encode(fit)


def test_the_encoder_notices_a_decoder_that_differs(monkeypatch):
    fit = coded(CONFIGS["c3"], (16, 16))
    level, calls = integer.log_scale_level, []

    def wrong_once(log_scale):
        calls.append(1)
        return level(log_scale) + 4 * (len(calls) == 10)

    monkeypatch.setattr(integer, "log_scale_level", wrong_once)
    with pytest.raises(BitstreamError):
        c3.encode(fit)
    assert len(calls) >= 10


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Flipped, overwritten, cut, extended, moved or random bytes."""
    kind, out = rng.randrange(6), bytearray(data)
    at = rng.randrange(len(out))
    if kind == 0:
        out[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        for _ in range(rng.randint(1, 8)):
            out[rng.randrange(len(out))] = rng.randrange(256)
    elif kind == 2:
        del out[at:]
    elif kind == 3:
        out += rng.randbytes(rng.randint(1, 40))
    elif kind == 4:
        del out[at : at + rng.randint(1, 9)]
    else:
        out[: rng.randint(1, len(out))] = rng.randbytes(rng.randint(0, 60))
    return bytes(out)


def test_20000_damaged_files_are_all_refused(small_file):
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(20_000):
        data = mutated(small_file, rng)
        if data != small_file:
            with pytest.raises(BitstreamError):
                c3.decode(data)


def test_damage_under_a_repaired_checksum_stays_within_limits(small_file):
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    rng, refused = random.Random(seed), 0
    original = files.read(small_file).coded
    for i in range(200):
        # half of them anywhere, half in the payload alone, whose length is kept
        rest = bytearray(small_file[HEAD:])
        if i % 2:
            rest[-rng.randrange(1, 200)] ^= 1 << rng.randrange(8)
        else:
            rest = bytearray(mutated(bytes(rest), rng))
        data = with_crc(bytes(rest))
        try:
            if np.prod(header.unpack(data).contents.shape) > 10_000:
                continue  # within the limits, but slow
            decoded = files.read(data).coded
        except BitstreamError:
            refused += 1
        else:
            # the latents' own checksum: they decode right, or in another header's shape by chance
            np.testing.assert_array_equal(decoded.symbols, original.symbols)
    assert refused > 150


# Paths ------------------------------------------------------------------------------------------


def test_save_and_load(tmp_path):
    fit = coded(CONFIGS["c3"], (16, 20))
    path = tmp_path / "a.c3"
    assert c3.save(fit, path) == path.stat().st_size == len(c3.encode(fit))
    np.testing.assert_array_equal(c3.load(path), fit.reconstruction)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.c3"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        c3.save(coded(CONFIGS["c3"], (16, 20)), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_python_coder_decodes_the_same_image(typical):
    data = c3.encode(typical)
    np.testing.assert_array_equal(c3.decode(data, backend="python"), c3.decode(data))


@pytest.mark.parametrize("name", ["c3", "video, mask"])
def test_from_bytes_to_pixels_without_back_and_forth(name):
    """Through five files at most, each called by two others at most and by none that it calls."""
    data = c3.encode(coded(CONFIGS[name], (2, 7, 9) if name.startswith("video") else (7, 9)))
    package, calls = str(Path(c3.__file__).parent), set()

    def seen(frame, event, _):
        caller, callee = frame.f_back, Path(frame.f_code.co_filename)
        if event != "call" or callee.parent != Path(files.__file__).parent:
            return
        while not caller.f_code.co_filename.startswith((package, __file__)):
            caller = caller.f_back  # what checks types stands between
        source = Path(caller.f_code.co_filename).stem
        if source != callee.stem:
            calls.add((source, callee.stem))

    sys.setprofile(seen)
    try:
        c3.decode(data)
    finally:
        sys.setprofile(None)
    assert len({callee for _, callee in calls}) <= 5
    assert max(Counter(callee for _, callee in calls).values()) <= 2, calls
    graph = graphlib.TopologicalSorter()
    for call in calls:
        graph.add(*call)
    graph.prepare()  # raises where there is a circle


@pytest.mark.parametrize("shape", [(1, 1), (40, 1)])
def test_tiny_pictures_come_back(shape):
    fit = coded(CONFIGS["c3"], shape)
    np.testing.assert_array_equal(c3.decode(c3.encode(fit)), fit.reconstruction)


def test_the_array_order_is_that_of_jax():
    for name, config in CONFIGS.items():
        shape = shape_of(name)
        networks = jax.eval_shape(lambda c=config, s=shape: parameters.networks_of(
            Codec(c, s, key=jax.random.key(0))))
        paths = jax.tree_util.tree_flatten_with_path(networks)[0]
        ours = jax.tree_util.tree_flatten_with_path(header.array_shapes(config, len(shape)))[0]
        # a bias is the second of a pair, and there is one kernel of upsampling
        assert [(header.PART_OF[path[0].name], leaf.shape, len(path) > 1 and path[-1].idx == 1)
                for path, leaf in ours] == [
            (path[0].name, leaf.shape, header.is_bias(path)) for path, leaf in paths]
