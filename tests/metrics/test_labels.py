"""The metrics against scikit-learn, and against plain loops over predictions, bins and spans."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from elman.errors import UsageError
from elman.metrics.labels import calibration_error, confusion, label_metrics, span_metrics


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
