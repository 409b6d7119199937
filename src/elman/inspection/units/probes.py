"""Linear probes on a model's states, with a control task for what a probe memorises."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError, UsageError
from elman.families.base import Model
from elman.inspection.traces import Trace
from elman.inspection.tracing import trace
from elman.inspection.units.features import FEATURES

TEST_SHARE = 0.3  # the last inputs, or the last steps of a single input
MOST_EXAMPLES = 20_000  # that a probe learns from
MOST_LABELS = 200


@dataclass(frozen=True, eq=False)
class LayerProbe:
    """A linear probe on the states of one layer and direction."""

    array: str
    """The array of the trace, such as ``layer0.forward.hidden``."""
    accuracy: float
    """The accuracy on held-out states."""
    control_accuracy: float
    """The accuracy of a probe on the control task, in which each token type has a random label."""

    @property
    def selectivity(self) -> float:
        """The accuracy above that of memorising tokens: what the states contribute, not the probe."""
        return self.accuracy - self.control_accuracy

    def to_json(self) -> dict[str, float]:
        """Return the figures as a JSON object."""
        return {
            "accuracy": self.accuracy,
            "control_accuracy": self.control_accuracy,
            "selectivity": self.selectivity,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Probe:
    """Linear probes on all layers. ``probe[name]`` is that of one array."""

    layers: list[LayerProbe]
    """From the first layer to the last."""
    majority: float
    """The accuracy of the label that is most frequent in training."""
    labels: list[Any]
    """The labels that the probes distinguish."""
    num_train: int
    num_test: int

    def __getitem__(self, array: str) -> LayerProbe:
        """Return the probe on one array."""
        for own in self.layers:
            if own.array == array:
                return own
        raise UsageError(f"there is no probe on {array!r}; there are {', '.join(own.array for own in self.layers)}")

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return {
            "layers": {own.array: own.to_json() for own in self.layers},
            "majority": self.majority,
            "labels": [str(label) for label in self.labels],
            "train": self.num_train,
            "test": self.num_test,
        }

    def __repr__(self) -> str:
        """Show the accuracy of the best layer."""
        best = max(self.layers, key=lambda own: own.accuracy)
        return (
            f"<Probe for {len(self.labels)} labels: {best.array} {best.accuracy:.3f}, control "
            f"{best.control_accuracy:.3f}, the most frequent label {self.majority:.3f}>"
        )

    def _repr_html_(self) -> str:
        """Show, in a notebook, a table of the layers."""
        rows = "".join(
            f"<tr><td><code>{html.escape(own.array)}</code></td><td>{own.accuracy:.3f}</td>"
            f"<td>{own.control_accuracy:.3f}</td><td>{own.selectivity:.3f}</td></tr>"
            for own in self.layers
        )
        head = "<tr><th>states</th><th>accuracy</th><th>control</th><th>selectivity</th></tr>"
        return f"<table>{head}{rows}</table><p>The most frequent label alone: {self.majority:.3f}</p>"


def probe(
    model: Model,
    X: Any,  # noqa: N803
    y: Any = None,
    *,
    labels: str | Sequence[Any] | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> Probe:
    r"""Train a linear classifier to predict a label from the hidden states of each layer.

    The probe learns from the first inputs (of a single one, from its first steps) and is evaluated on the others. A
    probe can also memorise which token has which label. The control task measures that.

    Source: Hewitt and Liang (2019), "Designing and interpreting probes with control tasks", EMNLP, sections 2 and 3.

    Args:
        model: a fitted model of any task.
        X: the inputs, as :func:`~elman.inspection.trace` takes them.
        y: the targets, for a supervised model; by default these are the labels.
        labels: what to predict: the name of a built-in feature of :func:`~elman.inspection.rank_units`; or a label for
            each step of all inputs, or one for each input, predicted from its last state.
        steps: read only this many steps of each input.
        seed: the seed of the control task.

    Returns:
        For each layer and direction the accuracy, and that of the control task.

    Raises:
        UsageError: scikit-learn is not installed, the model has no labels of its own, or there are not as many labels
            as steps or inputs.
        DataError: there are too few examples, or the labels are all the same.

    Example:
        >>> from elman import LanguageModel
        >>> text = "to be (or not) to be\n" * 80
        >>> lm = LanguageModel(hidden_size=16, steps=4, batch_size=2, bptt_length=16).fit(text)
        >>> probe(lm, text[:420], labels="brackets").labels
        [False, True]
    """
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        raise UsageError("a probe needs scikit-learn: install it with  pip install elman[sklearn]") from None

    traced = trace(model, X, y, steps=steps, top=1)
    goals, is_by_input = _take_labels(traced, labels, type(model).__name__)
    states = {name: _select_states(traced, name, is_by_input) for name in traced.arrays if _is_probed(traced, name)}
    tokens = _list_types(traced, is_by_input)
    split = _find_split(traced, len(goals), is_by_input)
    known = np.array([goal is not None for goal in goals.tolist()])
    train, test = (np.flatnonzero(known[part]) + (part.start or 0) for part in (slice(0, split), slice(split, None)))
    if not len(train) or not len(test):
        raise DataError(f"{len(goals)} labels are too few to train on some and evaluate on others; give more")
    train = np.random.default_rng(seed).permutation(train)[:MOST_EXAMPLES]
    names, numbers = np.unique(goals[known].astype(str), return_inverse=True)
    if len(names) > MOST_LABELS:
        raise UsageError(f"there are {len(names):,} different labels, at most {MOST_LABELS} are allowed; group them")
    classes = np.zeros(len(goals), np.int64)
    classes[known] = numbers
    if len(np.unique(classes[train])) < 2:
        raise DataError(
            f"every label that the probe learns from is {goals[train[0]]}; give examples of two labels or more"
        )
    control = _draw_control(tokens, classes[known], seed)

    def evaluate(array: NDArray[Any], wanted: NDArray[np.int64]) -> float:
        if len(np.unique(wanted[train])) < 2:
            return float((wanted[test] == wanted[train[0]]).mean())
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
        return float(classifier.fit(array[train], wanted[train]).score(array[test], wanted[test]))

    by_text = {str(goal): goal for goal in goals[known].tolist()}
    return Probe(
        layers=[LayerProbe(name, evaluate(array, classes), evaluate(array, control)) for name, array in states.items()],
        majority=float((classes[test] == np.bincount(classes[train]).argmax()).mean()),
        labels=[by_text[name] for name in names],
        num_train=len(train),
        num_test=len(test),
    )


def _is_probed(traced: Trace, name: str) -> bool:
    return name.endswith(".hidden") and not name.startswith("encoder.")


def _take_labels(traced: Trace, labels: str | Sequence[Any] | None, model: str) -> tuple[NDArray[Any], bool]:
    """Return a label for each step, or for each input, and whether it is the second."""
    found: list[Any]
    if labels is None:
        if traced.task not in ("tagger", "classifier"):
            raise UsageError(f"a {model} has no labels of its own; name what to predict with `labels`")
        found = list(traced.targets)
    elif isinstance(labels, str):
        if labels not in FEATURES:
            raise UsageError(f"there is no feature {labels!r}; there are {', '.join(FEATURES)}")
        found = [value for own in traced for value in FEATURES[labels](own.tokens).tolist()]
    else:
        found = np.asarray(labels, object).tolist() if isinstance(labels, np.ndarray) else list(labels)
    num_steps, number = len(traced.tokens), len(traced)
    if len(found) not in (num_steps, number):
        raise UsageError(f"there are {len(found)} labels; give one for each of {num_steps} steps or {number} inputs")
    goals = np.empty(len(found), object)
    goals[:] = found
    return goals, len(found) != num_steps


def _select_states(traced: Trace, name: str, is_by_input: bool) -> NDArray[Any]:
    """Return the states of each step, or the last one of each input, in the order in which a direction reads."""
    array: NDArray[Any] = traced[name]
    if not is_by_input:
        return array
    return array[traced.offsets[:-1] if ".reverse." in name else traced.offsets[1:] - 1]


def _list_types(traced: Trace, is_by_input: bool) -> list[str]:
    """Return the types that get a label in the control task: each token, or each whole input."""
    return ["\0".join(own.tokens) for own in traced] if is_by_input else traced.tokens


def _find_split(traced: Trace, number: int, is_by_input: bool) -> int:
    """Return the start of the test part: between two inputs, if there are several."""
    wanted = number * (1 - TEST_SHARE)
    if is_by_input or len(traced) == 1:
        return round(wanted)
    inner = traced.offsets[1:-1]
    return int(inner[np.abs(inner - wanted).argmin()])


def _draw_control(tokens: Sequence[str], classes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Draw a label for each type from the distribution of the labels; return the label of each position."""
    _, which = np.unique(np.array(tokens, np.str_), return_inverse=True)
    drawn = np.random.default_rng(seed).choice(classes, int(which.max()) + 1)
    control: NDArray[np.int64] = drawn[which]
    return control
