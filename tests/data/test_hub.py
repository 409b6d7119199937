"""Data sets of the hub, read from local folders in the same format."""

import json
import sys

import pytest

from elman.data.formats.columns import Columns
from elman.data.hub import load_hub_text
from elman.data.lines import Lines, Problems
from elman.errors import DataError, UsageError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def saved(tmp_path, features, splits):
    folder = tmp_path / "set"
    folder.mkdir()
    for split, rows in splits.items():
        columns = {column: [row[column] for row in rows] for column in features}
        datasets.Dataset.from_dict(columns, datasets.Features(features)).to_parquet(folder / f"{split}.parquet")
    return folder


def text():
    return datasets.Value("string")


def test_a_classification_set_has_the_names_of_its_labels(tmp_path):
    features = {"text": text(), "label": datasets.ClassLabel(names=["neg", "pos"])}
    rows = [{"text": "so, so\nyes", "label": 1}, {"text": "ü", "label": 0}]
    folder = saved(tmp_path, features, {"train": rows, "test": rows[:1]})
    lines = [json.loads(line) for line in load_hub_text(str(folder), "records").splitlines()]
    assert lines == [{"text": "so, so\nyes", "label": "pos"}, {"text": "ü", "label": "neg"}]
    assert load_hub_text(f"{folder}@test", "records").count("\n") == 1
    assert load_hub_text(str(folder), "text") == "so, so\nyes\nü\n"
    with pytest.raises(DataError, match='no split tets; did you mean "test"'):
        load_hub_text(f"{folder}@tets", "records")
    with pytest.raises(DataError, match="needs a column of lists of words"):
        load_hub_text(str(folder), "columns")


def test_a_tagging_set_becomes_columns(tmp_path, caplog):
    features = {
        "id": text(),
        "tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"])),
        "tokens": datasets.Sequence(text()),
    }
    rows = [
        {"id": "1", "tags": [1, 0], "tokens": ["Ada", "sleeps"]},
        {"id": "2", "tags": [0], "tokens": ["Yes"]},
    ]
    written = load_hub_text(str(saved(tmp_path, features, {"train": rows})), "columns")
    assert written == "Ada\tB-PER\nsleeps\tO\n\nYes\tO\n\n"
    assert "columns 0 tokens, 1 tags" in caplog.text
    sentences = list(Columns().read(Lines(written), Problems(), tagged=True))
    assert [sentence.words for sentence in sentences] == [["Ada", "sleeps"], ["Yes"]]


def test_a_sentence_with_a_missing_tag_is_skipped(tmp_path):
    tags = datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER"]))
    rows = [{"tokens": ["Ada", "sleeps"], "tags": [1, 0]}, {"tokens": ["Bo", "ran"], "tags": [-1, 0]}]
    rows.append({"tokens": ["Cy", "sat"], "tags": [None, 0]})
    folder = saved(tmp_path, {"tokens": datasets.Sequence(text()), "tags": tags}, {"train": rows})
    problems = Problems(shown=0)
    read = list(Columns().read(Lines(load_hub_text(str(folder), "columns")), problems, tagged=True))
    assert [(sentence.words, sentence.tags) for sentence in read] == [(["Ada", "sleeps"], ["B-PER", "O"])]
    assert problems.count == 2


def test_missing_values_of_a_row_are_skipped_or_reported(tmp_path):
    folder = saved(tmp_path, {"text": text()}, {"train": [{"text": "a"}, {"text": None}, {"text": "b"}]})
    assert load_hub_text(str(folder), "text") == "a\nb\n"
    features = {"words": datasets.Sequence(text()), "tags": datasets.Sequence(text())}
    uneven = [{"words": ["a"], "tags": ["X"]}, {"words": ["a", "b"], "tags": ["X"]}]
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="row 1: 2 words, 1 tags"):
        load_hub_text(str(saved(tmp_path / "other", features, {"train": uneven})), "columns")


def test_a_translation_set_is_flattened(tmp_path):
    features = {"translation": {"en": text(), "de": text()}}
    rows = [{"translation": {"en": "a cat", "de": "eine Katze"}}]
    folder = saved(tmp_path, features, {"train": rows})
    assert json.loads(load_hub_text(str(folder), "records")) == {"en": "a cat", "de": "eine Katze"}


def test_a_data_set_that_cannot_be_loaded_is_refused_with_the_reason(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="cannot be loaded"):
        load_hub_text(str(tmp_path / "nothing"), "text")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[hub\]'"):
        load_hub_text("x", "text")


@pytest.mark.parametrize("name", ["", "@train", ":plain", ":plain@train"])
def test_a_data_set_without_a_name_is_refused(name):
    with pytest.raises(UsageError, match=f"^hub:{name}: names no data set"):
        load_hub_text(name, "text")


def test_any_error_of_the_library_is_one_error(tmp_path, monkeypatch):
    class OddError(Exception):
        def __str__(self):
            return ""

    def fail(*_):
        raise OddError

    with monkeypatch.context() as patched:
        patched.setattr(datasets, "load_dataset", fail)
        with pytest.raises(DataError, match=r"^hub:x: cannot be loaded \(OddError\)$"):
            load_hub_text("x", "text")
    features = {"text": text(), "label": datasets.ClassLabel(names=["neg", "pos"])}
    folder = saved(tmp_path, features, {"train": [{"text": "a", "label": 1}]})
    monkeypatch.setattr(datasets.Dataset, "__iter__", fail)  # a damaged shard is only noticed when it is read
    with pytest.raises(DataError, match=r"cannot be loaded \(OddError\)$"):
        load_hub_text(str(folder), "records")


def test_a_word_with_a_tab_or_a_line_break_stays_one_word(tmp_path):
    features = {"tokens": datasets.Sequence(text()), "tags": datasets.Sequence(text())}
    rows = [{"tokens": ["a\tb", "c\rd", "e\nf", "g"], "tags": ["X", "X\n", "X", "X"]}]
    written = load_hub_text(str(saved(tmp_path, features, {"train": rows})), "columns")
    (sentence,) = Columns().read(Lines(written), Problems(), tagged=True)
    assert (sentence.words, sentence.tags) == (["a b", "c d", "e f", "g"], ["X"] * 4)
