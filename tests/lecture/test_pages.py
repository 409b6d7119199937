"""The pages: they run, cover the lecture, and say nothing that is not computed."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from elman.errors import DataError, ElmanError, UsageError
from elman.lecture import pages as pages_module
from elman.lecture.exercises import EXERCISES, exercises_of
from elman.lecture.markdown import write_markdown
from elman.lecture.notebook import write_notebook
from elman.lecture.pages import Block, Page, Prose, fields_of, find_page, read_page, read_pages
from elman.lecture.pictures import Picture
from elman.lecture.running import Code, Output, Text, run

from .rows import ROWS

PAGES = read_pages()
CODE_COLUMNS = 76  # with the indentation, a terminal of 80 columns shows it


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_runs_and_all_its_writers_agree(page):
    pieces = list(run(page))
    texts = [piece for piece in pieces if isinstance(piece, Text)]
    assert len([piece for piece in pieces if isinstance(piece, Code)]) == sum(isinstance(p, Block) for p in page.parts)
    assert not any("`{" in text.filled for text in texts)

    shown = write_markdown(page, pieces, 2.0)
    cells = json.loads(write_notebook(page, pieces))["cells"]
    displayed = "".join(json.dumps(cell, ensure_ascii=False) for cell in cells)
    for piece in pieces:
        if isinstance(piece, Picture):
            check_picture(piece)
            assert piece.svg in shown
            assert json.dumps(piece.svg, ensure_ascii=False) in displayed
        elif isinstance(piece, Output):
            assert piece.text in shown
        elif isinstance(piece, Text):
            assert piece.filled in shown
            assert json.dumps(piece.filled, ensure_ascii=False)[1:-1] in displayed


def check_picture(picture):
    tree = ElementTree.fromstring(picture.file)
    assert tree.attrib["role"] == "img"
    assert tree.attrib["aria-label"] == tree[1].text == " ".join(picture.alt.split())
    assert len(picture.alt.split()) >= 8, "say what there is to see"
    assert "<image" not in picture.svg, "draw with pcolormesh, not imshow: a picture is vectors"
    assert not re.search(r"(fill|stroke): ?#(000000|ffffff)", picture.svg), "black and white vanish on some pages"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_of_a_page_fits_into_a_terminal(page):
    for block in (part for part in page.parts if isinstance(part, Block)):
        for number, line in enumerate(block.source.splitlines(), start=block.line):
            assert len(line) <= CODE_COLUMNS, f"{page.path.name}:{number}"


def test_every_page_has_a_number_and_a_name_of_its_own():
    for names in ([page.number for page in PAGES], [page.name for page in PAGES]):
        assert len(set(names)) == len(names)


def test_pages_cover_rows_that_exist():
    covered = [row for page in PAGES for row in page.rows]
    assert set(covered) <= set(ROWS)


@pytest.mark.skipif(len(PAGES) < 17, reason="not all pages are written")
def test_the_pages_cover_every_row():
    assert {row for page in PAGES for row in page.rows} == set(ROWS)
    assert [page.number for page in PAGES] == list(range(1, 18))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_exercises_of_a_page_are_those_of_the_table(page):
    stubs = [part.source for part in page.parts if isinstance(part, Block) and part.is_exercise]
    names = [name for stub in stubs for name in re.findall(r"^def (\w+)", stub, re.MULTILINE)]
    assert names == [exercise.name for exercise in exercises_of(page)]


def test_exercises_name_pages():
    assert {exercise.page for exercise in EXERCISES.values()} <= {page.name for page in PAGES}


# ---------------------------------------------------------------- the format


def make_page(tmp_path, monkeypatch, body, head="---\npresumes: nothing\n---\n# A page\n\n"):
    monkeypatch.setattr(pages_module, "FOLDER", tmp_path)
    path = tmp_path / "07-a-page.md"
    path.write_text(head + body)
    return read_page(path)


def test_blocks_run_in_one_namespace_and_the_text_takes_their_values(tmp_path, monkeypatch):
    body = "Text.\n\n```python m1\nx = 2\nprint('printed')\nx + 1\n```\n\nTwice is `{2 * x:.1f}`, not `x`.\n"
    page = make_page(tmp_path, monkeypatch, body)
    assert (page.number, page.name, page.title, page.presumes) == (7, "a-page", "A page", "nothing")
    assert page.rows == ["m1"]
    assert list(run(page)) == [
        Text("Text.", "Text."),
        Code("x = 2\nprint('printed')\nx + 1"),
        Output("printed\n3"),
        Text("Twice is `{2 * x:.1f}`, not `x`.", "Twice is 4.0, not `x`."),
    ]


def test_an_exercise_and_other_fenced_blocks_do_not_run(tmp_path, monkeypatch):
    body = "```python exercise\ndef f(): 1 / 0\nf()\n```\n\n```\n`{1 / 0}\n```\n"
    pieces = list(run(make_page(tmp_path, monkeypatch, body)))
    assert pieces[0] == Code("def f(): 1 / 0\nf()", is_exercise=True)
    assert isinstance(pieces[1], Text)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("Text.\n\n```python\nx = 1\n\nx / 0\n```\n", r"07-a-page\.md:11: ZeroDivisionError: division by zero$"),
        ("Text.\n\n\nMore: `{y}`\n", r"07-a-page\.md:6: NameError: name 'y' is not defined$"),
        ("```python\nimport no_such_package\n```\n", r"page 7 needs no_such_package, which is not installed: in Elman"),
        ("```python\nx = = 1\n```\n", r"07-a-page\.md:7: SyntaxError: invalid syntax$"),
    ],
)
def test_what_a_block_raises_names_the_page_and_the_line(tmp_path, monkeypatch, body, message):
    with pytest.raises(ElmanError, match=message):
        list(run(make_page(tmp_path, monkeypatch, body)))


@pytest.mark.parametrize("head", ["", "# A page\n", "---\npresumes: nothing\n---\nno title\n"])
def test_a_page_without_a_head_is_refused(tmp_path, monkeypatch, head):
    with pytest.raises(DataError, match="not a page; it begins with"):
        make_page(tmp_path, monkeypatch, "Text.\n", head=head)


def test_fields_know_formats_brackets_and_what_is_only_code():
    assert fields_of("`{x[1:2]:>5}` `{a['b']}`") == [("", "x[1:2]", ">5"), (" ", "a['b']", ""), ("", "", "")]
    for text in ("`x`", "``{x}``", "`{}`", "{x}", "`{x} y`"):
        assert fields_of(text) == [(text, "", "")]


def test_every_expression_stands_in_a_notebook_as_an_f_string():
    """The f-string of a notebook's cell gives what the page gives."""
    page = Page(1, "p", "P", "nothing", (Prose("A {set} of \\n `{len('ab'):>3}` and `{1 + 1}`.", 1),))
    (text,) = run(page)
    cells = json.loads(write_notebook(page, [text]))["cells"]
    (source,) = [cell["source"] for cell in cells if "rf" in cell["source"]]
    shown = []
    exec(source, {"display": shown.append, "Markdown": str})
    assert shown == [text.filled] == ["A {set} of \\n   2 and 2."]


# ---------------------------------------------------------------- finding pages


def test_pages_are_found_by_number_and_by_name():
    for page in PAGES:
        assert find_page(str(page.number)) is find_page(page.name) is find_page(page.path.name) is page
        assert find_page(page.name.replace("-", " ").upper()) is page


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("999", rf"there is no page 999; the pages are 1 to {PAGES[-1].number}"),
        ("0", "there is no page 0; the pages are 1 to"),
        ("cuonts", 'there is no page cuonts; did you mean "counts"'),
        ("xyzzy", "there is no page xyzzy; see elman lecture for the list"),
        ("", "see elman lecture for the list"),
    ],
)
def test_a_page_that_does_not_exist(word, message):
    with pytest.raises(UsageError, match=message):
        find_page(word)
