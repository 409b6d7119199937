"""Python values as inputs of the models: every public method accepts and refuses the same values as `fit`."""

import inspect
import logging
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

import elman
from elman.comparison.labels import compare_classifiers, compare_taggers
from elman.comparison.language_models import compare_language_models
from elman.data.lines import Problems
from elman.data.music.tunes import read_tunes
from elman.errors import DataError, ElmanError, UsageError

pd = pytest.importorskip("pandas")
sparse = pytest.importorskip("scipy.sparse")

TINY = {"hidden_size": 4, "embedding_size": 4, "steps": 2, "evaluations": 1}
TEXTS, LABELS = ["good film", "bad film"] * 6, ["pos", "neg"] * 6
NUMBERS = np.random.default_rng(0).normal(size=(12, 4))
SENTENCES, TAGS = [["bears", "sleep"], ["the", "bear", "sat"]] * 6, [["N", "V"], ["D", "N", "V"]] * 6
PICTURES = [np.full((8, 8, 3), 20 * number, np.uint8) for number in range(12)]
CAPTIONS = [["dark"], ["bright", "very bright"]] * 6
TEXT = "the quick brown fox jumps over the lazy dog\n" * 6
SCALE = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF GABc\n\n"

UNFITTED = {
    "classifier": elman.Classifier(**TINY),
    "numbers": elman.Classifier(**TINY, level="numbers"),
    "tagger": elman.Tagger(**TINY, num_layers=1, characters="none"),
    "translator": elman.Translator(**TINY, level="word", min_count=1, beam_size=2, max_length=3),
    "captioner": elman.Captioner(**TINY, picture_size=8, channels=8, feature_size=4, beam_size=2, max_length=3),
    "lm": elman.LanguageModel(**TINY, batch_size=2, bptt_length=8),
    "composer": elman.Composer(**TINY, batch_size=2),
}
X = {
    "classifier": TEXTS,
    "numbers": NUMBERS,
    "tagger": SENTENCES,
    "translator": TEXTS,
    "captioner": PICTURES,
    "lm": TEXT,
    "composer": SCALE * 4,
}
Y = {"classifier": LABELS, "numbers": LABELS, "tagger": TAGS, "translator": TEXTS, "captioner": CAPTIONS}


@cache
def fitted(name):
    """Return a barely trained model, shared by the tests: do not change it."""
    return type(UNFITTED[name])(**UNFITTED[name].get_params()).fit(X[name], Y.get(name))


VALUES = ("X", "y", "valid", "source", "text", "prompt", "primer", "stop")  # parameters that take data
IGNORED = {("lm", "y"), ("composer", "y")}  # scikit-learn passes them; they are not used


def doors():
    """Yield every public method of every model that takes data, and the parameter that does."""
    for name, model in UNFITTED.items():
        for method, function in inspect.getmembers(model, inspect.ismethod):
            if method.startswith("_") or method == "answer":  # it reads records, not values
                continue
            for parameter in inspect.signature(function).parameters:
                if (method, parameter) == ("fit", "stop"):
                    continue  # a threading.Event, not data
                if parameter in VALUES and (name, parameter) not in IGNORED:
                    yield name, method, parameter


DOORS = list(doors())


def call(name, method, parameter, value):
    """Call a method with one argument replaced, the others as for `fit`."""
    good = {"X": X[name], "y": Y.get(name), "text": "the", "source": "good film"}
    model = UNFITTED[name] if method in ("fit", "dry_run", "read", "read_corpora") else fitted(name)
    model = fitted(name) if (name, method) == ("lm", "read") else model
    arguments = inspect.signature(getattr(model, method)).parameters
    required = {key: good[key] for key, one in arguments.items() if key == "y" or one.default is one.empty}
    found = getattr(model, method)(**{**required, parameter: value})
    return list(found) if inspect.isgenerator(found) else found


def test_every_method_that_takes_data_is_found():
    found = {(name, method) for name, method, _ in DOORS}
    methods = {"classifier": "fit predict predict_proba transform evaluate report score dry_run read"}
    methods |= {
        "tagger": "fit predict evaluate report score dry_run read",
        "captioner": "fit predict describe evaluate",
    }
    methods |= {"translator": "fit predict translate evaluate report score attention_of attention_picture"}
    methods |= {"lm": "fit predict evaluate report score read generate stream read_corpora dry_run"}
    methods |= {"composer": "fit predict evaluate report score compose dry_run"}
    assert {(name, method) for name, listed in methods.items() for method in listed.split()} <= found


NEVER = {  # values that no method accepts for any parameter
    "number": 5.5,
    "bytes": b"good",
    "set": {"good", "bad"},
    "frame": pd.DataFrame({"text": ["a", "b"], "label": ["c", "d"]}),
    "no dimension": np.array(5),
    "three dimensions of texts": np.full((2, 2, 2), "a"),
    "sparse": sparse.csr_matrix(np.eye(3)),
    "object": object(),
    "list of objects": [object()] * 12,
    "list of dicts": [{"a": 1}] * 12,
    "list of sets": [{"a"}] * 12,
    "dates": pd.Series(pd.date_range("2020", periods=12)),
}
MISSING = {
    "None": [None] * 12,
    "NaN": pd.Series([np.nan] * 12, index=range(12, 24)),
    "NA": pd.Series([None] * 12, dtype="string"),
    "masked": np.ma.array(["a"] * 12, mask=True),
}


@pytest.mark.parametrize(("name", "method", "parameter"), DOORS)
def test_every_method_refuses_values_that_are_not_data(name, method, parameter):
    for kind, value in NEVER.items():
        if (name, kind) == ("numbers", "frame") and parameter == "X":
            continue  # a frame of numbers is valid where texts are not expected
        with pytest.raises(ElmanError if name == "captioner" else UsageError) as told:
            call(name, method, parameter, value)
        assert len(str(told.value)) < 300, kind
    if name != "numbers" or parameter != "X":
        for value in (torch.ones(12), [1.5] * 12):
            with pytest.raises(ElmanError if name == "captioner" else UsageError):
                call(name, method, parameter, value)
    if parameter not in ("valid", "primer") and not (name == "classifier" and parameter == "y"):
        with pytest.raises(UsageError):
            call(name, method, parameter, {"text": ["a"]} if name != "captioner" else {"a"})


@pytest.mark.parametrize(("name", "method", "parameter"), DOORS)
def test_every_method_refuses_missing_values(name, method, parameter):
    one_value = parameter in ("source", "text", "prompt", "primer")
    error = UsageError if parameter == "valid" and name not in ("lm", "composer") else DataError
    for kind, value in MISSING.items():
        with pytest.raises(ElmanError if one_value or name in ("numbers", "composer") else error) as told:
            call(name, method, parameter, value)
        if error is DataError and not one_value and name not in ("numbers", "composer"):
            assert "[0] is missing" in str(told.value), kind


def test_missing_validation_values_are_reported():
    for name in ("classifier", "tagger", "translator", "captioner"):
        for pair in ((MISSING["None"], Y[name]), (X[name], MISSING["None"])):
            with pytest.raises(DataError, match=r"^valid: .*\[0\] is missing"):
                call(name, "fit", "valid", pair)
        for value, said in (
            ([X[name], Y[name]], "of type list"),
            ((X[name],), "of type tuple with 1 items"),
            (TEXTS, "of type list"),
        ):
            with pytest.raises(UsageError, match=f"valid is {said}"):
                call(name, "fit", "valid", value)


ROWS = [(name, method) for name, method, parameter in DOORS if parameter == "X" and method in (
    "predict", "predict_proba", "transform", "translate", "describe")]  # fmt: skip


@pytest.mark.parametrize(("name", "method"), [row for row in ROWS if row[0] != "lm"])
def test_empty_data_gives_empty_predictions_and_cannot_be_fitted(name, method):
    for empty in ([], (), np.array([]), pd.Series([], dtype=object), iter(())):
        assert len(getattr(fitted(name), method)(empty)) == 0
    with pytest.raises(ElmanError):
        UNFITTED[name].fit([], Y.get(name) and [])


FORMS = {
    "tuple": tuple,
    "array": np.array,
    "objects": lambda values: np.array(values, object),
    "column": lambda values: np.array(values, object)[:, None],
    "Series": lambda values: pd.Series(values, index=range(len(values), 0, -1)),
    "frame": lambda values: pd.DataFrame({"text": values}),
    "generator": lambda values: (value for value in values),
}


@pytest.mark.parametrize("form", FORMS)
def test_texts_in_any_form_give_what_a_list_gives(form):
    made = FORMS[form]
    classifier, translator, lm = fitted("classifier"), fitted("translator"), fitted("lm")
    assert classifier.predict(made(TEXTS)).tolist() == classifier.predict(TEXTS).tolist()
    np.testing.assert_array_equal(classifier.transform(made(TEXTS)), classifier.transform(TEXTS))
    assert classifier.evaluate(made(TEXTS), made(LABELS)) == classifier.evaluate(TEXTS, LABELS)
    assert translator.translate(made(TEXTS[:2])) == translator.translate(TEXTS[:2])
    assert list(lm.predict(made(TEXTS[:2]))) == list(lm.predict(TEXTS[:2]))
    assert lm.evaluate(made(TEXTS)) == lm.evaluate(TEXTS)
    again = type(classifier)(**classifier.get_params()).fit(made(TEXTS), made(LABELS))
    for weight, other in zip(again.network_.parameters(), classifier.network_.parameters(), strict=True):
        assert torch.equal(weight, other)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("array", "objects", "column")])
def test_sentences_in_any_form_give_what_lists_give(form):
    made = FORMS[form]
    tagger = fitted("tagger")
    assert tagger.predict(made(SENTENCES)) == tagger.predict(SENTENCES)
    assert tagger.predict(made([np.array(words) for words in SENTENCES])) == tagger.predict(SENTENCES)
    assert tagger.evaluate(made(SENTENCES), made(TAGS)) == tagger.evaluate(SENTENCES, TAGS)


def test_pictures_tunes_and_captions_in_any_form_give_what_lists_give():
    captioner, composer = fitted("captioner"), fitted("composer")
    for form in ("tuple", "array", "generator", "Series"):
        assert captioner.describe(FORMS[form](PICTURES)) == captioner.describe(PICTURES)
    wanted = captioner.evaluate(PICTURES, CAPTIONS)
    for form in ("tuple", "generator", "Series", "frame"):
        assert captioner.evaluate(PICTURES, FORMS[form](CAPTIONS)) == wanted
    tunes = read_tunes(SCALE * 3, Problems())
    for form in ("tuple", "objects", "Series", "generator"):
        assert composer.predict(FORMS[form](tunes)) == composer.predict(tunes)


CELLS = st.one_of(st.text(max_size=3), st.none(), st.just(float("nan")), st.integers(), st.binary(max_size=2))
COLUMNS = [list, tuple, lambda cells: np.array(cells, object), lambda cells: pd.Series(cells, dtype=object), iter]


def outcome(function, *arguments):
    try:
        function(*arguments)
    except ElmanError as error:
        return type(error), str(error)
    return None


@given(st.lists(CELLS, min_size=1, max_size=4), st.sampled_from(COLUMNS))
def test_a_classifier_predicts_from_what_it_learns_from(cells, column):
    classifier, labels = fitted("classifier"), ["pos"] * len(cells)
    told = outcome(classifier.predict, column(cells))
    assert told == outcome(UNFITTED["classifier"]._read, column(cells), labels)
    assert told == outcome(classifier.evaluate, column(cells), labels)
    assert (told is None) == all(isinstance(cell, str) for cell in cells)


@given(st.lists(st.one_of(CELLS, st.lists(CELLS, max_size=3)), min_size=1, max_size=4), st.sampled_from(COLUMNS[:2]))
def test_a_tagger_tags_what_it_learns_from(rows, column):
    tagger = fitted("tagger")
    sentences = [["a"], *rows]
    tags = [["N"] * (len(row) if isinstance(row, list) else 1) for row in sentences]
    told = outcome(tagger.predict, column(sentences))
    assert told == outcome(UNFITTED["tagger"]._read, column(sentences), tags)
    assert told == outcome(tagger.evaluate, column(sentences), tags)
    good = all(isinstance(row, list) and all(isinstance(word, str) for word in row) for row in rows)
    assert (told is None) == good


def test_a_single_text_is_not_a_list_of_texts():
    for name, method in (("classifier", "predict"), ("classifier", "predict_proba"), ("classifier", "transform")):
        with pytest.raises(UsageError, match=r"one text.*\['good film'\]"):
            call(name, method, "X", "good film")
    for method in ("predict", "translate"):
        with pytest.raises(UsageError, match="one text"):
            call("translator", method, "X", "good film")
    with pytest.raises(UsageError, match=r"single line.*\[\['bears', 'sleep'\]\]"):
        fitted("tagger").predict("bears sleep")
    with pytest.raises(UsageError, match=r"sentence 0 is a text"):
        fitted("tagger").predict(["bears sleep"])
    with pytest.raises(UsageError, match="give a str"):
        fitted("lm").generate(["the", "quick"])
    with pytest.raises(UsageError, match="give a list of texts"):
        fitted("classifier").evaluate("good film", ["pos"])


def test_a_path_names_a_file_for_every_method(tmp_path):
    classifier, translator, tagger = fitted("classifier"), fitted("translator"), fitted("tagger")
    table = tmp_path / "x.csv"
    table.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True)))
    assert classifier.predict(table).tolist() == classifier.predict(TEXTS).tolist()
    np.testing.assert_array_equal(classifier.predict_proba(table), classifier.predict_proba(TEXTS))
    for text, label in (("good film", "pos"), ("bad film", "neg")):
        (tmp_path / "folder" / label).mkdir(parents=True)
        (tmp_path / "folder" / label / "1.txt").write_text(text)
    assert classifier.predict(tmp_path / "folder").tolist() == classifier.predict(["bad film", "good film"]).tolist()
    (tmp_path / "x.txt").write_text("good film\n\nbad film\n")
    assert translator.translate(tmp_path / "x.txt") == translator.translate(["good film", "", "bad film"])
    (tmp_path / "x.conll").write_text("bears N\nsleep V\n\n")
    assert tagger.predict(tmp_path / "x.conll") == tagger.predict([["bears", "sleep"]])
    np.savez(tmp_path / "x.npz", inputs=NUMBERS)
    assert fitted("numbers").predict(tmp_path / "x.npz").tolist() == fitted("numbers").predict(NUMBERS).tolist()
    table.write_text("text,label\ngood film,pos\n,neg\n")
    with pytest.raises(DataError, match=r"x\.csv:3: the text is empty"):
        classifier.predict(table)
    with pytest.raises(DataError, match="no such file"):
        translator.predict(tmp_path / "nowhere.txt")


@pytest.mark.parametrize("name", ["classifier", "tagger", "translator"])
def test_answers_beside_a_file_that_holds_them_are_refused(name, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,label\ngood,pos\n")
    for method in ("fit", "evaluate", "report", "score"):
        model = UNFITTED[name] if method == "fit" else fitted(name)
        with pytest.raises(UsageError, match=r"y is given, but .*x\.csv already contains the answers"):
            getattr(model, method)(path, Y[name])
        with pytest.raises(UsageError, match="y is given, but X is one text"):
            getattr(model, method)("source,target\na,b\n", Y[name])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"stop": 5}, "stop is a single value"),
        ({"stop": ["a", None]}, r"stop\[1\] is missing"),
        ({"stop": {"a"}}, "no order"),
        ({"temperature": "warm"}, "temperature is of type str"),
        ({"top_k": 1.5}, "top_k is 1.5"),
        ({"max_tokens": "5"}, "max_tokens is of type str"),
        ({"max_tokens": 1.5}, "max_tokens is of type float"),
        ({"num_samples": "2"}, "num_samples is of type str"),
        ({"num_samples": None}, "num_samples is of type NoneType"),
        ({"seed": "1"}, "seed is of type str"),
    ],
)
def test_arguments_of_the_wrong_type_are_refused(arguments, said):
    with pytest.raises(ElmanError, match=said):
        fitted("lm").generate("the", **arguments)


def test_arguments_of_the_wrong_type_are_refused_by_a_composer():
    for arguments in ({"seconds": "5"}, {"bars": 1.5}, {"max_events": "5"}, {"seed": 1.5}, {"primer": 5}):
        with pytest.raises(UsageError, match=f"{next(iter(arguments))} is of type"):
            fitted("composer").compose(**arguments)


def test_stop_strings_may_come_from_an_iterator():
    lm = fitted("lm")
    wanted = lm.generate("the", max_tokens=40, stop=["e", "o"], seed=1, num_samples=2)
    assert lm.generate("the", max_tokens=40, stop=iter(["e", "o"]), seed=1, num_samples=2) == wanted
    assert lm.generate("the", max_tokens=40, stop=np.array(["e", "o"]), seed=1, num_samples=2) == wanted


def test_comparisons_read_values_as_models_do():
    pieces = [TEXT[:100], TEXT[100:]]
    rows = [list(compare_language_models(X, ["ngram:2"], UNFITTED["lm"])) for X in (pieces, iter(pieces))]
    assert rows[0][0].nats_per_token == rows[1][0].nats_per_token
    for compare, name in ((compare_classifiers, "classifier"), (compare_taggers, "tagger")):
        with pytest.raises(UsageError, match="models is one text"):
            list(compare("text,label\n", "majority", UNFITTED[name]))
    with pytest.raises(DataError, match=r"X\[1\] is missing"):
        list(compare_language_models(["the", None], ["ngram:2"], UNFITTED["lm"]))
    table = "text,label\n" + "good film,1\nbad film,0\n" * 6
    truth = (TEXTS, [1.0, 0.0] * 6)
    rows = list(compare_classifiers(table, ["majority", "logreg", "rnn"], UNFITTED["classifier"], valid=truth))
    assert [row.accuracy for row in rows[:2]] == [0.5, 1.0]


# ---------------------------------------------------------------- labels

SPELLINGS = {  # spellings of the same labels; a model trained on one accepts all others
    "numbers": {
        "ints": [1, 0] * 6,
        "NumPy's": np.array([1, 0] * 6, np.int8),
        "floats": [1.0, 0.0] * 6,
        "texts": ["1", "0"] * 6,
        "texts of floats": ["1.0", "0.0"] * 6,
        "mixed": np.array([1, "0", 1.0, 0, "1", "0.0"] * 2, object),
        "nullable": pd.Series([1, 0] * 6, dtype="Int64"),
        "Categorical": pd.Series([1, 0] * 6, dtype="category", index=range(12, 24)),
        "column": np.array([[1], [0]] * 6),
        "frame": pd.DataFrame({"y": [1, 0] * 6}),
    },
    "truth values": {
        "bools": [True, False] * 6,
        "NumPy's": np.array([True, False] * 6),
        "texts": ["True", "False"] * 6,
        "JSON": ["true", "false"] * 6,
        "capitals": ["TRUE", "FALSE"] * 6,
        "mixed": np.array([True, "false"] * 6, object),
        "nullable": pd.Series([True, False] * 6, dtype="boolean"),
    },
}


@pytest.mark.parametrize(("kind", "own"), [(kind, own) for kind, some in SPELLINGS.items() for own in some])
def test_spellings_of_a_label_are_the_same_label(kind, own, tmp_path):
    labels = SPELLINGS[kind]
    classifier = elman.Classifier(**TINY).fit(TEXTS, labels[own])
    first, second = classifier.classes_
    assert sorted([first, second]) == [first, second]
    truth = [second, first] * 6  # "1" and "True" come after "0" and "False"
    report = classifier.report(TEXTS, labels[own])
    assert report.metrics["accuracy"] == np.mean(classifier.predict(TEXTS) == truth)
    assert report.metrics["unknown_labels"] == 0
    for other, written in labels.items():
        found = classifier.report(TEXTS, written)
        assert (found.metrics, found.labels) == (report.metrics, report.labels), other
        assert np.array_equal(found.confusion, report.confusion), other
        if isinstance(written, list):
            rows = zip(TEXTS, written, strict=True)
            (tmp_path / "x.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
            assert classifier.evaluate(tmp_path / "x.csv") == report.metrics, other


@pytest.mark.parametrize(("kind", "own", "other"), [("numbers", "ints", "texts"), ("truth values", "JSON", "bools")])
def test_a_loaded_model_knows_its_labels_and_another_can_start_from_it(kind, own, other, tmp_path, quick):
    labels = SPELLINGS[kind]
    classifier = elman.Classifier(**TINY).fit(TEXTS, labels[own], valid=(TEXTS, labels[other]))
    classifier.save(tmp_path / "m")
    again = elman.load(tmp_path / "m")
    assert again.evaluate(TEXTS, labels[other]) == classifier.evaluate(TEXTS, labels[own])
    assert again.metrics_["valid"]["unknown_labels"] == 0
    weighted = elman.Classifier(**TINY, class_weights=True)
    begun, same = (
        weighted.fit(TEXTS, labels[which], init_from=tmp_path / "m").predict_proba(TEXTS)
        for which in labels
        if which in (own, other)
    )
    np.testing.assert_array_equal(begun, same)
    assert weighted.labels_ == classifier.labels_


@pytest.mark.parametrize(
    ("kind", "own"), [(kind, own) for kind, some in SPELLINGS.items() for own in ("texts", "mixed")]
)
def test_spellings_of_a_tag_are_the_same_tag(kind, own):
    words = [["good", "film"]] * 6
    rows = {name: [list(labels)[:2]] * 6 for name, labels in SPELLINGS[kind].items() if not hasattr(labels, "columns")}
    rows.pop("column", None)
    tagger = elman.Tagger(**TINY, num_layers=1, characters="none").fit(words, rows[own])
    figures = tagger.evaluate(words, rows[own])
    assert figures["unknown_labels"] == 0
    for name, tags in rows.items():
        assert tagger.evaluate(words, tags) == figures, name


def test_data_without_a_known_label_is_reported(caplog, tmp_path):
    classifier = fitted("classifier")
    with caplog.at_level(logging.WARNING):
        figures = classifier.evaluate(TEXTS, [1, 0] * 6)
    assert "none of the labels in the data (0, 1) is known to the model (neg, pos)" in caplog.text
    assert figures["unknown_labels"] == figures["examples"] == 12
    assert figures["accuracy"] == 0
    assert "nats_per_target" not in figures
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert classifier.evaluate(TEXTS, [*LABELS[:-1], "new"])["unknown_labels"] == 1
    assert not caplog.records
    assert "nats_per_target" not in fitted("tagger").evaluate([["bears"]], [["new"]])
    for name, y in (("classifier", ["new"] * 12), ("tagger", [["new"] * len(tags) for tags in TAGS])):
        with pytest.raises(DataError, match=r"none of the labels in the validation data \(new\)"):
            UNFITTED[name].fit(X[name], Y[name], valid=(X[name], y))
    classifier.save(tmp_path / "m")
    with pytest.raises(DataError, match=r"none of the labels in the training data \(0, 1\)"):
        UNFITTED["classifier"].fit(TEXTS, [1, 0] * 6, init_from=tmp_path / "m")


def test_a_crf_trains_even_if_every_validation_sentence_has_a_new_tag(tmp_path):
    tagger = elman.Tagger(**TINY, num_layers=1, crf=True, characters="none")
    tagger.fit(SENTENCES, TAGS, valid=([["bears", "sleep"]], [["N", "new"]]), out=tmp_path / "m")
    assert "nats_per_target" not in tagger.metrics_["valid"]  # a CRF scores whole sentences
    assert tagger.metrics_["valid"]["unknown_labels"] == 1


def test_a_certain_model_has_no_negative_zero():
    classifier = elman.Classifier(**TINY).fit(TEXTS, LABELS)
    with torch.no_grad():
        classifier.network_.head.weight *= 1e6
    assert str(classifier.evaluate(TEXTS, classifier.predict(TEXTS))["nats_per_target"]) == "0.0"


@pytest.mark.parametrize("labels", [["p", "n"] * 6, [1, 0] * 6, [True, False] * 6], ids=str)
def test_scikit_learns_tools_take_every_type_of_label(labels):
    classifier = elman.Classifier(**TINY)
    y = pd.Series(labels, index=range(12, 24))
    assert cross_val_score(classifier, TEXTS, labels, cv=StratifiedKFold(2)).shape == (2,)
    train, test, y_train, y_test = train_test_split(pd.Series(TEXTS), y, random_state=0, stratify=y)
    kind = np.array(labels).dtype.kind
    for made in (
        CalibratedClassifierCV(classifier, cv=2),
        VotingClassifier([("a", classifier), ("b", classifier)], voting="soft"),
    ):
        predicted = made.fit(train, y_train).predict(test)
        assert predicted.dtype.kind == kind or predicted.dtype == object
        assert set(predicted.tolist()) <= set(labels)
    assert 0 <= classifier.fit(train, y_train).score(test, y_test) <= 1
