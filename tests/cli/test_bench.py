"""``elman bench``: its tables, and the errors for wrong words."""

import json
from functools import partial

import pytest

from elman.bench.generate import bench_generate
from elman.bench.rows import Shape
from elman.cli import bench


def row(cell, part, elman_ms, torch_ms, **figures):
    sizes = {"batch": 32, "time": 64, "hidden_size": 128, "num_layers": 1, "threads": 1}
    times = {"elman_ms": elman_ms, "torch_ms": torch_ms, "ratio": torch_ms / elman_ms}
    return {"table": "full", "cell": cell, "pass": part, **sizes, **times, **figures}


FULL = [
    row("gru", "forward", 2.0, 8.0, gflops=50.4, peak_fraction=0.333, backend="fused"),
    row("gru", "forward+backward", 0.05, 0.05, gflops=70.0, peak_fraction=0.5, backend="torch"),
]


@pytest.fixture
def timed(monkeypatch):
    """Make ``bench kernels`` return these rows, and record its arguments."""
    asked = []

    def bench_kernels(repeats, peers):
        asked.append((repeats, peers))
        yield from FULL

    monkeypatch.setattr("elman.bench.kernels.bench_kernels", bench_kernels)
    return asked


def test_the_table_and_its_means(shell, timed):
    answer = shell("bench", "kernels", "--repeats", 3)
    assert (answer.code, answer.err) == (0, "")
    assert timed == [(3, [])]
    lines = [line.split() for line in answer.out.splitlines()]
    assert ["gru", "forward", "32x64x128", "fused", "2.000", "8.000", "4.00", "50", "33%"] in lines
    assert ["gru", "forward+backward", "32x64x128", "torch", "0.05000", "0.05000", "1.00", "70", "50%"] in lines
    assert "geometric mean of gru's ratios: all 2.00, forward 4.00, forward+backward 1.00" in answer.out
    for part in ("threads 1 (", "python 3.", "torch 2.", "numba 0."):
        assert part in answer.out
    assert max(map(len, answer.out.splitlines())) <= 100


def test_json_is_a_list_of_rows(shell, timed):
    answer = shell("bench", "kernels", "--json")
    assert json.loads(answer.out) == FULL


def test_every_table_fits_the_terminal(capsys):
    peers = {"jax_ms": 1234.567, "keras_ms": 1234.567}
    wide = [{**FULL[1], "batch": 64, "time": 128, "elman_ms": 1234.567, "torch_ms": 1234.567, **peers}]
    reading = {"bytes_per_second": 1e11, "read_fraction": 1.0}
    speed = {"elman_tokens_per_s": 123456.0, "torch_tokens_per_s": 123456.0}
    wide += [{**FULL[1], "table": "padded"}, {**row("lstm", "forward", 1.0, 2.0, **reading), "table": "generate"}]
    wide += [{**row("lstm", "step", 1.0, 2.0, gflops=1.0, peak_fraction=1.0, **speed), "table": "train"}]
    bench.print_tables(wide)
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert max(len(line) for line in printed.splitlines()) <= 100
    assert "units; peak 140 GFLOP/s\n" in printed  # on one line; 70 is half of the peak
    for part in ("1234.6", "123,456", "100.0", "1x128"):
        assert part in printed


def test_generate_takes_one_thread_and_as_many_as_asked_for(shell, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "elman.bench.generate.bench_generate", lambda repeats, threads: asked.append(threads) or iter(())
    )
    monkeypatch.setattr("elman.bench.machine.cores", lambda: 8)
    shell("bench", "generate", "--json")
    shell("bench", "generate", "--json", "--threads", 3)
    shell("bench", "generate", "--json", "--threads", 1)
    assert asked == [[1, 2], [1, 3], [1]]


@pytest.mark.parametrize("what", ["generate", "train"])
def test_the_other_tables_are_printed(shell, monkeypatch, what):
    monkeypatch.setattr("elman.bench.limits.PRODUCT", (64, 32, 32))
    monkeypatch.setattr("elman.bench.generate.bench_generate", partial(bench_generate, shapes=[Shape(1, 1, 8)]))
    monkeypatch.setattr("elman.bench.train.LanguageModel.dry_run", lambda self, text: {"seconds_per_step": 0.1})
    answer = shell("bench", what, "--repeats", 1, "--threads", 1)
    assert answer.code == 0
    for cell in ("rnn", "gru", "lstm"):
        assert f"geometric mean of {cell}'s ratios" in answer.out


WRONG = {
    "bench": ["kernels|generate|train"],
    "bench kernel": ["kernel", 'did you mean "kernels"'],
    "bench kernels --repeats 0": ["repeats is 0", "above zero"],
    "bench kernels --threads -1": ["threads is -1", "above zero"],
    "bench kernels --peers kera": ["kera", 'did you mean "keras"'],
    "bench kernels --peers jax,torchh": ["torchh", "jax, keras"],
    "bench train --peers jax": ["bench train times torch alone", "bench kernels"],
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_usage_is_reported(shell, command):
    answer = shell(*command.split())
    assert answer.code == 2
    assert answer.err.startswith("elman: ")
    for part in WRONG[command]:
        assert part in answer.err


def test_the_error_for_a_missing_peer_names_the_command_to_install_it(shell, monkeypatch):
    monkeypatch.setattr("elman.bench.peers.find_spec", lambda package: None)
    answer = shell("bench", "kernels", "--peers", "jax")
    assert answer.code == 2
    assert "pip install jax" in answer.err
