from dataclasses import replace

import pytest

from elman.lecture import sharing


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache folder for all tests of the lecture; compiled kernels stay where they are."""
    folder = tmp_path_factory.getbasetemp() / "lecture-cache"
    monkeypatch.setattr(sharing, "cache_root", lambda: folder)
    return folder


@pytest.fixture(autouse=True)
def shrunk(monkeypatch):
    """Train the models that pages share for a few steps only: what they have learned is not tested here."""
    recipes = {
        name: replace(recipe, settings={**recipe.settings, "steps": 20, "evaluations": 1})
        for name, recipe in sharing.SHARED.items()
    }
    monkeypatch.setattr(sharing, "SHARED", recipes)
    monkeypatch.setattr("elman.drawing.curves.loss_curves", lambda history: "<svg/>")
    return recipes
