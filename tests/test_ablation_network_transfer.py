"""A study of transfers covers all pairs once, goes on where it was, and compares with own fits."""

import pytest

import c3lite as c3
from c3lite.ablation.store import Store
from c3lite.ablation.studies import network_transfer as t

SMALL = c3.edit(c3.C3, num_grids=3, synthesis_widths=(6,), entropy_widths=(6,), context_size=(3, 3),
                synthesis_residual_convs=1, steps=60, stage2_steps=30, parameter_steps=(1e-3, 1e-2))


@pytest.fixture(scope="module")
def images():
    return {f"kodim{n}": c3.data.crop(c3.data.kodak(n), 220, 300, 24, 32) for n in (23, 19)}


@pytest.fixture(scope="module")
def study(images, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    return store, list(t.transfers(images, SMALL, store=store, steps=[60, 20], progress=False))


def test_a_study_covers_all_pairs(study):
    _, results = study
    assert len(results) == len({r[:4] for r in results}) == 2 * 2 + 2 * 2 * 2
    assert {r.kind for r in results} == set(t.KINDS)
    assert all((r.source == r.target) == (r.kind == "own") for r in results)
    assert {(r.steps, r.record.steps) for r in results} == {(60, 90), (20, 30)}
    # frozen networks are the source's, bit for bit, so they cost what the source's do
    by = {r[:4]: r.record for r in results}
    assert (by["frozen", "kodim23", "kodim19", 60].bits["synthesis"]
            == by["own", "kodim23", "kodim23", 60].bits["synthesis"]
            != by["warm", "kodim23", "kodim19", 60].bits["synthesis"])


def test_a_study_goes_on_where_it_was(study, images, monkeypatch, capsys):
    store, results = study
    lost = next(r for r in results if r[:4] == ("warm", "kodim19", "kodim23", 20))
    store.path(lost.record.key).unlink()
    fitted = []

    def counted(x, config, **options):
        fitted.append(config.steps)
        return c3.fit(x, config, **options)

    monkeypatch.setattr(t, "fit", counted)
    again = list(t.transfers(images, SMALL, store=Store(store.folder), steps=[60, 20]))
    assert fitted == [60]  # the source alone, for its networks
    assert [r[:4] for r in again] == [r[:4] for r in results]
    redone = next(r for r in again if r[:4] == lost[:4])
    assert redone.record.loss == lost.record.loss and redone.record.date >= lost.record.date
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12 and "frozen networks of kodim23" in lines[2] and "left" in lines[2]


def test_rises_are_against_the_longest_own_fit(study):
    _, results = study
    own = t.rises(results, "own", 60)
    assert own == {("kodim23", "kodim23"): 0.0, ("kodim19", "kodim19"): 0.0}
    frozen = t.rises(results, "frozen", 60)
    by = {r[:4]: r.record.latents_loss for r in results}
    shorter = by["own", "kodim19", "kodim19", 20] / by["own", "kodim19", "kodim19", 60]
    assert t.rises(results, "own", 20)["kodim19", "kodim19"] == pytest.approx(100 * (shorter - 1))
    assert frozen["kodim23", "kodim19"] == pytest.approx(100 * (
        by["frozen", "kodim23", "kodim19", 60] / by["own", "kodim19", "kodim19", 60] - 1))
    assert set(frozen) == {("kodim23", "kodim19"), ("kodim19", "kodim23")}


def test_summary_and_curves(study):
    _, results = study
    lines = str(t.summary(results)).splitlines()
    assert lines.pop() == "12 fits were not checked for a collapse"  # too short to be judged
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "its own, from scratch"] * 2 + ["another's, frozen"] * 2 + ["another's, as a start"] * 2
    assert lines[1].split()[-6:] == ["60", "2", "+0.0", "+0.0", "+0.0", "+0.0"]
    sent = t.rises(results, "frozen", 60, sent=True)
    mean = sum(sent.values()) / 2
    assert float(lines[3].split()[-1].replace(",", "")) == pytest.approx(mean, abs=0.06)
    found = t.curves(results, "kodim23", "kodim19")
    assert list(found) == [
        "another's, frozen, 60 steps", "another's, frozen, 20 steps",
        "another's, as a start, 60 steps", "another's, as a start, 20 steps",
        "its own, from scratch, 60 steps", "its own, from scratch, 20 steps"]
    assert all(len(steps) == len(loss) for ((steps, loss),) in found.values())


def test_what_is_sent(study):
    """A decoder that has frozen networks needs no others."""
    by = {r[:4]: r.record for r in study[1]}
    own = by["own", "kodim19", "kodim19", 60]
    networks = own.bits["synthesis"] + own.bits["entropy"]
    assert own.loss - own.latents_loss == pytest.approx(1e-3 * networks / (24 * 32))
    place = "kodim23", "kodim19"
    for kind, loss in (("frozen", lambda r: r.latents_loss), ("warm", lambda r: r.loss)):
        rise = 100 * (loss(by[kind, *place, 60]) / own.loss - 1)
        assert t.rises(study[1], kind, 60, sent=True)[place] == pytest.approx(rise)


def test_one_picture_is_no_study(images):
    with pytest.raises(ValueError, match="at least two"):
        next(t.transfers({"kodim23": images["kodim23"]}, SMALL, store="unused"))
