"""Each table with tiny sizes: its rows and keys, and that the timed work computes what it should."""

import math

import pytest
import torch

from elman.bench import generate, kernels, peers, train
from elman.bench.peers import NEEDS, Peer, load_peers
from elman.bench.rows import Shape
from elman.errors import UsageError
from elman.models.language_model import LanguageModel
from elman.nn.cells import CELLS

KEYS = {
    *("table", "cell", "pass", "batch", "time", "hidden_size", "num_layers", "threads"),
    "elman_ms",
}
BESIDE_TORCH = {"torch_ms", "ratio"}
SPEED = {"gflops", "peak_fraction"}


@pytest.fixture(autouse=True)
def small_product(monkeypatch):
    monkeypatch.setattr("elman.bench.limits.PRODUCT", (64, 32, 32))


def check(rows, keys):
    for row in rows:
        has_peer = CELLS[row["cell"]].torch is not None
        assert set(row) == KEYS | keys | (BESIDE_TORCH if has_peer else set())
        numbers = [value for value in row.values() if isinstance(value, int | float)]
        assert all(number > 0 and math.isfinite(number) for number in numbers)
        if has_peer:  # 1e-9: float64 arithmetic
            assert row["ratio"] == pytest.approx(row["torch_ms"] / row["elman_ms"], rel=1e-9)


def test_kernels_full_and_padded():
    shape = Shape(2, 6, 5)
    peer = Peer(
        "jax", (), dict.fromkeys(CELLS, lambda shape: {"forward": lambda: None, "forward+backward": lambda: None})
    )
    rows = list(kernels.bench_kernels(1, [peer], [shape], Shape(3, 7, 5)))
    full, padded = rows[: 2 * len(CELLS)], rows[2 * len(CELLS) :]
    assert [(row["cell"], row["pass"]) for row in full] == [
        (cell, part) for cell in CELLS for part in ("forward", "forward+backward")
    ]
    check(full, SPEED | {"backend", "jax_ms"})
    check(padded, SPEED | {"backend"})
    assert {row["table"] for row in full} == {"full"}
    assert [row["cell"] for row in padded] == list(CELLS)
    assert {(row["table"], row["pass"], row["time"]) for row in padded} == {("padded", "forward+backward", 7)}
    assert {row["backend"] for row in rows} <= {"fused", "torch"}


def test_a_padded_row_counts_true_tokens_only(monkeypatch):
    seen = []
    monkeypatch.setattr(kernels, "count_layer_flops", lambda *arguments: seen.append(arguments) or 1)
    monkeypatch.setattr(kernels, "in_turn", lambda watches, repeats: dict.fromkeys(watches, 1.0))
    list(kernels.bench_kernels(1, shapes=[]))
    lengths = torch.randint(5, 61, (64,), generator=torch.Generator().manual_seed(0))
    assert seen == [(cell, "forward+backward", int(lengths.sum()), 256, 256) for cell in CELLS]
    assert int(lengths.min()) >= 5


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_elman_and_torch_compute_the_same(cell):
    layers = kernels._pair(cell, 5, bidirectional=True)
    x = torch.randn(4, 2, 5)
    # 1e-5: float32, sums of 5
    torch.testing.assert_close(layers["elman"](x)[0], layers["torch"](x)[0], rtol=1e-5, atol=1e-5)


def test_generate_has_a_row_for_each_number_of_threads_and_the_best_time_of_torch(monkeypatch):
    rows = list(generate.bench_generate(1, (1, 2), [Shape(1, 1, 16), Shape(1, 1, 16, 2)]))
    check(rows, {"bytes_per_second", "read_fraction"})
    assert [(row["cell"], row["num_layers"], row["threads"]) for row in rows] == [
        (cell, layers, threads) for cell in ("rnn", "gru", "lstm") for layers in (1, 2) for threads in (1, 2)
    ]
    for one, two in zip(rows[::2], rows[1::2], strict=True):
        assert one["torch_ms"] == two["torch_ms"]
    assert torch.get_num_threads() == 1

    found = {"elman 1": 1.0, "torch 1": 8.0, "limit 1": 1.0, "elman 2": 2.0, "torch 2": 6.0, "limit 2": 1.0}
    monkeypatch.setattr(generate, "in_turn", lambda watches, repeats: {name: found[name] for name in watches})
    one, two = generate._rows("gru", Shape(1, 1, 16), 1, (1, 2))
    assert (one["ratio"], two["ratio"]) == (6.0, 3.0)


def test_train_times_the_steps_of_the_training_loop(monkeypatch):
    def dry_run(self, text):
        assert len(set(text)) == 62
        assert (self.device, self.embedding_size, self.hidden_size) == ("cpu", 64, 8)
        return {"seconds_per_step": {"auto": 0.002, "torch": 0.004}[self.backend]}

    settings = LanguageModel(hidden_size=8, batch_size=2, bptt_length=8)
    monkeypatch.setattr(LanguageModel, "dry_run", dry_run)
    rows = list(train.bench_train(1, settings))
    check(rows[:3], SPEED | {"elman_tokens_per_s", "torch_tokens_per_s"})
    check(rows[3:], SPEED | {"elman_tokens_per_s"})
    for cell, row in zip(("rnn", "gru", "lstm"), rows[:3], strict=True):
        assert (row["cell"], row["pass"], row["batch"], row["time"], row["hidden_size"]) == (cell, "step", 2, 8, 8)
        assert row["ratio"] == pytest.approx(2)
        assert row["elman_tokens_per_s"] == pytest.approx(8000)
        assert row["torch_tokens_per_s"] == pytest.approx(4000)


def test_train_really_trains():
    row = next(train.bench_train(1, LanguageModel(hidden_size=8, batch_size=2, bptt_length=8)))  # of one cell
    assert row["elman_ms"] > 0
    assert len(set(train._random_text(10))) == train.VOCAB_SIZE - 3  # the others are no text


# ---------------------------------------------------------------- peers


def test_an_unknown_or_missing_peer_is_refused(monkeypatch):
    with pytest.raises(UsageError, match='no kera; did you mean "keras"'):
        load_peers(["kera"], 1)
    monkeypatch.setattr(peers, "find_spec", lambda package: None if package == "tensorflow" else "found")
    with pytest.raises(UsageError, match="tensorflow is not installed; pip install keras tensorflow"):
        load_peers(["keras"], 1)
    assert load_peers([], 1) == []


@pytest.mark.parametrize("name", NEEDS)
def test_an_installed_peer_runs_each_cell_in_each_pass(name):
    for package in NEEDS[name]:
        pytest.importorskip(package)
    (peer,) = load_peers([name], 1)
    for cell in ("rnn", "gru", "lstm"):
        for run in peer.runs[cell](Shape(2, 3, 5)).values():
            run()
