"""The classifier against handwritten float64 loops: what it computes, learns, saves, reads and writes."""

import io
import json
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

import elman
from elman.cli.answers import answers
from elman.data.examples import Examples
from elman.data.lines import Lines, Problems
from elman.errors import DataError, UsageError
from elman.models.classifier import Classifier, _Task
from elman.nn import reference

# the same words in another order: word counts carry no information
TEXTS = ["not good but bad", "not bad but good", "bad , not good", "good , not bad"] * 6
LABELS = ["complaint", "praise"] * 12
SMALL = {
    "hidden_size": 6,
    "embedding_size": 5,
    "learning_rate": 0.03,
    "evaluations": 2,
    "dropout": 0.0,
    "word_dropout": 0.0,
}


@cache
def trained(**changes):
    """Return a small trained classifier, shared by the tests: do not change it."""
    return Classifier(**{**SMALL, "steps": 60, **changes}).fit(TEXTS, LABELS, valid=(TEXTS, LABELS))


def by_hand(classifier, words):
    """Compute the logits (K,) of one text as float64 loops over the saved weights alone."""
    weights = {name: tensor.double().numpy() for name, tensor in classifier.network_.state_dict().items()}
    cell = reference.cell_named(classifier.cell)
    ids = classifier.inputs_.lexicon.vocabulary.ids([word.lower() for word in words])
    x = weights["front.embedding.weight"][ids]
    outputs, ends = [], []
    for backwards in (False, True):
        suffix = f"_l0{'_reverse' if backwards else ''}"
        own = [weights[f"encoder.rnn.{name}{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        state = reference.zero_state(cell, 1, classifier.hidden_size)
        run, final, _ = reference.forward(cell, (x[::-1] if backwards else x)[:, None], reference.Weights(*own), state)
        outputs.append((run[::-1] if backwards else run)[:, 0])
        ends.append(final[0][0])
    hidden = np.hstack(outputs)  # (T, 2H)
    pooling = classifier.setting("pooling")
    if pooling == "attention":
        energies = np.tanh(hidden @ weights["pooling.projection.weight"].T + weights["pooling.projection.bias"])
        scores = energies @ weights["pooling.context.weight"][0]
        shares = np.exp(scores) / np.exp(scores).sum()
        pooled = shares @ hidden
    else:
        pooled = {"last": np.concatenate(ends), "mean": hidden.mean(axis=0), "max": hidden.max(axis=0)}[pooling]
    return pooled @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_network_is_its_equations_and_padding_changes_nothing(cell, pooling):
    classifier = trained(cell=cell, pooling=pooling, steps=3)
    texts = ["good", "not good but bad , not unheard-of", "bad , bad"]
    found = classifier.predict_proba(texts)
    for text, shares in zip(texts, found, strict=True):
        logits = by_hand(classifier, classifier.inputs_.tokens(text))
        np.testing.assert_allclose(shares, np.exp(logits) / np.exp(logits).sum(), atol=2e-6)  # float32 against float64


@pytest.mark.parametrize(
    "changes", [{}, {"pooling": "last"}, {"pooling": "attention", "cell": "gru"}, {"level": "char"}, {"level": "bpe"}]
)
def test_it_learns_what_depends_on_the_order_of_words(changes, tmp_path):
    classifier = trained(**changes, **({"steps": 150} if changes.get("level") else {}))
    assert classifier.predict(TEXTS).tolist() == LABELS
    assert classifier.classes_.tolist() == ["complaint", "praise"]
    classifier.save(tmp_path / "m")
    again = elman.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert (tmp_path / "m" / "confusion.svg").exists()


@pytest.mark.parametrize("level", ["word", "char", "bpe"])
def test_case_is_handled_the_same_after_loading(level, tmp_path):
    texts = ["Good GOOD good", "Bad BAD bad"] * 6
    classifier = Classifier(**SMALL, steps=3, level=level).fit(texts, LABELS[:12], out=tmp_path / "m")
    again = elman.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    differs = not np.array_equal(classifier.predict_proba(["GOOD"]), classifier.predict_proba(["good"]))
    assert differs == (level != "word")


def test_the_figures_are_scikit_learns():
    classifier = trained(steps=4)
    texts, labels = ["good", "bad", "bad , not good", "good , not bad"], ["praise", "complaint", "praise", "praise"]
    figures = classifier.evaluate(texts, labels)
    predicted = classifier.predict(texts)
    assert figures["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert figures["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert figures["nats_per_target"] == pytest.approx(log_loss(labels, classifier.predict_proba(texts)))
    assert 0 <= figures["calibration_error"] <= 1
    assert (figures["examples"], figures["unknown_labels"], figures["left_out"]) == (4, 0, 0)
    assert classifier.evaluate(["good"], ["unheard-of"])["unknown_labels"] == 1
    assert classifier.evaluate(["good"], ["unheard-of"])["accuracy"] == 0


def waves(number, seed):
    """Return sequences of two numbers that rise or fall; only their order gives the label."""
    generator = np.random.default_rng(seed)
    sequences, labels = [], []
    for row in range(number):
        values = np.sort(generator.normal(5, 2, int(generator.integers(4, 12))))
        falls = row % 2
        sequences.append(np.stack([values[::-1] if falls else values, generator.normal(0, 100, len(values))], axis=1))
        labels.append(falls)
    return sequences, labels


def test_a_sequence_of_numbers_that_cannot_be_read_is_answered_with_its_problem(tmp_path):
    X, y = waves(20, 1)  # noqa: N806
    classifier = Classifier(**{**SMALL, "level": "numbers", "steps": 3}).fit(X, y)
    rows = [(name, row) for name, row in zip("abcd", X, strict=False)]
    text = "sequence,a,b\n" + "".join(f"{name},{a},{b}\n" for name, row in rows for a, b in row.tolist())
    whole = list(answers(classifier, Lines(text), Problems()))
    lines = text.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("b,"))
    lines[place] = "b,nan,1"
    for source in ("\n".join(lines), io.BytesIO("\n".join(lines).encode())):
        problems = Problems(shown=0)
        found = list(answers(classifier, Lines(source), problems))
        assert [found[0], *found[2:]] == [whole[0], *whole[2:]]
        assert json.loads(found[1]) == {"line": place + 1, "problem": "NaN, infinity or a number too large"}
        assert problems.count == 1
    labels = list(answers(classifier, Lines("\n".join(lines)), Problems(shown=0), output_format="text"))
    assert [label.strip() for label in labels] == [
        "" if n == 1 else str(json.loads(line)["label"]) for n, line in enumerate(whole)
    ]
    inputs = np.array([[[1.0, 2.0]], [[np.inf, 1]], [[np.nan, 1]]])
    for kept in (3, 1):
        np.savez(tmp_path / "s.npz", inputs=inputs[-kept:])
        found = [json.loads(line) for line in answers(classifier, Lines(tmp_path / "s.npz"), Problems(shown=0))]
        assert ["problem" in answer for answer in found] == [False, True, True][-kept:]


def test_sequences_of_numbers(tmp_path):
    X, y = waves(60, 1)  # noqa: N806
    settings = {**SMALL, "level": "numbers", "steps": 150}
    classifier = Classifier(**settings).fit(X, y, valid=waves(20, 2))
    X, y = waves(40, 3)  # noqa: N806
    assert classifier.score(X, y) > 0.9
    assert classifier.predict(X[:2]).tolist() == y[:2]
    classifier.save(tmp_path / "m")
    np.testing.assert_array_equal(elman.load(tmp_path / "m").predict_proba(X), classifier.predict_proba(X))
    np.savez(tmp_path / "s.npz", inputs=np.concatenate(X), lengths=[len(row) for row in X], labels=y)
    by_file = Classifier(**{**settings, "steps": 3}).fit(tmp_path / "s.npz")
    assert by_file.classes_.tolist() == ["0", "1"]
    lines = Lines(tmp_path / "s.npz")
    rows = [json.loads(line)["label"] for line in answers(by_file, lines, Problems())]
    assert rows == by_file.predict(X).tolist()
    text = "sequence,a,b\n" + "".join(f"s{n},{a},{b}\n" for n, row in enumerate(X[:3]) for a, b in row.tolist())
    assert "".join(answers(by_file, Lines(text), Problems(), output_format="text")).split() == rows[:3]
    with pytest.raises(DataError, match="has 1 features per time step, but the model was trained on 2"):
        by_file.predict([[1.0, 2.0]])
    narrow = [row[:, :1] for row in X]
    with pytest.raises(DataError, match="has 1 features per time step, but the model was trained on 2"):
        Classifier(**{**settings, "steps": 1}).fit(X, y, valid=(narrow, y))
    with pytest.raises(DataError, match="has 1 features per time step, but the model was trained on 2"):
        Classifier(**settings).fit(narrow, y, init_from=tmp_path / "m")
    assert len(by_file.fit(narrow, y).predict(narrow)) == 40  # refitted on another number of features
    with pytest.raises(UsageError, match='set level "numbers"'):
        Classifier(**SMALL, steps=1).fit(X, y)


def test_class_weights_let_rare_labels_count():
    texts, labels = ["a b", "a c"] * 10, (["common"] * 9 + ["rare"]) * 2
    weighted = Classifier(**SMALL, steps=1, class_weights=True).fit(texts, labels, valid=(texts, labels))
    batches = weighted._batches(Examples(texts, labels))
    batches.buckets.group(1000)
    batch = batches.batch(0)
    weighted.network_.train()
    loss, count, _ = _Task(weighted, labels).training_step(batch, None)
    losses = torch.nn.functional.cross_entropy(weighted.network_(batch), batch.targets, reduction="none")
    weights = torch.where(batch.targets == 1, 20 / 2 / 2, 20 / 2 / 18)
    assert loss.item() == pytest.approx((losses * weights).sum().item(), rel=1e-5)
    assert count == 20


def test_the_held_out_part_has_every_label_in_its_share():
    labels = ["a"] * 70 + ["b"] * 20 + ["c"] * 10
    train, held_out = Classifier(valid_fraction=0.2).read([f"text {row}" for row in range(100)], labels)
    assert [held_out.labels.count(label) for label in "abc"] == [14, 4, 2]
    assert len(train.labels) == 80
    assert not set(train.inputs) & set(held_out.inputs)
    again = Classifier(valid_fraction=0.2).read([f"text {row}" for row in range(100)], labels)
    assert again == (train, held_out)


def annotated(classifier, source, **formats):
    problems = Problems()
    lines = Lines(source, problems=problems)
    return "".join(answers(classifier, lines, problems, **formats)), problems


def test_formats_order_and_that_nothing_is_dropped():
    classifier = trained()
    out, problems = annotated(classifier, io.BytesIO(b"not good but bad\n\nnot bad but good\n"))
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["label"] for row in rows][::2] == ["complaint", "praise"]
    assert len(rows) == 3
    assert rows[0]["probabilities"].keys() == {"complaint", "praise"}
    assert problems.count == 0
    table = 'id,text\n1,not good but bad\n2,\n3,"not bad\nbut good"\n4,a,b\n'
    out, problems = annotated(classifier, table)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.get("label") for row in rows] == ["complaint", None, "praise", None]
    assert rows[1] == {"line": 3, "problem": "the text is empty"}
    assert problems.count == 2
    assert annotated(classifier, table, output_format="text")[0] == "complaint\n\npraise\n\n"
    tsv = "not good but bad\n"
    numbered = Classifier(**{**SMALL, "steps": 2, "text": "1", "label": "0", "no_header": True})
    numbered.fit("".join(f"{label}\t{text}\n" for text, label in zip(TEXTS, LABELS, strict=True)))
    assert len(annotated(numbered, "x\t" + tsv, input_format="tsv")[0].splitlines()) == 1
    for formats, message in (({"input_format": "cvs"}, '"csv"'), ({"output_format": "xml"}, "jsonl, text")):
        with pytest.raises(UsageError, match=message):
            annotated(classifier, table, **formats)


def test_the_state_as_features_for_other_models():
    classifier = trained(pooling="last")
    features = classifier.transform(TEXTS)
    assert features.shape == (24, 12)
    assert LogisticRegression().fit(features, LABELS).score(features, LABELS) == 1
    pipeline = make_pipeline(Classifier(**SMALL, steps=30), LogisticRegression()).fit(TEXTS, LABELS)
    assert pipeline.predict(TEXTS[:1]).shape == (1,)


def test_it_is_an_estimator():
    classifier = Classifier(**SMALL, steps=6)
    assert is_classifier(classifier)
    assert clone(classifier).get_params() == classifier.get_params()
    assert cross_val_score(classifier, TEXTS, LABELS, cv=2).shape == (2,)
    search = GridSearchCV(
        Pipeline([("rnn", classifier)]),
        {"rnn__pooling": ["max", "mean"], "rnn__hidden_size": [4]},
        cv=2,
        scoring="f1_macro",
    )
    assert search.fit(np.array(TEXTS), np.array(LABELS)).best_params_["rnn__hidden_size"] == 4
    assert classifier.fit(TEXTS, [label == "praise" for label in LABELS]).classes_.tolist() == [False, True]


@pytest.mark.parametrize("labels", [[3, 7] * 12, [0.0, 1.0] * 12, [True, False] * 12, ["b", "a"] * 12])
def test_labels_keep_their_type(labels, tmp_path):
    classifier = Classifier(**SMALL, steps=2).fit(TEXTS, np.array(labels), out=tmp_path / "m")
    for model in (classifier, elman.load(tmp_path / "m")):
        assert model.predict(TEXTS).dtype == np.array(labels).dtype
        assert set(model.predict(TEXTS).tolist()) <= set(labels)


def test_long_and_empty_texts():
    classifier = trained(steps=3, max_length=50)
    long = "bad " * 1_000_000
    shares = classifier.predict_proba([long, "", "bad " * 50])
    np.testing.assert_array_equal(shares[0], shares[2])
    assert np.isfinite(shares).all()


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        (TEXTS, None, UsageError, "the labels are missing"),
        ([], [], DataError, "X is empty"),
        (TEXTS, LABELS[1:], UsageError, "24 texts, but 23 labels"),
        ([1, 2], ["a", "b"], UsageError, r"X\[0\] is of type int"),
        (["a", "b"], ["x", None], DataError, r"y\[1\] is missing \(None\)"),
        (["a", "b"], [True, 2], UsageError, "several types"),
        (["a", "b"], [0.5, 1.5], UsageError, r"y\[0\] is 0\.5, a continuous value"),
        (["a", "b"], ["x", "x"], DataError, "every example has the label 'x'"),
        (["a", "b"], ["x", "y"], DataError, "too few examples"),
        ("text,label\n,\n", None, DataError, "text:2: the text is empty"),
        ("text,lable\na,b\n", None, DataError, "lable"),
    ],
)
def test_data_that_cannot_be_used_for_training(X, y, error, message):  # noqa: N803
    with pytest.raises(error, match=message):
        Classifier(**SMALL, steps=1).fit(X, y)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_length": 0}, "max_length"),
        ({"level": "char", "characters": "lstm"}, "characters are read within words"),
        ({"level": "bpe", "vectors": "x"}, "vectors"),
        ({"pooling": "sum"}, "last, mean, max, attention"),
    ],
)
def test_settings_outside_their_limits(changes, message):
    with pytest.raises(UsageError, match=message):
        Classifier(**changes).fit(TEXTS, LABELS)
