"""The rooms of the package: imports only go down, and never in a circle."""

from tests.tools import house


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
