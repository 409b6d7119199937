"""A browser opens the page from disk: nothing fails, every picture is drawn, and no text of the input runs."""

import re
import shutil
import subprocess

import pytest
from tests.drawing.reports import made_up

from elman.drawing.report import html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
ATTACK = "<img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Return the page as it is after its script has run, and what the browser logged."""
    folder = tmp_path_factory.mktemp("page")
    page = folder / "report.html"
    text = ["a", ATTACK, "</script>", "b"] * 4
    models = [made_up(text, name=ATTACK, cell="gru", hidden_size=6), made_up(kind="pair", directions=2, seed=1)]
    page.write_text(html(*models), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += [f"--user-data-dir={folder}/profile", "--virtual-time-budget=2000", "--dump-dom", page.as_uri()]
    done = subprocess.run([BROWSER, *options], capture_output=True, text=True, timeout=120)
    if "</html>" not in done.stdout:
        pytest.skip(f"Chromium does not start here: {done.stderr[-300:]}")
    return done.stdout, done.stderr


def test_the_console_stays_empty(drawn):
    assert "CONSOLE" not in drawn[1]


def test_every_picture_is_drawn(drawn):
    found = re.findall(r'<div class="view"[^>]*data-view="(\w+)"[^>]*>(.*?)</figure>', drawn[0], re.DOTALL)
    views = dict(found)  # each with the pictures of both models
    assert set(views) == {"steps", "attention", "heat", "text", "bptt", "attribution"}
    assert views["steps"].count("Loss at this step") == 2
    assert views["steps"].count("The equation of unit") == 1  # of the small model
    assert len(re.findall(r'class="plane"[^>]*aria-label="state h of (?:6|24) units', views["heat"])) == 2
    assert views["text"].count("background-color") == 16 + 5  # one per token
    assert views["bptt"].count("Arrows from step") == 2
    assert len(re.findall("<td title=[^>]*attends to", views["attention"])) == 5 * 88  # of the second model
    assert views["attribution"].count("Sum ") == 2


def test_no_text_becomes_an_element(drawn):
    assert "<img" not in drawn[0]
    assert drawn[0].count("<script") == 2
    assert "<title>run" not in drawn[0]
