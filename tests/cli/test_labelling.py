"""The commands for taggers and classifiers, on built-in data and on bad files."""

import dataclasses
import io
import json
import os
import re
import sys

import pytest

import elman
from elman.cli.main import main
from elman.data.samples import sample_text

TAGGER = ["--hidden-size", "8", "--embedding-size", "8", "--character-size", "4", "--steps", "40", "--evaluations", "2"]
CLASSIFIER = ["--hidden-size", "8", "--embedding-size", "8", "--steps", "20", "--evaluations", "2"]


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tagger") / "m"
    assert main(["train", "tagger", "sample:sentences", "--out", str(folder), *TAGGER]) == 0
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "m"
    assert main(["train", "classifier", "sample:messages", "--out", str(folder), *CLASSIFIER]) == 0
    return folder


@pytest.fixture
def typed(monkeypatch):
    """Provide a text on standard input."""

    def put(text):
        stream = io.TextIOWrapper(io.BytesIO(text.encode()))
        monkeypatch.setattr(sys, "stdin", stream)

    return put


@pytest.mark.parametrize("task", ["tagger", "classifier"])
def test_every_setting_is_a_flag(capsys, task):
    with pytest.raises(SystemExit):
        main(["train", task, "--help-all"])
    shown = capsys.readouterr().out
    model = {"tagger": elman.Tagger, "classifier": elman.Classifier}[task]
    for field in dataclasses.fields(model):
        assert re.search(rf"--(no-)?{field.name.replace('_', '-')} ", shown), field.name


def test_train_prints_its_figures(shell, tmp_path):
    answer = shell("train", "tagger", "sample:sentences", "--out", tmp_path / "m", *TAGGER)
    assert answer.code == 0
    accuracy = elman.load(tmp_path / "m").metrics_["valid"]["accuracy"]
    assert f"accuracy {accuracy:.4f}" in answer.out
    assert re.search(r"on \d+ held-out tokens\nTag with it: elman predict", answer.out)
    answer = shell("train", "classifier", "sample:messages", "--out", tmp_path / "c", "--dry-run")
    assert answer.code == 0
    assert "parameters" in answer.out
    assert not (tmp_path / "c").exists()


def test_evaluate_prints_one_flat_object(shell, tagger, classifier):
    figures = json.loads(shell("evaluate", tagger, "sample:sentences", "--json").out)
    wanted = {"accuracy", "accuracy_unseen", "macro_f1", "nats_per_target", "tokens"}
    assert wanted <= figures.keys()
    assert all(0 <= figures[name] <= 1 for name in ("accuracy", "accuracy_unseen", "macro_f1"))
    figures = json.loads(shell("evaluate", classifier, "sample:messages", "--json").out)
    assert {"accuracy", "macro_f1", "calibration_error", "nats_per_target", "examples"} <= figures.keys()
    assert figures["examples"] == 300


def test_evaluate_prints_each_label_and_the_confusion_matrix(shell, classifier, tmp_path):
    answer = shell("evaluate", classifier, "sample:messages", "--confusion", tmp_path / "c.svg")
    assert answer.code == 0
    for word in ("complaint", "precision", "predicted"):
        assert word in answer.out
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")


def test_evaluate_prints_entities_by_type(shell, tmp_path):
    lines = ["Ada B-PER", "Lovelace I-PER", "left O", "Rome B-LOC", ""]
    (tmp_path / "e.conll").write_text("\n".join(lines * 12))
    trained = shell("train", "tagger", tmp_path / "e.conll", "--out", tmp_path / "m", *TAGGER)
    assert trained.code == 0
    figures = json.loads(shell("evaluate", tmp_path / "m", tmp_path / "e.conll", "--json").out)
    assert figures["spans"].keys() == {"PER", "LOC"}
    shown = shell("evaluate", tmp_path / "m", tmp_path / "e.conll").out
    rows = {line.split("  ")[0]: line.split() for line in shown.splitlines() if line}
    for kind, rates in figures["spans"].items():
        assert rates["support"] == 12
        assert rows[kind][1:] == [*(f"{rates[name]:.4f}" for name in ("precision", "recall", "f1")), "12"]
    overall = [f"{figures[name]:.4f}" for name in ("span_precision", "span_recall", "span_f1")]
    assert rows["all entities"][2:] == [*overall, "24"]


def test_evaluate_prints_labels_as_they_are_written(shell, tmp_path):
    labels = ["[red]", "[/b]", ":smile:"]
    lines = [f"word {label}" for label in labels]
    (tmp_path / "e.conll").write_text("\n\n".join([*lines * 8, ""]))
    assert shell("train", "tagger", tmp_path / "e.conll", "--out", tmp_path / "m", *TAGGER).code == 0
    answer = shell("evaluate", tmp_path / "m", tmp_path / "e.conll")
    assert answer.code == 0
    rows = [line.split()[0] for line in answer.out.splitlines() if line]
    for label in labels:
        assert rows.count(label) >= 2  # in the table and in the confusion matrix


@pytest.mark.parametrize("name", [".", "nowhere/look.svg", "pipe"])
def test_a_picture_that_cannot_be_written_is_reported(shell, classifier, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    answer = shell("evaluate", classifier, "sample:messages", "--confusion", name)
    assert (answer.code, answer.out) == (6, "")
    assert answer.err.splitlines()[-1].startswith(f"elman: {name}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_conllu_in_conllu_out(shell, tagger):
    out = shell("predict", tagger, "sample:sentences").out
    given = sample_text("sentences")
    assert len(out.splitlines()) == len(given.splitlines())
    for line, other in zip(out.splitlines(), given.splitlines(), strict=True):
        if line.startswith("#") or not line:
            assert line == other
        else:
            cells, others = line.split("\t"), other.split("\t")
            assert cells[:3] + cells[4:] == others[:3] + others[4:]


def test_standard_input(shell, typed, tagger, classifier):
    typed("Teddy bears are on sale\n")
    row = json.loads(shell("predict", tagger).out)
    assert row["words"] == ["Teddy", "bears", "are", "on", "sale"]
    assert len(row["tags"]) == len(row["probabilities"]) == 5
    typed("where is my parcel?\n\nthank you\n")
    rows = [json.loads(line) for line in shell("predict", classifier, "-").out.splitlines()]
    assert len(rows) == 3
    assert sum(rows[0]["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_compare(shell):
    answer = shell(
        "compare", "tagger", "sample:sentences", "--models", "majority,frequent,hmm,rnn:1x8", "--json", "--steps", "5"
    )
    rows = json.loads(answer.out)
    assert [row["model"] for row in rows] == ["majority", "frequent", "hmm", "rnn:1x8"]
    assert rows[0]["accuracy"] < rows[1]["accuracy"] < rows[2]["accuracy"]
    answer = shell("compare", "classifier", "sample:messages", "--models", "majority,logreg,bigru:1x8", "--steps", "5")
    assert answer.code == 0
    for word in ("majority", "logreg", "bigru:1x8", "accuracy", "macro F1"):
        assert word in answer.out


BAD = {
    "train tagger train.conllu --out out": (3, ["train.conllu:1: 9 columns where CoNLL-U has 10"]),
    "train tagger missing.conllu --out out": (3, ["missing.conllu", "no such file"]),
    "train tagger sample:sentences --out out --column uposs": (2, ["uposs", 'did you mean "upos"']),
    "train tagger sample:sentences --out out --cell lstn": (2, ['did you mean "lstm"']),
    "train classifier table.csv --out out": (3, ['no column is called "label"; did you mean "lable"']),
    "train classifier table.csv --out out --label lable": (3, ["every example has the label 'x'"]),
    "train classifier sample:messages --out out --vectors bad.txt": (3, ["bad.txt:2:"]),
    "train classifier latin.csv --out out": (3, ["latin.csv:2", "--encoding"]),
    "compare tagger sample:sentences --models hmn": (2, ['did you mean "hmm"']),
    "compare classifier sample:messages --models rnn:axb": (2, ["rnn:LAYERSxUNITS"]),
    "predict TAGGER sample:sentences --output-format jsn": (2, ["jsonl"]),
    "predict CLASSIFIER table.csv --input-format cvs": (2, ['did you mean "csv"']),
    "evaluate CLASSIFIER table.csv": (3, ["lable"]),
    "train taggr x --out out": (2, ['did you mean "tagger"']),
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_reported_and_nothing_is_written(shell, tmp_path, monkeypatch, tagger, classifier, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.conllu").write_text("1\ta\t_\tX\t_\t_\t_\t_\t_\n\n")
    (tmp_path / "table.csv").write_text("text,lable\na,x\nb,x\n")
    (tmp_path / "latin.csv").write_bytes("text,label\ncaf\xe9,x\n".encode("latin-1"))
    (tmp_path / "bad.txt").write_text("a 1 2\nb 1\n")
    code, parts = BAD[words]
    places = {"TAGGER": str(tagger), "CLASSIFIER": str(classifier)}
    answer = shell(*[places.get(word, word) for word in words.split()])
    assert answer.code == code, answer.err
    assert "Traceback" not in answer.err
    for part in parts:
        assert part in answer.err
    assert not (tmp_path / "out").exists()


def test_a_hub_data_set_is_read_like_a_file(shell, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    rows = [{"text": f"good {n}" if n % 2 else f"bad {n}", "label": "yes" if n % 2 else "no"} for n in range(40)]
    (tmp_path / "set" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = shell("train", "classifier", f"hub:{tmp_path / 'set'}", "--out", tmp_path / "m", *CLASSIFIER)
    assert answer.code == 0
    assert shell("evaluate", tmp_path / "m", f"hub:{tmp_path / 'set'}@train", "--json").code == 0
    assert shell("predict", tmp_path / "m", f"hub:{tmp_path / 'set'}").out.count("\n") == 40
    answer = shell("evaluate", tmp_path / "m", f"hub:{tmp_path / 'set'}@tran")
    assert answer.code == 3
    assert 'did you mean "train"' in answer.err


def test_train_and_evaluate_take_a_format(shell, tmp_path):
    path = tmp_path / "mails.txt"  # the suffix of plain text
    path.write_text("text,label\n" + "good film,pos\nbad film,neg\n" * 10)
    answer = shell("train", "classifier", path, "--out", tmp_path / "m", *CLASSIFIER)
    assert (answer.code, "plain text has no labels" in answer.err) == (3, True)
    answer = shell("train", "classifier", path, "--input-format", "csv", "--out", tmp_path / "m", *CLASSIFIER)
    assert answer.code == 0
    answer = shell("evaluate", tmp_path / "m", path, "--json")  # the format is the model's own
    assert json.loads(answer.out)["examples"] == 20
    assert json.loads(answer.out)["accuracy"] == elman.load(tmp_path / "m").evaluate(path)["accuracy"]
    answer = shell("evaluate", tmp_path / "m", path, "--input-format", "xlsx")
    assert answer.err == "elman: --input-format xlsx: no such format; there are jsonl, text, csv, tsv\n"


def test_a_column_that_the_format_does_not_have_is_refused(shell, tmp_path):
    (tmp_path / "t.conll").write_text("Ada\tB-PER\n\n" * 8)
    words = ["train", "tagger", tmp_path / "t.conll", "--out", tmp_path / "m", *TAGGER]
    answer = shell(*words, "--input-format", "columns", "--column", "upos")
    message = "elman: --column upos: in format columns a column is given as a number, counted from 0\n"
    assert (answer.code, answer.err) == (2, message)
    answer = shell(*words, "--input-format", "conllu", "--column", "1")
    assert (answer.code, "--column 1: in format conllu a column is given as a name" in answer.err) == (2, True)


def test_the_error_for_a_file_of_another_kind_names_the_kind(shell, tagger, tmp_path):
    (tmp_path / "new.csv").write_text("text,label\nall is well,good\nit never came,bad\n" * 20)
    (tmp_path / "prose.txt").write_text(
        "It was the best of times,\nit was the worst\n\nof times, it was the age of\n" * 9
    )
    for name, found in (("new.csv", "a table with commas"), ("prose.txt", "plain text")):
        for words in (
            ["train", "tagger", tmp_path / name, "--out", tmp_path / "m"],
            ["evaluate", tagger, tmp_path / name],
        ):
            answer = shell(*words)
            assert (answer.code, answer.out) == (3, "")
            assert f"{name}: it looks like {found}" in answer.err
        answer = shell("predict", tagger, tmp_path / name)
        assert (answer.code, answer.out) == (3, "")
        assert "--input-format text" in answer.err
        assert shell("predict", tagger, tmp_path / name, "--input-format", "text").code == 0
    assert not (tmp_path / "m").exists()


def test_a_file_of_which_almost_nothing_can_be_read_is_refused(shell, tagger, tmp_path):
    good, bad = "\n".join(["1\tall" + "\t_" * 1 + "\tDET" + "\t_" * 6, ""]), "1\tall\n"
    (tmp_path / "some.conllu").write_text("\n".join([good, *[bad] * 9]))
    assert shell("evaluate", tagger, tmp_path / "some.conllu").code == 0
    (tmp_path / "few.conllu").write_text("\n".join([good, *[bad] * 10]))
    answer = shell("evaluate", tagger, tmp_path / "few.conllu")
    assert answer.code == 3
    assert "only 1 of 11 examples can be read" in answer.err
    assert shell("predict", tagger, tmp_path / "few.conllu").code == 0
    (tmp_path / "none.conllu").write_text("\n".join([bad] * 3))
    answer = shell("predict", tagger, tmp_path / "none.conllu")
    assert answer.code == 3
    assert "none.conllu: nothing in it could be read" in answer.err


def test_compare_ends_with_a_sentence(shell, tmp_path):
    words = ["compare", "classifier", "sample:messages", "--models", "majority,tfidf,rnn:1x4", "--steps", 2]
    answer = shell(*words, "--seeds", 2, "--json")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)
    assert [row["model"] for row in rows] == ["majority", "tfidf", "rnn:1x4"]
    assert all(row["seeds"] == 2 and row["spread"]["accuracy"] >= 0 and row["memory_bytes"] > 0 for row in rows)
    answer = shell(*words, "--picture", tmp_path / "models.svg")
    drawn = (tmp_path / "models.svg").read_text()
    assert all(f"<!-- {name} -->" in drawn for name in ("majority", "tfidf", "rnn:1x4", "accuracy"))
    assert shell(*words, "--picture", tmp_path / "missing" / "models.svg").code == 2
    sentence = answer.out.splitlines()[-1]
    assert sentence.startswith("On these data counts of words and characters with logistic regression is better: ")
    assert "of rnn:1x4; it costs" in sentence
    assert shell(*words, "--seeds", 0).code == 2
