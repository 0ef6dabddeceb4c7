"""The range coder: the two backends agree, and no argument reaches a trap of the package."""

import importlib.util
import inspect
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import c3lite as c3
from c3lite.coding import rangecoder
from c3lite.coding.rangecoder import (
    BACKENDS,
    Decoder,
    Frequencies,
    RangeCoderError,
    encode_intervals,
    resolve_backend,
)
from tests.coded import CONFIGS
from tests.coded import coded as coded_fit

HAS_LIBRARY = importlib.util.find_spec("range_coder") is not None
needs_library = pytest.mark.skipif(not HAS_LIBRARY, reason="range-coder has no wheel here")
backends = pytest.mark.parametrize(
    "backend", [pytest.param("range-coder", marks=needs_library), "python"]
)

TOTAL = rangecoder.MAX_TOTAL


def random_table(rng: np.random.Generator, alphabet: int, total: int, skew: float) -> Frequencies:
    """A table of `alphabet` symbols; a larger skew leaves most of them a width of 1."""
    share = rng.random(alphabet) ** skew
    widths = 1 + np.floor((total - alphabet) * share / share.sum()).astype(int)
    widths[rng.integers(alphabet)] += total - widths.sum()
    return Frequencies(np.append(0, np.cumsum(widths)))


def encoded(tables, index, symbols, backend: str) -> bytes:
    """The stream of symbols, each by the table of its number."""
    intervals = np.array([(tables[i][s], tables[i][s + 1], tables[i][-1])
                          for i, s in zip(index, symbols, strict=True)], np.int64).reshape(-1, 3)
    return encode_intervals(*intervals.T, backend=backend)


def encoded_by(table, symbols, backend: str) -> bytes:
    """The stream of symbols that share a table."""
    return encoded([table], [0] * len(symbols), symbols, backend)


def decoded(data: bytes, n: int, table, backend: str) -> list[int]:
    """n symbols of a stream, by one table."""
    return Decoder(data, backend=backend).decode_many([Frequencies(table)], [0] * n)


def draw(rng: np.random.Generator, tables: list[Frequencies], index: np.ndarray) -> list[int]:
    """Symbols with the probabilities of their tables."""
    symbols = np.empty(len(index), int)
    for i, table in enumerate(tables):
        here = index == i
        u = rng.integers(0, table[-1], here.sum())
        symbols[here] = np.searchsorted(table, u, side="right") - 1
    return symbols.tolist()


@st.composite
def coded(draw_from):
    """Widths of tables' symbols, and symbols with the number of their table: any, in any order."""
    width = st.sampled_from([1, 1, 2, 3, 255, 256]) | st.integers(1, 2**10)
    widths = draw_from(st.lists(st.lists(width, min_size=1, max_size=40), min_size=1, max_size=4))
    index = draw_from(st.lists(st.integers(0, len(widths) - 1), max_size=60))
    ends = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1)
    symbols = [round(draw_from(ends) * (len(widths[i]) - 1)) for i in index]
    return widths, index, symbols


def tables_of(widths: list[list[int]]) -> list[Frequencies]:
    return [Frequencies(np.append(0, np.cumsum(w))) for w in widths]


# Both backends ----------------------------------------------------------------------------------


@needs_library
def test_a_million_symbols_are_the_same_bytes_and_decode_crosswise():
    rng = np.random.default_rng(0)
    for total, skew in [(TOTAL, 1), (TOTAL, 8), (2**12, 30), (40_000, 3)]:
        tables = [random_table(rng, n, total, skew) for n in (2, 3, 4, 9, 17, 33, 64, 200, 1000)]
        index = rng.integers(0, len(tables), 200_000)
        symbols = draw(rng, tables, index)
        streams = {backend: encoded(tables, index, symbols, backend) for backend in BACKENDS}
        assert streams["range-coder"] == streams["python"]
        for backend in BACKENDS:
            assert Decoder(streams[backend], backend=backend).decode_many(tables, index) == symbols


@needs_library
@given(coded())
def test_any_tables_are_the_same_bytes(case):
    widths, index, symbols = case
    tables = tables_of(widths)
    streams = [encoded(tables, index, symbols, backend) for backend in BACKENDS]
    assert streams[0] == streams[1]
    for backend in BACKENDS:
        assert Decoder(streams[0], backend=backend).decode_many(tables, index) == symbols


@needs_library
@given(coded(), st.binary(max_size=40) | st.sampled_from([b"\xff" * 9, b"\0" * 9, b"\0\xff\xff"]))
def test_garbage_decodes_to_the_same_garbage(case, data):
    widths, index, _ = case
    tables = tables_of(widths)
    ours = Decoder(data, backend="python").decode_many(tables, index)
    assert ours == Decoder(data, backend="range-coder").decode_many(tables, index)
    assert all(0 <= s <= len(tables[i]) - 2 for s, i in zip(ours, index, strict=True))


@needs_library
def test_a_number_beyond_the_interval_wraps_alike():
    # No encoder starts a stream with four bytes 0xFF. The number read is then outside the interval
    # and overflows 32 bits some bytes later.
    tables = [Frequencies(t) for t in ([0, 1, 2], [0, 200, 256], [0, 1, 2**16], [0, 5, 9, 40])]
    rng = np.random.default_rng(2)
    for length in range(40):
        data = b"\xff" * 4 + rng.bytes(length)
        index = rng.integers(0, len(tables), 200)
        ours = Decoder(data, backend="python").decode_many(tables, index)
        assert ours == Decoder(data, backend="range-coder").decode_many(tables, index)


@needs_library
def test_the_bytes_are_those_of_range_coder_with_whole_tables(tmp_path):
    # Ours hands range-coder an interval, not the table: here the package is used as its
    # documentation does.
    from range_coder import RangeEncoder

    rng = np.random.default_rng(1)
    tables = [random_table(rng, n, 2**16, 4) for n in (1, 2, 5, 30, 300)]
    index = rng.integers(0, len(tables), 5000)
    symbols = draw(rng, tables, index)
    plain = RangeEncoder(str(tmp_path / "stream"))
    for i, s in zip(index, symbols, strict=True):
        plain.encode([s], list(tables[i]))
    plain.close()
    for backend in BACKENDS:
        assert encoded(tables, index, symbols, backend) == (tmp_path / "stream").read_bytes()


# One backend ------------------------------------------------------------------------------------


@backends
@given(case=coded())
def test_what_is_encoded_is_decoded(backend, case):
    widths, index, symbols = case
    tables = tables_of(widths)
    decoder = Decoder(encoded(tables, index, symbols, backend), backend=backend)
    half = len(index) // 2
    first = decoder.decode_many(tables, index[:half])
    assert first + decoder.decode_many(tables, index[half:]) == symbols


@backends
def test_tables_can_be_made_when_they_are_needed(backend):
    class Lazy(dict):
        def __missing__(self, total):
            self[total] = Frequencies([0, 1, total])
            return self[total]

    data = encoded(Lazy(), [9, 3, 9], [1, 0, 1], backend)
    tables = Lazy()
    assert Decoder(data, backend=backend).decode_many(tables, [9, 3, 9]) == [1, 0, 1]
    assert sorted(tables) == [3, 9]


@backends
@given(seed=st.integers(0, 99), alphabet=st.integers(1, 60), skew=st.sampled_from([0, 1, 9, 40]))
def test_the_length_is_the_entropy(backend, seed, alphabet, skew):
    rng = np.random.default_rng(seed)
    table = random_table(rng, alphabet, 2**16, skew)
    symbols = draw(rng, [table], np.zeros(400, int))
    widths = np.diff(table)
    ideal_bits = -np.log2(widths[symbols] / table[-1]).sum()
    # width // total loses at most 1/256 of the interval a symbol at total 2^16; 4 bytes to end.
    most = ideal_bits + 400 * np.log2(256 / 255) + 32
    assert 8 * len(encoded_by(table, symbols, backend)) <= most


@backends
def test_the_last_symbol_gets_the_remainder_of_the_division(backend):
    def size(table, symbol):
        return len(encoded_by(table, [symbol] * 100_000, backend))

    # Probability 1 - 1/1024: 17.6 bytes of information.
    assert 17 <= size([0, 64, 2**16], 1) < size([0, 2**16 - 64, 2**16], 0)


@backends
def test_an_empty_stream_is_a_byte_and_a_certain_symbol_costs_nothing(backend):
    assert len(encode_intervals([], [], 2, backend=backend)) == 1
    data = encoded_by([0, 7], [0] * 1000, backend)
    assert len(data) == 1
    assert decoded(data, 1000, [0, 7], backend) == [0] * 1000


@backends
def test_reading_past_the_end_reads_ff(backend):
    for data in (b"", b"\x12", b"\x7f\x00\x30\x01\x02"):
        assert decoded(data, 40, range(257), backend) == decoded(
            data + b"\xff" * 50, 40, range(257), backend)


@backends
def test_bytes_after_the_stream_change_its_end(backend):
    # Why a decoder must be given exactly the stream.
    data = encoded_by([0, 1, 2], [1], backend)
    assert decoded(data, 1, [0, 1, 2], backend) == [1]
    assert decoded(data + b"\0", 1, [0, 1, 2], backend) == [0]


@backends
def test_truncation_is_not_noticed(backend):
    # Why the container has a CRC: wrong symbols, and no error.
    symbols = np.random.default_rng(3).integers(0, 4, 1000).tolist()
    data = encoded_by([0, 1, 2, 3, 4], symbols, backend)
    found = decoded(data[:100], 1000, [0, 1, 2, 3, 4], backend)
    assert found[:390] == symbols[:390]
    assert found != symbols


@backends
def test_encoders_and_decoders_in_threads(backend):
    rng = np.random.default_rng(4)
    tables = [random_table(rng, 30, 2**16, 3) for _ in range(8)]
    jobs = [rng.integers(0, 30, 3000).tolist() for _ in tables]

    def round_trip(table, symbols):
        edges, some = np.array(table), np.array(symbols)
        data = encode_intervals(edges[some], edges[some + 1], table[-1], backend=backend)
        decoder = Decoder(data, backend=backend)
        return [s for _ in range(300) for s in decoder.decode_many([table], [0] * 10)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(round_trip, tables, jobs)) == jobs


# Bad input: each of these hangs, crashes or goes unnoticed in the package -------------------------


@pytest.mark.parametrize(
    ("cumulative", "message"),
    [
        ([0, 0], "rises strictly"),  # total 0: SIGFPE
        ([0], "2 to 1025 entries"),
        ([], "2 to 1025 entries"),
        (range(1026), "2 to 1025 entries"),  # 1025 symbols: the encoder takes them
        ([0, 1, 2**16 + 1], "at most 65536"),
        ([0, 3, 3, 4], "rises strictly"),
        ([0, 3, 2, 4], "rises strictly"),
        ([1, 2, 3], "starts with 0"),
        ([-1, 2, 3], "starts with 0"),
        (np.array([0.0, 1.5, 2.0]), "integers"),
        (np.array([False, True]), "integers"),
        (np.zeros((2, 2), int), "one row"),
        ([0, 2**70], "integers"),
        (np.array([0, 2**63], np.uint64), "rises strictly"),
    ],
)
def test_bad_tables(cumulative, message):
    with pytest.raises(RangeCoderError, match=message):
        Frequencies(cumulative)


@backends
def test_the_largest_table_and_total_work(backend):
    table = Frequencies([*range(1024), TOTAL])
    symbols = [0, 1023, 512, 1022, 1] * 20
    assert decoded(encoded_by(table, symbols, backend), 100, table, backend) == symbols


@pytest.mark.parametrize(
    ("low", "high", "total"),
    [
        ([1], [1], 4),
        ([2], [1], 4),
        ([-1], [1], 4),
        ([3], [5], 4),
        ([0], [0], 0),
        ([0], [1], [2**16 + 1]),
        ([0], [2**24 + 1], 2**24 + 1),
        ([0, 1], [1], 4),
        ([0, 1], [1, 2], [4, 4, 4]),
        (np.array([0.5]), [1], 4),
    ],
)
@backends
def test_bad_intervals(backend, low, high, total):
    with pytest.raises(RangeCoderError):
        encode_intervals(low, high, total, backend=backend)


@backends
def test_bad_table_numbers(backend):
    table = Frequencies([0, 1, 2])
    decoder = Decoder(b"abc", backend=backend)
    for tables, index, message in [
        ([table], [0, -1], "negative"),
        ([table], [1], "not among the 1"),
        ({5: table}, [0], "not among the 1"),
        ([table], np.array([0.0]), "integers"),
    ]:
        with pytest.raises(RangeCoderError, match=message):
            decoder.decode_many(tables, index)


def test_tables_by_number_have_to_be_checked_ones():
    # An unchecked list is what crashes the package. (Unwrapped: annotations, which the tests check,
    # would refuse it before.)
    with pytest.raises(RangeCoderError, match="type Frequencies"):
        inspect.unwrap(Decoder.decode_many)(Decoder(b""), [Frequencies([0, 1]), [0, 0]], [0, 1])


@backends
def test_a_path_is_not_data(backend, tmp_path):
    # Given a folder the package aborts the process; here no path ever reaches it.
    with pytest.raises(TypeError):
        Decoder(str(tmp_path), backend=backend)


# Files ------------------------------------------------------------------------------------------


@needs_library
def test_no_file_is_left_behind(monkeypatch):
    import range_coder

    def open_files():
        return sorted(os.listdir("/proc/self/fd"))

    before = open_files()
    table = Frequencies([0, 1, 2])
    decoder = Decoder(encoded_by(table, [0, 1, 1], "range-coder"), backend="range-coder")
    assert decoder.decode_many([table], [0] * 3) == [0, 1, 1]
    del decoder

    class Broken:
        def __init__(self, path):
            with open(path, "wb") as file:
                file.write(b"partial")

        def encode(self, symbols, table):
            raise KeyboardInterrupt

        def close(self):
            pass

    monkeypatch.setattr(range_coder, "RangeEncoder", Broken)
    with pytest.raises(KeyboardInterrupt):
        encoded_by(table, [0], "range-coder")
    assert open_files() == before


@needs_library
def test_a_short_write_is_noticed():
    # The package says nothing when its writes fail. A limit on the size of files makes them fail
    # here; decoding again, as `encode` does, notices.
    resource = pytest.importorskip("resource")
    fit = coded_fit(CONFIGS["c3"], (31, 50))
    assert len(c3.encode(fit)) > 1000
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, old[1]))
    try:
        with pytest.raises((OSError, c3.BitstreamError)):
            c3.encode(fit, backend="range-coder")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


# Choosing ---------------------------------------------------------------------------------------


def test_the_choice_of_a_backend(monkeypatch):
    monkeypatch.delenv("C3LITE_RANGE_CODER", raising=False)
    assert resolve_backend() == ("range-coder" if HAS_LIBRARY else "python")
    assert Decoder(b"", backend="python").backend == "python"
    monkeypatch.setenv("C3LITE_RANGE_CODER", "python")
    assert resolve_backend() == Decoder(b"").backend == "python"
    for bad in ("Python", "constriction"):
        monkeypatch.setenv("C3LITE_RANGE_CODER", bad)
        with pytest.raises(RangeCoderError, match=f"unknown range coder '{bad}'"):
            resolve_backend()
    with pytest.raises(RangeCoderError, match="unknown range coder 'c'"):
        Decoder(b"", backend="c")


def test_without_the_package_python_takes_over(monkeypatch):
    monkeypatch.delenv("C3LITE_RANGE_CODER", raising=False)
    monkeypatch.setitem(sys.modules, "range_coder", None)  # importing it fails
    assert resolve_backend() == "python"
    with pytest.raises(RangeCoderError, match="not installed"):
        resolve_backend("range-coder")
