"""``elman lecture``: lists pages, runs one, writes a notebook, prepares models, and checks answers."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

from elman.cli.lecture import print_pieces
from elman.lecture import sharing
from elman.lecture.pages import Block, Page, Prose, read_pages
from elman.lecture.running import run as run_page

from ..lecture.conftest import cache, shrunk  # noqa: F401


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_pages_are_listed(shell):
    answer = shell("lecture")
    assert answer.code == 0
    for page in read_pages():
        assert re.search(rf"^ +{page.number}  {page.name}\b", answer.out, re.MULTILINE)


def test_a_page_runs(shell, tmp_path):
    answer = shell("lecture", "markov-models", "--out", "pictures")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("2. Markov models remember n steps\nPresumes page 1")
    assert "    | n    n-grams   unseen contexts" in answer.out
    assert "\033" not in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    (path,) = re.findall(r"^  (pictures/\S+\.svg)$", answer.out, re.MULTILINE)
    assert (tmp_path / path).read_text().startswith("<?xml")
    assert re.search(r"2  markov-models .*\d s to\s+run", shell("lecture").out)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environment", "is_styled"),
    [({"TERM": "xterm-256color"}, True), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, False)],
)
@pytest.mark.parametrize("columns", [80, 40])
def test_a_page_in_a_terminal(environment, is_styled, columns, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": str(columns), **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    page = Page(1, "p", "P", "nothing", (Prose("## A heading\n\n" + "Some words. " * 30, 1), Block("print(7 * 6)", 1)))
    print_pieces(page, run_page(page), Path("pictures"))
    printed = terminal.getvalue()
    assert ("\033" in printed) is is_styled
    plain = re.sub(r"\033\[[\d;]*m", "", printed)
    assert max(map(len, plain.splitlines())) <= columns
    assert "    print(7 * 6)\n" in plain
    assert "    | 42\n" in plain


def test_a_page_becomes_a_notebook(shell, tmp_path):
    assert shell("lecture", 1, "--notebook", "one.ipynb").code == 0
    notebook = json.loads((tmp_path / "one.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["cells"][0]["source"].startswith("# 1. Counts lose the order of words")


def test_models_are_prepared_once(shell, monkeypatch):
    monkeypatch.setattr(sharing, "_models", {})
    first = shell("lecture", "--prepare")
    assert first.code == 0, first.err
    assert all(sharing.is_prepared(name) for name in sharing.SHARED)
    second = shell("lecture", "--prepare")
    assert second.out.count("already there") == len(sharing.SHARED)


def test_a_damaged_model_is_trained_again(shell, monkeypatch, caplog):
    monkeypatch.setattr(sharing, "_models", {})
    sharing.shared("studies-window")
    (path,) = sharing.lecture_folder().glob("studies-window-*/model.safetensors")
    path.write_bytes(b"not a model")
    monkeypatch.setattr(sharing, "_models", {})
    assert sharing.shared("studies-window").generate(max_tokens=1)
    assert "it is trained again" in caplog.text
    assert path.stat().st_size > 1000


def test_a_cache_folder_that_cannot_be_written(shell, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(sharing, "cache_root", lambda: tmp_path / "file")
    answer = shell("lecture", "--prepare")
    assert answer.code == 6
    assert re.search(r"file/lecture: .*\(Not a directory\).*", answer.err)
    monkeypatch.setattr(sharing, "_models", {})
    assert sharing.shared("studies-window").generate(max_tokens=1)
    assert "each run trains studies-window again" in caplog.text
    assert shell("lecture").code == 0


def test_answers_are_checked(shell, tmp_path):
    path = tmp_path / "my_answer.py"
    path.write_text(
        "def count_vector(text, vocabulary):\n    return [text.lower().split().count(w) for w in vocabulary]\n"
    )
    answer = shell("lecture", 1, "--check", path)
    assert (answer.code, answer.out) == (0, "count_vector: right\n")
    path.write_text(
        "def count_vector(text, vocabulary):\n    return [int(w in text.lower().split()) for w in vocabulary]\n"
    )
    answer = shell("lecture", 1, "--check", path)
    assert answer.code == 1
    assert answer.out.startswith("count_vector says whether a word occurs, not how often")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["cuonts"], 2, 'there is no page cuonts; did you mean "counts"?'),
        (["99"], 2, "there is no page 99; the pages are 1 to"),
        (["--notebook", "x.ipynb"], 2, "--notebook needs a page"),
        (["--check", "x.py"], 2, "--check needs a page"),
        (["1", "--prepare"], 2, "--prepare trains for all pages; leave out 1"),
        (["1", "--check", "x.py", "--notebook", "y"], 2, "give only one of them"),
        (["1", "--check", "none.py"], 3, "none.py: cannot be read (No such file or directory)"),
        (["1", "--notebook", "no/folder/x.ipynb"], 6, "there is no folder no/folder"),
        (["1", "--notbook", "x"], 2, "--notbook"),
    ],
)
def test_bad_input(words, code, message, shell):
    answer = shell("lecture", *words)
    assert answer.code == code
    assert message in answer.err
    assert answer.err.count("\n") <= 2
