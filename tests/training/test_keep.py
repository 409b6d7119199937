"""Which weights are kept: of the best validation, of the last step, or the average over the last fifth."""

import numpy as np
import pytest
import torch
from torch import nn

from elman import Classifier, Tagger
from elman.errors import UsageError
from elman.training import loop
from elman.training.checkpoint import load_checkpoint
from elman.training.progress import Progress
from elman.training.schedule import TrainingSettings
from elman.training.state import RunState


class Pull:
    """A network of one number, which the loss of each step pulls up; its error is smallest on the way."""

    def __init__(self):
        self.network = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        self.seen = []

    def objective(self, metrics):
        return (metrics["error"],)

    def plan(self, passes):
        pass

    def training_step(self, batch, carry):
        self.seen.append(self.network.weight.item())
        return -self.network.weight.sum(), 1, None

    def validate(self):
        return {"error": abs(self.network.weight.item() - 0.2)}

    def sample(self):
        return ""


class Nothing:
    first = True

    def __len__(self):
        return 5

    def batch(self, step):
        return self

    def to(self, device):
        return self


def train(keep, **options):
    task = Pull()
    settings = TrainingSettings(steps=40, learning_rate=0.05, weight_decay=0, evaluations=40, patience=0, keep=keep)
    state = loop.train(task, Nothing(), settings, progress=Progress(), **options)
    return state, [*task.seen[1:], task.network.weight.item()]


def test_the_best_the_last_and_the_average():
    state, weights = train("best")  # after each step
    errors = [abs(weight - 0.2) for weight in weights]
    assert state.best["step"] == int(np.argmin(errors)) + 1 < 40
    assert state.best["network"]["weight"].item() == weights[state.best["step"] - 1]
    state, again = train("last")
    assert again == weights
    assert state.best["step"] == 40
    assert state.best["network"]["weight"].item() == weights[-1]
    state, _ = train("average")
    mean = state.best["network"]["weight"].item()
    assert mean == pytest.approx(np.mean(weights[32:]), rel=1e-6)  # float32
    assert state.best["metrics"]["error"] == pytest.approx(abs(mean - 0.2))


def test_a_resumed_average_has_the_same_bits(tmp_path, monkeypatch):
    whole, _ = train("average")
    saved = {}
    plain = loop.Keeper.save

    def save(self, state):
        plain(self, state)
        if state.step == 36:  # in the middle of the average
            saved.update(load_checkpoint(self.path))

    monkeypatch.setattr(loop.Keeper, "save", save)
    train("average", checkpoint=tmp_path / "c")
    resumed, _ = train("average", resume=saved)
    assert torch.equal(resumed.best["network"]["weight"], whole.best["network"]["weight"])


def test_whole_numbers_in_the_weights_are_not_averaged():
    state = RunState()
    for number in (1, 2, 6):
        state.add_to_average({"w": torch.full((2,), float(number)), "count": torch.tensor(number)})
    assert state.average["network"]["w"].tolist() == pytest.approx([3.0, 3.0])
    assert state.average["network"]["count"].item() == 6


@pytest.mark.parametrize("keep", ["best", "last", "average"])
def test_a_model_keeps_what_is_asked_for(keep):
    texts, labels = ["a b", "c d"] * 20, ["x", "y"] * 20
    model = Classifier(hidden_size=4, embedding_size=4, steps=6, keep=keep).fit(texts, labels)
    assert (model.metrics_["train"]["best_step"] == 6) or keep == "best"
    assert model.predict_proba(texts).shape == (40, 2)
    with pytest.raises(UsageError, match="it is one of best, last, average"):
        Classifier(keep="first").fit(texts, labels)


@pytest.mark.parametrize(
    ("model", "figure", "count"), [(Classifier, "accuracy", "examples"), (Tagger, "span_f1", "tokens")]
)
def test_few_held_out_examples_choose_by_the_loss(model, figure, count):
    better_figure, better_loss = {figure: 0.9, "nats_per_target": 0.6}, {figure: 0.8, "nats_per_target": 0.4}
    for number, expected in [(27, better_loss), (99, better_loss), (100, better_figure), (10_000, better_figure)]:
        ranked = [better_figure, better_loss]
        assert min(ranked, key=lambda one: model()._rank({**one, count: number}, figure)) is expected
