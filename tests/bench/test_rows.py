"""The figures of a row against sums by hand."""

import pytest

from elman.bench.limits import PRODUCT, Limit, arithmetic_limit, reading_limit
from elman.bench.rows import Shape, arithmetic_figures, count_layer_flops, count_weight_bytes, make_row, reading_figures
from elman.bench.train import count_step_flops

SECONDS = {"elman": 0.002, "torch": 0.003, "jax": 0.005, "limit": 0.1}


def limit_of(amount):
    return Limit(lambda: None, amount)


def test_a_row_has_times_in_milliseconds_and_their_ratio():
    row = make_row("full", "gru", "forward", Shape(32, 64, 128), 2, SECONDS, {"backend": "fused"})
    assert list(row) == [
        *("table", "cell", "pass", "batch", "time", "hidden_size", "num_layers", "threads"),
        *("elman_ms", "torch_ms", "jax_ms", "ratio", "backend"),
    ]
    assert (row["table"], row["cell"], row["pass"], row["threads"], row["backend"]) == (
        "full",
        "gru",
        "forward",
        2,
        "fused",
    )
    assert (row["batch"], row["time"], row["hidden_size"], row["num_layers"]) == (32, 64, 128, 1)
    assert (row["elman_ms"], row["torch_ms"], row["jax_ms"], row["ratio"]) == pytest.approx((2, 3, 5, 1.5))


def test_arithmetic_is_in_gflops_and_as_a_fraction():
    figures = arithmetic_figures(40_000_000, SECONDS, limit_of(4_000_000_000))  # 20 of 40 GFLOP/s
    assert figures == pytest.approx({"gflops": 20, "peak_fraction": 0.5})


def test_reading_is_in_bytes_per_second_and_as_a_fraction():
    figures = reading_figures(1_000_000, SECONDS, limit_of(200_000_000))  # 0.5 of 2 GB/s
    assert figures == pytest.approx({"bytes_per_second": 5e8, "read_fraction": 0.25})


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_operations_of_a_layer(cell, gates):
    forward = 2 * gates * 2 * 256**2 * 32 * 64
    assert count_layer_flops(cell, "forward", 32 * 64, 256, 256) == forward
    assert count_layer_flops(cell, "forward+backward", 32 * 64, 256, 256) == 3 * forward


def test_bytes_read_per_character():
    assert count_weight_bytes("rnn", Shape(1, 1, 128), 65) == 4 * (128 * 128 + 65 * 128)
    assert count_weight_bytes("lstm", Shape(1, 1, 512, 3), 65) == 4 * (4 * 512 * 512 * (3 + 2) + 65 * 512)


def test_operations_of_a_training_step():
    # 3 passes, 2 operations, 6 tokens: the layers read 64 and 5 numbers, the head writes 65
    assert count_step_flops("lstm", Shape(2, 3, 5, 2)) == 3 * 2 * 6 * (4 * 5 * (64 + 5) + 4 * 5 * (5 + 5) + 5 * 65)


def test_the_limits_count_their_work():
    assert arithmetic_limit().amount == 2 * PRODUCT[0] * PRODUCT[1] * PRODUCT[2]
    limit = reading_limit(4 * 96 * 1024, 96, 1, 3)
    assert limit.amount == pytest.approx(3 * 4 * 96 * 1024, rel=0.1)  # whole panels are read
    limit.work()
