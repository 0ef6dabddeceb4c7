"""The rooms of the package: imports only go down, and never in a circle."""

import numpy as np
import pytest

import c3lite as c3
from c3lite.ablation import devices, table
from c3lite.data import patches
from tests.tools import house


@pytest.mark.parametrize(("call", "arguments"), [
    (c3.metrics.psnr, (np.zeros((2, 3, 3)), np.zeros((2, 3, 3)))),  # a shape
    (table._measure, (np.ones((2, 4, 5)), np.ones((3, 4, 5)), np.ones(2))),  # that of another one
    (c3.data.crop, (np.zeros((3, 4, 4)), 0, 0, 2, "2")),  # beside a shape
    (patches.by, (5,)), (devices.expected_seconds, ("1",))])  # without one
def test_annotations_are_checked(call, arguments):
    with pytest.raises(TypeError, match="violates type hint"):
        call(*arguments)


def test_what_is_returned_is_checked(monkeypatch):
    monkeypatch.setattr(c3.metrics, "mse", lambda *_: 1e-3)
    monkeypatch.setattr(c3.metrics, "_decibels", lambda _: "30 dB")
    with pytest.raises(TypeError, match="violates type hint"):
        c3.metrics.psnr(np.zeros((3, 2, 2)), np.zeros((3, 2, 2)))


def test_every_room_has_its_level():
    levels = [name for names in house.LEVELS for name in names]
    assert sorted({house.room(module) for module in house.modules()}) == sorted(levels)


def test_imports_only_go_down():
    assert [str(i) for i in house.against_the_order(house.imports())] == []


def test_no_modules_import_each_other_in_a_circle():
    assert house.circle(house.imports()) == []


def test_a_wrong_import_is_seen(tmp_path):
    """Also one inside a function, and one of a package as a whole."""
    package = tmp_path / "c3lite"
    for name, text in {
        "__init__": "from c3lite import model",
        "model/__init__": "",
        "model/codec": "def f():\n    from c3lite.fitting.fit import fit\n",
        "fitting/fit": "import c3lite.model.codec\nfrom c3lite import plots\n",
        "plots/__init__": "from numpy import array\n",
    }.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = house.imports(package)
    wrong = house.against_the_order(found)
    assert {(i.source, i.target) for i in wrong} == {
        ("model.codec", "fitting.fit"), ("fitting.fit", "plots")}
    assert set(house.circle(found)) == {"model.codec", "fitting.fit"}
