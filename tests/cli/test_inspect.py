"""``elman inspect`` gives the same numbers as Python, reads inputs as ``predict`` does, and refuses bad options."""

import io
import json
import re
import sys

import numpy as np
import pytest

import elman
from elman.drawing.report import html
from elman.inspection import attribute, context_use, gradient_by_lag, model_report, rank_units, trace

TEXT = "the quick brown fox jumps over the lazy dog .\n"
SCALE = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF GABc\n\n"
SMALL = {"hidden_size": 4, "steps": 1, "evaluations": 1, "seed": 1}
FEATURES = [np.eye(2, 3, dtype=np.float32), np.arange(9, dtype=np.float32).reshape(3, 3)]


def make(task):
    if task == "lm":
        return elman.LanguageModel(**SMALL, embedding_size=4, batch_size=2, bptt_length=8).fit(TEXT * 20)
    if task == "tagger":
        return elman.Tagger(**SMALL).fit([["a", "b"], ["b"]] * 6, [["X", "Y"], ["Y"]] * 6)
    if task == "classifier":
        return elman.Classifier(**SMALL).fit(["good film", "bad film"] * 6, ["pos", "neg"] * 6)
    if task == "numbers":
        series = [np.arange(6.0)[:, None] * (row % 2 + 1) for row in range(12)]
        return elman.Classifier(**SMALL, level="numbers").fit(series, ["a", "b"] * 6)
    if task == "translator":
        return elman.Translator(**SMALL, embedding_size=4, level="word", max_length=5).fit(
            ["a b", "b"] * 6, ["x", "y z"] * 6
        )
    if task == "captioner":
        model = elman.Captioner(**SMALL, embedding_size=4, feature_size=4, max_length=5)
        return model.fit(FEATURES * 5, [["dark"], ["bright"]] * 5)
    return elman.Composer(**SMALL, embedding_size=4, batch_size=2).fit(SCALE * 6)


LABELS = {"tagger": [["X", "X"]], "classifier": ["pos"]}  # of these records; the other files have none
INPUTS = {  # name and content of a file, the record to inspect, and the input in Python
    "lm": ("text.txt", TEXT, 1, TEXT),
    "tagger": ("text.conll", "b X\na X\n\na X\nb X\n", 2, [["a", "b"]]),
    "classifier": ("texts.csv", "text,label\nbad good,neg\ngood film,pos\n", 2, ["good film"]),
    "numbers": ("series.npz", None, 1, [np.arange(5.0)[:, None]]),
    "translator": ("text.txt", "b a\na b b\n", 2, ["a b b"]),
    "captioner": ("features.npz", None, 2, [FEATURES[1]]),
    "composer": ("tune.abc", SCALE, 1, SCALE),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    kept = {}

    def folder(task):
        if task not in kept:
            kept[task] = tmp_path_factory.mktemp(task) / "m"
            make(task).save(kept[task])
        return kept[task]

    return folder


def write_input(task, folder):
    name, content, record, given = INPUTS[task]
    path = folder / name
    if content is not None:
        path.write_text(content)
    elif task == "numbers":
        np.savez(path, inputs=np.stack(given))
    else:
        np.savez(path, first=np.ones((2, 3), np.float32), second=given[0])
    return path, record, given


@pytest.mark.parametrize("task", INPUTS)
def test_the_numbers_are_those_of_python(task, folders, shell, tmp_path):
    path, record, given = write_input(task, tmp_path)
    model = elman.load(folders(task))
    labels = LABELS.get(task)
    expected, gradients = trace(model, given, labels), gradient_by_lag(model, given, labels)
    answer = shell("inspect", folders(task), path, "--record", record, "--json")
    assert (answer.code, answer.err) == (0, "")
    read = json.loads(answer.out)
    assert read["record"] == record
    assert read["task"] == model.task
    assert read["tokens"] == expected.tokens
    assert set(read["states"]) == set(expected.arrays)
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(np.array(read["states"][name], array.dtype), array)
    assert {"gradient_by_lag", "reach", "verdict"} <= set(read)
    assert read["reach"] == gradients.reach
    assert read["verdict"]["kind"] == gradients.verdict.kind
    assert shell("inspect", folders(task), path, "--record", record, "--npz", tmp_path / "out.npz").code == 0
    with np.load(tmp_path / "out.npz") as saved:
        for name, array in {**expected.named_arrays(), **gradients.named_arrays()}.items():
            if array.dtype.kind == "U":
                assert saved[name].tolist() == array.tolist()
            else:
                np.testing.assert_array_equal(saved[name], array)
    summary = shell("inspect", folders(task), path, "--record", record)
    assert gradients.verdict.kind in summary.out
    assert "gradients fall below" in summary.out


@pytest.mark.parametrize("task", INPUTS)
def test_units_context_and_attribution_are_those_of_python(task, folders, shell, tmp_path):
    path, record, given = write_input(task, tmp_path)
    model, labels = elman.load(folders(task)), LABELS.get(task)
    read = json.loads(shell("inspect", folders(task), path, "--record", record, "--json").out)
    if task == "translator":  # its own answer, generated once
        labels = model.generate_answers(given)
    outputs = None
    if task in ("lm", "composer"):
        last = len(read["targets"]) - 1
        outputs = [round(last / 2), last]
    assert read["attribution"] == json.loads(json.dumps(attribute(model, given, labels, outputs=outputs).to_json()))
    if task in ("lm", "composer", "numbers"):
        assert read["context_use"] == context_use(model, given, targets=200).to_json()
        assert read["units"] == rank_units(model, given).to_json()


def test_train_adds_the_losses_of_ngram_models(folders, shell, tmp_path):
    (tmp_path / "train.txt").write_text(TEXT * 9)
    words = ("inspect", folders("lm"), "--text", TEXT, "--train", tmp_path / "train.txt")
    read = json.loads(shell(*words, "--json").out)["context_use"]
    expected = context_use(elman.load(folders("lm")), TEXT, train=TEXT * 9, targets=200)
    assert read == expected.to_json()
    assert read["ngram"][0] > read["ngram"][2]
    (tmp_path / "pairs.tsv").write_text("source\ttarget\na b\tx\nb\ty z\n" * 9)
    words = ("inspect", folders("translator"), "--text", "b a", "--train", tmp_path / "pairs.tsv", "--json")
    assert json.loads(shell(*words).out)["context_use"]["ngram"][0] > 0
    answer = shell("inspect", folders("lm"), "--text", TEXT, "--train", tmp_path / "train.txt")
    assert (answer.code, answer.out) == (2, "")
    assert "--train needs --json" in answer.err
    answer = shell("inspect", folders("tagger"), "--text", "a b", "--json", "--train", tmp_path / "train.txt")
    assert answer.code == 2
    assert "a Tagger does not predict tokens" in answer.err
    answer = shell("inspect", folders("lm"), "--text", TEXT, "--json", "--train", tmp_path / "none.txt")
    assert answer.code == 3
    assert "none.txt" in answer.err


def test_train_adds_the_ngram_line_to_a_report_and_to_an_npz(folders, shell, tmp_path):
    (tmp_path / "train.txt").write_text(TEXT * 9)
    words = ("inspect", folders("lm"), "--text", TEXT, "--train", tmp_path / "train.txt")
    assert shell(*words, "--out", tmp_path / "r.html").code == 0
    assert "n-grams with the same context" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert shell(*words, "--npz", tmp_path / "r.npz").code == 0
    expected = context_use(elman.load(folders("lm")), TEXT, train=TEXT * 9, targets=64)
    with np.load(tmp_path / "r.npz") as saved:
        np.testing.assert_array_equal(saved["context_use.ngram"], expected.ngram)
        np.testing.assert_array_equal(saved["context_use.losses"], expected.losses)


def test_an_npz_has_the_numbers_of_the_json(folders, shell, tmp_path):
    words = ("inspect", folders("numbers"), write_input("numbers", tmp_path)[0])
    read = json.loads(shell(*words, "--json").out)
    assert shell(*words, "--npz", tmp_path / "r.npz").code == 0
    with np.load(tmp_path / "r.npz") as saved:
        assert saved["context_use.losses"].tolist() == read["context_use"]["losses"]
        assert saved["context_use.whole"] == read["context_use"]["whole"]
        assert saved["attribution.integrated"].tolist() == read["attribution"][0]["integrated"]
        assert saved["attribution.places"].tolist() == read["attribution"][0]["places"]
        features = read["units"]["features"]
        assert saved["units.features"].tolist() == list(features)
        assert saved["units.best"].tolist() == [own["units"][0]["unit"] for own in features.values()]
        assert saved["units.bounds"].tolist() == [own["bound"] for own in features.values()]
        assert saved["effects.units"].tolist() == list(read["effects"])
        for row, (unit, effect) in enumerate(read["effects"].items()):
            assert saved["effects.losses"][row].tolist() == [effect["loss"], effect["ablated_loss"]]
            assert saved[f"effects.controls.{unit}"].tolist() == effect["controls"]
        assert {name: saved[f"holding.{name}"].tolist() for name in read["holding"]} == read["holding"]


def test_the_labels_of_a_file_are_the_targets(folders, shell, tmp_path):
    path, record, _ = write_input("tagger", tmp_path)
    read = json.loads(shell("inspect", folders("tagger"), path, "--record", record, "--json").out)
    assert read["targets"] == ["X", "X"]
    assert read["notes"] == []
    (tmp_path / "words.conll").write_text("b\na\n\na\nb\n")
    read = json.loads(shell("inspect", folders("tagger"), tmp_path / "words.conll", "--json").out)
    assert "the model's own predictions" in read["notes"][0]
    (tmp_path / "other.conll").write_text("a Q\nb R\n")  # tags of another data set
    read = json.loads(shell("inspect", folders("tagger"), tmp_path / "other.conll", "--json").out)
    assert read["notes"][0] == "The model knows none of the given targets."
    (tmp_path / "pairs.tsv").write_text("source\ttarget\na b\tx\nb\ty z\n")
    read = json.loads(shell("inspect", folders("translator"), tmp_path / "pairs.tsv", "--record", 2, "--json").out)
    assert read["targets"] == ["y", "z", "</s>"]
    (tmp_path / "hole.csv").write_text("text,label\ngood,\nbad,neg\ngood film,pos\n")  # the first one has no label
    texts = ("inspect", folders("classifier"), tmp_path / "hole.csv", "--json", "--record")
    assert json.loads(shell(*texts, 3).out)["targets"] == ["pos"]
    assert "own predictions" in json.loads(shell(*texts, 1).out)["notes"][0]


def test_units_that_are_set_are_named_in_the_report(folders, shell, tmp_path):
    words = ("inspect", folders("lm"), "--text", TEXT, "--clamp", "0:1=0.5", "--ablate", "0:c3")
    read = json.loads(shell(*words, "--json").out)
    assert {row[1] for row in read["states"]["layer0.forward.hidden"]} == {0.5}
    assert {row[3] for row in read["states"]["layer0.forward.cell"]} == {0.0}
    assert read["set_units"] == {"0:1": 0.5, "0:c3": 0.0}
    assert shell(*words, "--out", tmp_path / "r.html").code == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Units are set after every step: 0:1 = 0.5, 0:c3 = 0." in page
    answer = shell("inspect", folders("lm"), "--text", TEXT, "--ablate", "0:99")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no unit 0:99: the units are 0 to 3" in answer.err


def test_a_long_text_is_attributed_up_to_a_limit(folders, shell, tmp_path):
    words = ("inspect", folders("lm"), "--text", TEXT * 2)
    read = json.loads(shell(*words, "--json").out)
    (found,) = read["attribution"]
    assert (len(found["places"]), found["steps"]) == (64, [32, 63])
    assert read["notes"] == ["Attribution covers the first 64 of 92 steps."]
    assert shell(*words, "--out", tmp_path / "r.html").code == 0
    assert "Attribution covers the first 64 of 92 steps." in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_text_and_a_pipe_are_read_as_predict_reads_them(folders, shell, monkeypatch):
    for task, text in {"lm": "the fox", "tagger": "a b b", "classifier": "good film", "translator": "b a"}.items():
        found = json.loads(shell("inspect", folders(task), "--text", text, "--json").out)
        assert "".join(found.get("source_tokens") or found["tokens"]).replace(" ", "") == text.replace(" ", "")
        piped = _pipe(shell, monkeypatch, text + "\n", "inspect", folders(task), "-", "--json")
        states = {name: np.array(array)[: len(text)] for name, array in json.loads(piped.out)["states"].items()}
        for name, array in found["states"].items():
            np.testing.assert_allclose(states[name][: len(array)], array[: len(states[name])], atol=1e-6)
    found = json.loads(shell("inspect", folders("composer"), "--text", SCALE, "--json").out)
    assert len(found["tokens"]) == len(found["targets"]) > 8


def _pipe(shell, monkeypatch, text, *words):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    return shell(*words)


def test_the_first_steps_and_a_record(folders, shell, tmp_path):
    (tmp_path / "long.txt").write_text(TEXT * 30)
    read = json.loads(shell("inspect", folders("lm"), tmp_path / "long.txt", "--json").out)
    assert len(read["tokens"]) == 500
    read = json.loads(shell("inspect", folders("lm"), tmp_path / "long.txt", "--json", "--steps", 7).out)
    assert read["tokens"] == list(TEXT[:7])
    answer = shell("inspect", folders("lm"), "--text", "t", "--json")
    assert "verdict" not in json.loads(answer.out)
    assert "one step only" in shell("inspect", folders("lm"), "--text", "t").out


@pytest.mark.parametrize(
    ("task", "words", "code", "message"),
    [
        ("lm", ["--text", "漢字"], 3, "none of the input's 2 tokens is one that the model knows"),
        ("lm", ["--text", ""], 3, "--text is empty; give a text"),
        ("tagger", ["--text", ""], 3, "--text is empty; give a text"),
        ("classifier", ["--text", ""], 3, "--text is empty; give a text"),
        ("translator", ["--text", ""], 3, "--text is empty; give a text"),
        ("lm", ["{file}", "--text", "x"], 2, "--text are both given"),
        ("lm", ["--text", "x", "--json", "--npz", "x.npz"], 2, "choose one"),
        ("lm", ["--text", "x", "--json", "--out", "x.html"], 2, "--out and --json are given; choose one"),
        ("lm", ["--text", "x", "--out", "x.pdf"], 2, "the report is HTML; name it x.html"),
        ("lm", ["--text", "the", "--out", "{folder}/none/x.html"], 6, "cannot be written"),
        ("lm", ["{file}", "{file}"], 2, "give one input"),
        ("lm", ["{model}", "--text", "the"], 2, "2 models are compared in a report; add --out"),
        ("lm", ["{model}", "--out", "x.html"], 2, "a pipe can be read by one model only"),
        ("lm", ["--text", "the", "--record", "2"], 3, "there is no record 2"),
        ("tagger", ["--text", "a b", "--record", "2"], 3, "there is no record 2: it has 1"),
        ("lm", ["--text", "the", "--steps", "0"], 2, "--steps is 0; it must be at least 1"),
        ("lm", ["--text", "the", "--record", "0"], 2, "--record is 0; it must be at least 1"),
        ("lm", ["missing.txt"], 3, "missing.txt"),
        ("lm", ["--text", "the", "--npz", "{folder}/none/x.npz"], 6, "cannot be written"),
        ("numbers", ["--text", "good"], 2, "--text: this classifier reads no text but csv, npz, ts; name a file"),
        ("captioner", ["--text", "good"], 2, "--text: this captioner reads no text but pictures; name a file"),
        ("composer", ["--text", "no music"], 3, "contains no tune"),
        ("translator", ["--text", "zzz"], 3, "is not one that the model knows"),
        ("lm", ["--stpes", "3"], 2, "--steps"),
    ],
)
def test_what_is_refused(task, words, code, message, folders, shell, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    given = [word.format(file=tmp_path / "text.txt", folder=tmp_path, model=folders("lm")) for word in words]
    answer = shell("inspect", folders(task), *given)
    assert answer.code == code
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert answer.err.count("\n") <= 2


def test_a_picture_for_a_text_model_is_refused(folders, shell, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    for task in ("lm", "tagger", "classifier", "translator", "composer"):
        answer = shell("inspect", folders(task), tmp_path / "a.png")
        assert answer.code == 3
        assert "a.png" in answer.err
        assert answer.err.count("\n") <= 2


def test_a_model_without_recurrent_layers(shell, tmp_path):
    elman.LanguageModel(**SMALL, cell="window", embedding_size=4, batch_size=2).fit(TEXT * 20).save(tmp_path / "m")
    answer = shell("inspect", tmp_path / "m", "--text", "the")
    assert answer.code == 2
    assert 'cell is "window", which has no recurrent state' in answer.err


@pytest.mark.parametrize("task", INPUTS)
def test_a_report_of_every_task_is_that_of_python(task, folders, shell, tmp_path):
    path, record, given = write_input(task, tmp_path)
    answer = shell("inspect", folders(task), path, "--record", record, "--out", tmp_path / "report.html")
    assert (answer.code, answer.err) == (0, "")
    assert "report.html; open it in a browser" in answer.out
    names = {"name": str(folders(task)), "source": str(path)}
    expected = model_report(elman.load(folders(task)), given, LABELS.get(task), **names)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html(expected)


def test_several_models_share_one_report(folders, shell, tmp_path):
    out = tmp_path / "compared.html"
    (tmp_path / "text.txt").write_text("a b b\n")
    words = [folders("tagger"), folders("classifier"), tmp_path / "text.txt", "--input-format", "text", "--out", out]
    assert shell("inspect", *words).code == 0
    models = [elman.load(folders(task)) for task in ("tagger", "classifier")]
    given = [[["a", "b", "b"]], ["a b b"]]
    reports = [
        model_report(model, one, name=str(words[place]), source=str(words[2]))
        for place, (model, one) in enumerate(zip(models, given, strict=True))
    ]
    assert out.read_text(encoding="utf-8") == html(*reports)


def test_two_dashes_end_the_models(folders, shell, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    found = shell("inspect", folders("lm"), "--json", "--", tmp_path / "text.txt")
    assert json.loads(found.out)["tokens"] == list(TEXT)
    answer = shell("inspect", folders("lm"), "--json", "--", folders("tagger"))
    assert answer.code == 3
    assert f"{folders('tagger')}: is a folder" in answer.err


def test_text_with_a_script_in_it_is_shown_and_never_run(folders, shell, tmp_path):
    out = tmp_path / "report.html"
    text = "good </script><script>alert(1)</script> film"
    assert shell("inspect", folders("classifier"), "--text", text, "--out", out).code == 0
    page = out.read_text(encoding="utf-8")
    assert page.count("<script") == 2
    (data,) = re.findall('id="data">(.*?)</script>', page)
    assert "".join(json.loads(data)[0]["stacks"][0]["tokens"]) == text.replace(" ", "")
