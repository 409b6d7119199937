"""The metrics against scikit-learn, and against plain loops over predictions, bins and spans."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from elman.errors import UsageError
from elman.metrics.labels import calibration_error, confusion, label_metrics, span_metrics, span_rates


@pytest.mark.parametrize("num_labels", [1, 3, 17])
@pytest.mark.parametrize("num_used", [1, 2, 17])  # the other labels are neither true nor predicted
@pytest.mark.parametrize("size", [1, 5, 400])
def test_labels_agree_with_scikit_learn(num_labels, num_used, size):
    generator = np.random.default_rng(num_labels * size)
    used = generator.permutation(num_labels)[:num_used]
    targets, predictions = generator.choice(used, size=(2, size))
    names = [f"label {number}" for number in range(num_labels)]

    matrix = confusion(targets, predictions, num_labels)
    figures = label_metrics(matrix, names)

    counted = np.zeros((num_labels, num_labels), int)
    for target, prediction in zip(targets, predictions, strict=True):
        counted[target, prediction] += 1
    np.testing.assert_array_equal(matrix, counted)
    assert matrix.dtype == np.int64
    assert figures["accuracy"] == pytest.approx(accuracy_score(targets, predictions), abs=1e-12)
    macro_f1 = f1_score(targets, predictions, average="macro", zero_division=0)
    assert figures["macro_f1"] == pytest.approx(macro_f1, abs=1e-12)
    rates = precision_recall_fscore_support(targets, predictions, labels=range(num_labels), zero_division=0)
    assert list(figures["labels"]) == names
    found = [list(row.values()) for row in figures["labels"].values()]
    np.testing.assert_allclose(found, np.transpose(rates), atol=1e-12)
    assert all([type(value) for value in row] == [float, float, float, int] for row in found)


def test_no_examples_at_all():
    matrix = confusion(np.array([], int), np.array([], int), 2)
    zero = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert label_metrics(matrix, ["a", "b"]) == {"accuracy": 0.0, "macro_f1": 0.0, "labels": {"a": zero, "b": zero}}
    assert span_metrics([], []) == span_metrics([[]], [[]])
    assert set(span_metrics([], []).values()) == {0.0}
    assert calibration_error(np.zeros((0, 3)), np.array([], int)) == 0.0


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([0, 1], [0], "one prediction for each target"),
        ([0, 2], [0, 1], "targets contain the id 2, but the ids of 2 labels go from 0 to 1"),
        ([0, 1], [-1, 1], "predictions contain the id -1"),
    ],
)
def test_wrong_ids_are_refused(targets, predictions, message):
    with pytest.raises(UsageError, match=message):
        confusion(np.array(targets), np.array(predictions), 2)


def test_a_matrix_that_does_not_match_the_names_is_refused():
    with pytest.raises(UsageError, match="3 labels"):
        label_metrics(np.eye(2, dtype=int), ["a", "b", "c"])
    with pytest.raises(UsageError, match="2 sentences"):
        span_metrics([[], []], [[]])


@pytest.mark.parametrize("seed", range(5))
def test_spans_agree_with_counting_one_by_one(seed):
    generator = np.random.default_rng(seed)

    def sentence():  # at most 5 distinct spans
        drawn = {tuple(generator.integers(3, size=3).tolist()) for _ in range(generator.integers(6))}
        return [(start, start + length + 1, "XYZ"[kind]) for start, length, kind in drawn]

    true, predicted = ([sentence() for _ in range(30)] for _ in range(2))
    right = sum(span in spans for spans, others in zip(true, predicted, strict=True) for span in others)
    precision, recall = right / sum(map(len, predicted)), right / sum(map(len, true))
    assert span_metrics(true, predicted) == pytest.approx(
        {
            "span_precision": precision,
            "span_recall": recall,
            "span_f1": 2 * precision * recall / (precision + recall),
        }
    )


def test_the_sample_of_conlleval():
    """The output that https://www.clips.uantwerpen.be/conll2000/chunking/output.html shows, from its counts."""
    counts = {  # true, found and correct chunks; then precision, recall and F1 as printed
        "ADJP": (6, 1, 0, "0.00 0.00 0.00"),
        "ADVP": (8, 11, 5, "45.45 62.50 52.63"),
        "NP": (262, 317, 206, "64.98 78.63 71.16"),
        "PP": (90, 107, 89, "83.18 98.89 90.36"),
        "SBAR": (6, 3, 2, "66.67 33.33 44.44"),
        "VP": (87, 100, 69, "69.00 79.31 73.80"),
    }
    true, predicted = [], []
    for kind, (expected, found, right, _) in counts.items():
        true += [[(0, 2, kind)]] * expected + [[]] * (found - right)
        predicted += [[(0, 2, kind)]] * right + [[]] * (expected - right) + [[(0, 2, kind)]] * (found - right)
    printed = {kind: figures for kind, (*_, figures) in counts.items()}
    rates = span_rates(true, predicted)
    found = {kind: [f"{100 * one[name]:.2f}" for name in ("precision", "recall", "f1")] for kind, one in rates.items()}
    assert {kind: " ".join(figures) for kind, figures in found.items()} == printed
    assert [one["support"] for one in rates.values()] == [expected for expected, *_ in counts.values()]
    overall = [f"{100 * figure:.2f}" for figure in span_metrics(true, predicted).values()]
    assert overall == ["68.83", "80.83", "74.35"]


def test_every_type_is_evaluated_as_if_it_were_alone():
    generator = np.random.default_rng(7)
    true, predicted = (
        [[(place, place + 1, "XYZ"[kind]) for place, kind in enumerate(generator.integers(4, size=9)) if kind < 3]]
        for _ in range(2)
    )
    rates = span_rates(true, predicted)
    assert list(rates) == ["X", "Y", "Z"]
    for kind, own in rates.items():
        alone = span_metrics(*([[span for span in some if span[2] == kind] for some in s] for s in (true, predicted)))
        assert [own["precision"], own["recall"], own["f1"]] == list(alone.values())
        assert own["support"] == sum(span[2] == kind for span in true[0])
    assert span_rates([[]], [[]]) == {}
    assert span_rates([[(0, 1, "A")]], [[(0, 1, "B")]])["B"] == dict.fromkeys(("precision", "recall", "f1"), 0) | {
        "support": 0
    }


@pytest.mark.parametrize(
    "predicted", [[], [(1, 3, "PER")], [(0, 2, "PER")], [(0, 3, "LOC")], [(0, 1, "PER"), (1, 3, "PER")]]
)
def test_a_partly_correct_span_is_wrong(predicted):
    assert span_metrics([[(0, 3, "PER")], []], [predicted, [(0, 3, "PER")]])["span_f1"] == 0.0


@pytest.mark.parametrize("bins", [1, 4, 15])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_calibration_agrees_with_counting_bin_by_bin(bins, dtype):
    generator = np.random.default_rng(bins)
    probabilities = generator.dirichlet([0.5] * 4, size=300).astype(dtype)
    targets = generator.integers(4, size=300)
    error = 0.0
    for number in range(bins):
        inside = [
            (float(row.max()), int(row.argmax()) == target)
            for row, target in zip(probabilities, targets, strict=True)
            if number / bins < row.max() <= (number + 1) / bins
        ]
        if inside:
            certainties, rights = zip(*inside, strict=True)
            error += len(inside) / 300 * abs(sum(rights) / len(inside) - sum(certainties) / len(inside))
    found = calibration_error(probabilities, targets, bins)
    assert type(found) is float
    assert found == pytest.approx(error, abs=1e-6 if dtype == np.float32 else 1e-12)  # sums of 300 float32 numbers


def test_calibration_at_its_best_and_its_worst():
    certain = np.array([[1.0 + 1e-7, 0.0]] * 3, np.float32)  # what a softmax in float32 may round to
    assert calibration_error(certain, np.array([0, 0, 0])) == 0.0
    assert calibration_error(certain, np.array([1, 1, 1])) == 1.0
