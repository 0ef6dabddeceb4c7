"""Range coding: symbols and integer frequency tables to bytes, and back.

A range coder (G. N. N. Martin, 1979) keeps an interval [base, base + width) of 32-bit numbers.
A symbol of the cumulative frequencies [lower, upper) out of total shrinks it in proportion,

    step = width // total,    base += step * lower,    width = step * (upper - lower),

and whenever width falls below 2^24 the top byte of base is settled (up to a carry) and leaves. The
last symbol of a table, upper = total, also gets the remainder of the division: its width is
width - step * lower. So a table whose likeliest symbol is the last one costs least.

Two backends write the same bytes and read them alike, garbage included: "range-coder", the C++
package of that name (wheels: Linux x86_64, CPython 3.11 and 3.12), and "python", the code at the
end of this file, 10 to 30 % slower to read. How a stream starts and ends was found by experiment on
the package. All checks happen here: given a bad argument it hangs, crashes, or writes without end.

A stream has no length, checksum, or end mark. **Truncated, extended or random bytes decode to
symbols, not to an error.** Past the end of its data a decoder reads bytes 0xFF, and an encoder ends
its stream relying on that: a decoder must be given exactly the stream's bytes.

Tables are integers that rise strictly from 0 to the total; symbols count from 0. Different decoders
may be used in different threads; one may not.
"""

import importlib
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped

MAX_TOTAL = 2**16
"""Largest total of a table: range // total has 8 bits or more. (With 0 a coder never ends.)"""

MAX_ALPHABET = 1024
"""Most symbols in a table (the limit of range-coder's decoder)."""

Integers = Sequence[int] | Shaped[np.ndarray, "..."]
BACKENDS = ("range-coder", "python")
_MASK = 2**32 - 1
_BOTTOM = 2**24


class RangeCoderError(ValueError):
    """A table, symbol, count or backend that cannot be coded; nothing was written."""


class Frequencies(list[int]):
    """A cumulative frequency table [0, ..., total], checked once, when it is made.

    Symbol s has the interval [table[s], table[s + 1]) and the probability of its width over
    ``table[-1]``. A list, because range-coder takes nothing else; do not change it. Raises
    `RangeCoderError` for anything but 2 to 1025 integers that rise strictly from 0.
    """

    __slots__ = ()

    def __init__(self, cumulative: Iterable[int] | Shaped[np.ndarray, "..."]):
        values = _integers("a cumulative table", cumulative)
        if not 2 <= len(values) <= MAX_ALPHABET + 1:
            raise RangeCoderError(f"a cumulative table has 2 to {MAX_ALPHABET + 1} entries (one "
                                  f"more than symbols), not {len(values)}")
        if values[0] != 0:
            raise RangeCoderError(f"a cumulative table starts with 0, not {values[0]}")
        if not (values[1:] > values[:-1]).all():
            raise RangeCoderError("a cumulative table rises strictly: every symbol needs a width")
        if values[-1] > MAX_TOTAL:
            raise RangeCoderError(f"a table's total is at most {MAX_TOTAL}, not {values[-1]}")
        super().__init__(values.tolist())


def encode_intervals(low: Integers, high: Integers, total: int | Integers, *,
                     backend: str = "auto") -> bytes:
    """The stream of n symbols given by their intervals, [table[s], table[s + 1]) of table[-1].

    0 <= low < high <= total, which is one for all or n of them; at least one byte comes back. That
    range-coder wrote all of it is known only when it is decoded again, as `encode` does. Raises
    `RangeCoderError` for other intervals, totals over the limit, different lengths, or a `backend`
    (of `resolve_backend`) that is not there; `OSError` when a file in memory cannot be written.
    """
    backend = resolve_backend(backend)
    low, high = _integers("low", low), _integers("high", high)
    total = _integers("total", np.atleast_1d(total))
    if len(low) != len(high) or len(total) not in (1, len(low)):
        raise RangeCoderError(
            f"low, high and total have {len(low)}, {len(high)} and {len(total)} entries")
    if not ((low >= 0) & (low < high) & (high <= total) & (total <= MAX_TOTAL)).all():
        raise RangeCoderError(f"an interval needs 0 <= low < high <= total <= {MAX_TOTAL}")
    encode = _encode_library if backend == "range-coder" else _encode_python
    return encode(low.tolist(), high.tolist(), np.broadcast_to(total, low.shape).tolist())


class Decoder:
    """Reads symbols from exactly the bytes of `encode_intervals` (others decode to garbage), by a
    `backend` (`resolve_backend`). Raises `OSError` when a file in memory cannot be written."""

    def __init__(self, data: bytes | memoryview, *, backend: str = "auto"):
        self.backend = resolve_backend(backend)
        reader = _library_decoder if self.backend == "range-coder" else _PythonDecoder
        self._decode = reader(memoryview(data).tobytes())

    def decode_many(self, tables: Sequence[Frequencies] | Mapping[int, Frequencies],
                    index: Integers) -> list[int]:
        """The next n symbols, each with its own table: the i-th by tables[index[i]].

        Raises `RangeCoderError` for a number below 0 or without a table, or without `Frequencies`.
        """
        numbers = _integers("table numbers", index)
        if numbers.size and numbers.min() < 0:
            raise RangeCoderError(f"table number {numbers.min()} is negative")
        try:
            chosen = list(map(tables.__getitem__, numbers.tolist()))
        except (IndexError, KeyError):
            raise RangeCoderError(f"a table number is not among the {len(tables)} tables") from None
        if set(map(type, chosen)) - {Frequencies}:
            raise RangeCoderError("tables given by number have to be of type Frequencies")
        return self._decode(chosen)


def resolve_backend(backend: str = "auto") -> str:
    """The backend that a name stands for: "range-coder" or "python".

    "auto" is what the environment variable C3LITE_RANGE_CODER says, if any, else range-coder where
    it is installed, else Python. Raises `RangeCoderError` for another name, or one not installed.
    """
    if backend == "auto":
        backend = os.environ.get("C3LITE_RANGE_CODER") or "auto"
    if backend not in ("auto", *BACKENDS):
        raise RangeCoderError(
            f"unknown range coder {backend!r}; choose auto, {' or '.join(BACKENDS)}")
    if backend == "python":
        return backend
    try:
        importlib.import_module("range_coder")
    except ImportError:
        if backend == "range-coder":
            raise RangeCoderError(
                "the package range-coder is not installed (it has wheels for Linux x86_64 and "
                'CPython 3.11 and 3.12); use backend="python", which writes the same bytes'
            ) from None
        return "python"
    return "range-coder"


def _integers(what: str, values: Any) -> np.ndarray:
    """One-dimensional int64 array of `values`, or an error: floats and booleans are no symbols."""
    array = np.asarray(values if isinstance(values, np.ndarray) else list(values))
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise RangeCoderError(
            f"{what}: expected one row of integers, got shape {array.shape}, type {array.dtype}")
    return array.astype(np.int64)


# range-coder ------------------------------------------------------------------------------------


@contextmanager
def _memory_file() -> Iterator[tuple[IO[bytes], str]]:
    """A file in memory, and the name by which range-coder, which takes only paths, can open it. No
    disk to be full, and nothing left behind. Wheels of range-coder are for Linux, which has it."""
    try:
        with os.fdopen(os.memfd_create("c3lite"), "w+b") as file:
            yield file, f"/proc/self/fd/{file.fileno()}"
    except RuntimeError as error:  # all that range-coder says when it could not open a file
        raise OSError("range-coder could not open its file; too many open files?") from error


def _encode_library(low: list[int], high: list[int], total: list[int]) -> bytes:
    from range_coder import RangeEncoder

    with _memory_file() as (file, name):
        encoder = RangeEncoder(name)
        encode = encoder.encode
        try:
            for lower, upper, whole in zip(low, high, total, strict=True):
                # The same bytes as the full table's, without handing its entries over.
                if upper < whole:
                    encode([1], [0, lower, upper, whole])
                else:
                    encode([1], [0, lower, whole])
        finally:
            encoder.close()
        data = file.read()
    if not data:
        raise OSError("range-coder did not write its file")
    return data


def _library_decoder(data: bytes):
    from range_coder import RangeDecoder

    with _memory_file() as (file, name):
        file.write(data)
        file.flush()
        decode = RangeDecoder(name).decode  # it keeps the open file, which outlives the name
        decode(0, [0, 1])
    return lambda tables: [decode(1, table)[0] for table in tables]


# Python -----------------------------------------------------------------------------------------


def _encode_python(low: list[int], high: list[int], total: list[int]) -> bytes:
    base, width = 0, _MASK  # the interval
    out = bytearray()
    for lower, upper, whole in zip(low, high, total, strict=True):
        step = width // whole
        start = step * lower
        base += start
        width = width - start if upper == whole else step * (upper - lower)
        if base > _MASK:  # a carry into the bytes that have left
            base &= _MASK
            i = len(out) - 1
            while out[i] == 0xFF:
                out[i] = 0
                i -= 1
            out[i] += 1
        while width < _BOTTOM:
            out.append(base >> 24)
            base = base << 8 & _MASK
            width <<= 8
    # The end: bytes of base up to the first in which the interval's end differs. The 0xFF that the
    # decoder reads after them make a number inside the interval.
    end = base + width
    for shift in (24, 16, 8, 0):
        out.append(base >> shift & 0xFF)
        if (base ^ end) >> shift & 0xFF:
            break
    return bytes(out)


class _PythonDecoder:
    def __init__(self, data: bytes):
        self._bytes = chain(data, repeat(0xFF))
        self._width = _MASK
        self._code = 0  # the number read, relative to the interval's start
        for _ in range(4):
            self._code = self._code << 8 | next(self._bytes)

    def __call__(self, tables: list[Frequencies]) -> list[int]:
        code, width, stream = self._code, self._width, self._bytes
        search, following, bottom, mask = bisect_right, next, _BOTTOM, _MASK
        symbols = []
        append = symbols.append
        for table in tables:
            total = table[-1]
            step = width // total
            after = search(table, code // step)
            try:
                upper = table[after]
            except IndexError:  # the remainder of the division (or garbage): the last symbol
                after -= 1
                upper = total
            append(after - 1)
            lower = table[after - 1]
            start = step * lower
            code -= start
            width = width - start if upper == total else step * (upper - lower)
            while width < bottom:
                code = (code << 8 | following(stream)) & mask
                width <<= 8
        self._code, self._width = code, width
        return symbols
