"""Pairs of texts: valid and invalid parallel files and tables."""

import logging

import pytest

from elman.data.formats.detection import detect_pair_format
from elman.data.formats.parallel import read_parallel
from elman.data.lines import Lines, Problems
from elman.errors import DataError


def parallel(tmp_path, sources, targets):
    (tmp_path / "a.en").write_text(sources)
    (tmp_path / "a.de").write_text(targets)
    problems = Problems()
    pairs = read_parallel(Lines(tmp_path / "a.en"), Lines(tmp_path / "a.de"), problems)
    return [(pair.text, pair.label) for pair in pairs], problems


def test_lines_with_the_same_number_form_a_pair(tmp_path):
    pairs, problems = parallel(tmp_path, "one\ntwo\n", "eins\nzwei")
    assert pairs == [("one", "eins"), ("two", "zwei")]
    assert problems.count == 0


@pytest.mark.parametrize(
    ("sources", "targets", "said"),
    [
        ("one\ntwo\nthree\n", "eins\nzwei\n", r"a\.de ends after line 2, but .*a\.en continues at line 3"),
        ("one\n", "eins\nzwei\n", r"a\.en ends after line 1, but .*a\.de continues at line 2"),
        ("", "", r"a\.en: is empty"),
    ],
)
def test_files_of_different_length_are_refused_with_the_line(tmp_path, sources, targets, said):
    with pytest.raises(DataError, match=said):
        parallel(tmp_path, sources, targets)


def test_a_pair_with_an_empty_side_is_reported_skipped_and_counted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        pairs, problems = parallel(tmp_path, "one\n \n\nfour\n", "eins\nzwei\n\n\t\n")
    assert pairs == [("one", "eins")]
    assert problems.count == 2  # line 3 is empty on both sides: it is ignored
    assert "a.en:2: the source is empty; the pair is skipped" in caplog.text
    assert "a.de:4: the target is empty; the pair is skipped" in caplog.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", "a cat\teine Katze\na dog\tein Hund\n"),
        ("t.txt", "a cat\teine Katze\na dog\tein Hund\n"),
        ("t.tsv", "id\ttarget\tsource\n1\teine Katze\ta cat\n2\tein Hund\ta dog\n"),
        ("t.csv", 'source,target\na cat,eine Katze\na dog,"ein Hund"\n'),
        ("t.jsonl", '{"source": "a cat", "target": "eine Katze"}\n{"target": "ein Hund", "source": "a dog"}\n'),
    ],
)
def test_tables_are_detected_by_their_names_and_first_lines(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    for source in (path, text):
        table = detect_pair_format(source, ("source", "target"), header=True)
        pairs = [(pair.text, pair.label) for pair in table.read(Lines(source), Problems(), labelled=True)]
        assert pairs == [("a cat", "eine Katze"), ("a dog", "ein Hund")]


def test_a_table_in_another_encoding_is_detected(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("a cat\teine Katze\na fox\tein Fähe\n", encoding="utf-16")
    table = detect_pair_format(path, ("source", "target"), header=True, encoding="utf-16")
    pairs = list(table.read(Lines(path, "utf-16"), Problems(), labelled=True))
    assert [pair.label for pair in pairs] == ["eine Katze", "ein Fähe"]


def test_a_table_of_three_columns_without_names_says_what_to_do(tmp_path):
    path = tmp_path / "deu.tsv"
    path.write_text("Go.\tGeh.\tCC-BY\nHi.\tHallo!\tCC-BY\n")
    with pytest.raises(DataError, match=r"has 3 columns, but none is called source or target.*no_header"):
        detect_pair_format(path, ("source", "target"), header=True)
    table = detect_pair_format(path, ("0", "1"), header=False)
    pairs = list(table.read(Lines(path), Problems(), labelled=True))
    assert [(pair.text, pair.label) for pair in pairs] == [("Go.", "Geh."), ("Hi.", "Hallo!")]


def test_a_table_without_the_columns_suggests_the_closest():
    text = "sources\ttarget\tx\na\tb\tc\n"
    with pytest.raises(DataError, match='no column is called "source"; did you mean "sources"'):
        list(detect_pair_format(text, ("source", "target"), header=True).read(Lines(text), Problems(), labelled=True))


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_any_separator_is_detected(tmp_path, name, separator):
    path = tmp_path / name
    path.write_text("source,target\na cat,eine Katze\na dog,ein Hund\n".replace(",", separator))
    table = detect_pair_format(path, ("source", "target"), header=True)
    pairs = [(pair.text, pair.label) for pair in table.read(Lines(path), Problems(), labelled=True)]
    assert pairs == [("a cat", "eine Katze"), ("a dog", "ein Hund")]


@pytest.mark.parametrize("name", ["train.en", "train.txt", "train"])
@pytest.mark.parametrize("text", ["A sleek yellow dog runs, fast, home.\nIt rains, again, today.\n", "A dog\nA cat\n"])
def test_a_file_with_one_side_of_the_pairs_is_refused(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=rf"{name}: is plain text, only one side of the pairs: give two files"):
        detect_pair_format(path, ("source", "target"), header=True)
