"""Every example runs, and is short."""

import runpy

import pytest

from elman.data import samples
from elman.models.tasks import TASKS

from .pages import ROOT
from .test_python import shorten

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_there_is_one_for_each_task():
    assert [path.stem for path in EXAMPLES] == sorted(row.module.rpartition(".")[2] for row in TASKS.values())


@pytest.mark.filterwarnings("ignore:Glyph")  # a translator that has learned nothing writes control characters
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path, monkeypatch, capsys):
    script = path.read_text(encoding="utf-8")
    assert len(script.splitlines()) < 40
    assert "minutes=" in script
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("elman.drawing.curves.loss_curves", lambda history: "<svg/>")
    text, pictures = samples.sample_text, samples.sample_pictures
    few = {"reports": 60, "shapes": 60, "unseen-shapes": 20}
    monkeypatch.setattr(
        samples, "sample_text", lambda name: "".join(text(name).splitlines(keepends=True)[: few.get(name)])
    )
    monkeypatch.setattr(samples, "sample_pictures", lambda name: pictures("unseen-shapes"))
    (tmp_path / "script.py").write_text(shorten(script).replace('"shapes"', '"unseen-shapes"'))
    runpy.run_path(str(tmp_path / "script.py"))
    assert capsys.readouterr().out
    assert list((tmp_path / "runs").glob("example-*/config.json"))
