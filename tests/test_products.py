"""Products in parts are the products, to the bit where they are of whole numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from c3lite.coding import products
from c3lite.model import latents

sizes = st.integers(1, 40)


@given(sizes, sizes, sizes, st.integers(1, 5000), st.integers(0, 9))
def test_products_of_whole_numbers_are_exact(m, k, n, largest, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-(2**20), 2**20, s).astype(np.float64) for s in ((m, k), (k, n)))
    usual, products.LARGEST = products.LARGEST, largest
    try:
        found = products.product(a, b)
    finally:
        products.LARGEST = usual
    np.testing.assert_array_equal(found, a.astype(np.int64) @ b.astype(np.int64))


def test_no_part_is_larger_than_allowed(monkeypatch):
    asked = []

    def matmul(a, b, out):
        asked.append(a.shape[0] * a.shape[1] * b.shape[1])
        return np.multiply(1, np.dot(a, b), out=out)

    rng = np.random.default_rng(0)
    monkeypatch.setattr(products.np, "matmul", matmul)
    for m, k, n in ((3000, 121, 16), (32, 32, 2048), (3, 81, 1920)):
        a, b = rng.random((m, k)), rng.random((k, n))
        np.testing.assert_allclose(products.product(a, b), a @ b)
    assert len(asked) > 20 and max(asked) <= products.LARGEST


def test_interpolation_along_an_axis_is_the_whole_matrix_product():
    grid = np.random.default_rng(0).random((9, 33, 20), np.float32)
    for axis, path in ((0, (9, 18)), (1, (33, 70)), (2, (20, 160))):
        for method in ("bilinear", "bicubic"):
            matrix = latents.path_matrix(path, method)
            whole = np.moveaxis(np.tensordot(matrix, grid, ((1,), (axis,))), 0, axis)
            found = products.along(matrix, grid, axis)
            assert found.dtype == whole.dtype
            np.testing.assert_allclose(found, whole, rtol=1e-6)
