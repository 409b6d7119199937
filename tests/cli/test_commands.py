"""Every command of ``elman --help``, as a person uses it."""

import csv
import dataclasses
import inspect
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

import elman
from elman.cli import demo
from elman.cli.main import VERBS, main
from elman.cli.program import program
from elman.comparison.language_models import LanguageModelRow
from elman.errors import DataError
from elman.models.language_model import LanguageModel
from elman.models.tasks import TASKS


def test_help_lists_every_command_and_every_exit_code(shell):
    answer = shell("--help")
    assert answer.code == 0
    assert answer == shell() == shell("help") == shell("-h")
    for verb in VERBS:
        assert f"\n  {verb} " in answer.out
    for code in (0, 1, 2, 3, 4, 5, 6, 129, 130, 143):
        assert re.search(rf"\b{code}\b", answer.out)
    assert shell("--version").out == f"elman {elman.__version__}\n"


@pytest.mark.parametrize(
    ("warnings", "expected"), [("aba", "abc"), ("", "c"), ("cab", "cabc"), ("c", "c"), ("cac", "cac")]
)
def test_an_error_is_the_last_line_and_recent_warnings_are_not_repeated(shell, monkeypatch, warnings, expected):
    def run(words):
        for warning in warnings:
            logging.getLogger("elman").warning(warning)
        raise DataError("c")

    monkeypatch.setattr("elman.cli.doctor.run", run)
    answer = shell("doctor")
    assert (answer.code, answer.err) == (3, "".join(f"elman: {line}\n" for line in expected))


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help(capsys, verb):
    words = [verb, "lm", "--help"] if verb in ("train", "compare") else [verb, "--help"]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    assert f"usage: elman {' '.join(words[:-1])}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_a_command_without_a_task_names_the_tasks(shell, verb):
    for words in ([verb], [verb, "--help"]):
        answer = shell(*words)
        assert answer.code == 0
        assert "lm" in answer.out


def docstrings(kind):
    """Return the docstring of each field of a dataclass, from its source; a field without one keeps its base's."""
    found = {}
    for part in reversed([part for part in kind.__mro__ if dataclasses.is_dataclass(part)]):
        found |= docstrings_of(part)
    return found


def docstrings_of(part):
    return dict(re.findall(r'^    (\w+): [^\n]*\n    """(.*?)"""', inspect.getsource(part), re.MULTILINE | re.DOTALL))


def help_of(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    assert stop.value.code == 0
    return capsys.readouterr().out


def flags_in(text):
    return re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)


@pytest.mark.parametrize("task", TASKS)
def test_every_setting_is_a_flag_and_its_docstring_the_help(capsys, task):
    shown = " ".join(help_of(capsys, "train", task, "--help-all").split())
    model = TASKS[task].model_class
    texts = docstrings(model)
    for field in dataclasses.fields(model):
        off = "Switch this off: " if field.default is True else ""
        assert f"--{'no-' if off else ''}{field.name.replace('_', '-')} " in shown, field.name
        assert off + " ".join(texts[field.name].split()) in shown, field.name
    for garble in ("{None}", "(default: )", "None"):
        assert garble not in shown
    assert "data. (default: a tenth of the data" in shown


@pytest.mark.parametrize("verb", ["train", "compare"])
@pytest.mark.parametrize("task", TASKS)
def test_help_shows_the_common_options_and_help_all_shows_all(capsys, verb, task):
    if verb == "compare" and TASKS[task].comparison is None:
        return
    short, long = (help_of(capsys, verb, task, word) for word in ("--help", "--help-all"))
    common, all_of_them = flags_in(short), flags_in(long)
    assert len(set(all_of_them)) == len(all_of_them)
    assert 8 <= len(common) <= 14
    assert set(common) < set(all_of_them)
    assert f"{len(all_of_them) - len(common)} more options: elman {verb} {task} --help-all" in short
    titles = re.findall(r"^(\w+):$", long, re.MULTILINE)
    assert titles == ["Data", "Network", "Training", "Output"]
    assert "more options" not in long


def test_help_fits_the_terminal(capsys, monkeypatch):
    for columns in (100, 80, 40):
        monkeypatch.setenv("COLUMNS", str(columns))
        for verb in VERBS:
            words = [verb, "lm"] if verb in ("train", "compare") else [verb, "show"] if verb == "data" else [verb]
            shown = help_of(capsys, *words, "--help-all")
            too_long = [line for line in shown.splitlines() if len(line) > columns]
            assert all(len(line.split()) <= 2 or line.startswith("usage: ") for line in too_long), too_long
            assert "\033" not in shown


@pytest.mark.parametrize("task", TASKS)
def test_no_two_settings_of_a_task_are_documented_in_the_same_words(task):
    words = [
        " ".join(text.split())
        for part in TASKS[task].model_class.__mro__
        if dataclasses.is_dataclass(part)
        for text in docstrings_of(part).values()
    ]
    assert len(words) == len(set(words))


# ---------------------------------------------------------------- train


def test_train_saves_a_model_and_prints_its_figures(shell, tmp_path, easy_file, tiny_flags):
    answer = shell("train", "lm", easy_file, "--out", tmp_path / "m", *tiny_flags)
    assert answer.code == 0
    model = elman.load(tmp_path / "m")
    assert f"{model.metrics_['valid']['nats_per_token']:.4f} nats/token" in answer.out
    assert "step 4: valid" in answer.err
    assert model.hidden_size == 8


def test_train_reads_several_files_as_one_text(shell, tmp_path, easy, tiny_flags):
    (tmp_path / "a").write_text(easy[:500])
    (tmp_path / "b").write_text(easy[500:])
    assert shell("train", "lm", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "m", *tiny_flags).code == 0
    (tmp_path / "c").write_text(easy)
    assert shell("train", "lm", tmp_path / "c", "--out", tmp_path / "n", *tiny_flags).code == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "mn"]
    assert weights[0] == weights[1]


def test_options_override_the_config_file_and_the_file_overrides_defaults(shell, tmp_path, easy_file):
    (tmp_path / "settings.toml").write_text(
        'cell = "gru"\nhidden-size = 6\nembedding_size = 4\nminutes = 5\nevaluations = 1\nlines = true\n'
    )
    words = ["--config", tmp_path / "settings.toml", "--hidden-size", 7, "--steps", 3]
    assert shell("train", "lm", easy_file, "--out", tmp_path / "m", *words).code == 0
    settings = json.loads((tmp_path / "m" / "config.json").read_text())["settings"]
    assert (settings["cell"], settings["hidden_size"], settings["lines"]) == ("gru", 7, True)
    assert (settings["minutes"], settings["steps"]) == (None, 3)
    assert settings["learning_rate"] == LanguageModel().learning_rate
    assert set(settings) == {field.name for field in dataclasses.fields(LanguageModel)}  # all are resolved and saved


def test_init_from_adopts_the_architecture(shell, tmp_path, easy_file, saved):
    words = ["--init-from", saved, "--steps", 2, "--evaluations", 1, "--batch-size", 2, "--bptt-length", 8]
    assert shell("train", "lm", easy_file, "--out", tmp_path / "m", *words).code == 0
    assert elman.load(tmp_path / "m").hidden_size == 8
    answer = shell("train", "lm", easy_file, "--out", tmp_path / "n", *words, "--cell", "gru")
    assert answer.code == 2
    assert "cell is 'lstm' there and 'gru' here" in answer.err


def test_a_dry_run_predicts_and_writes_nothing(shell, tmp_path, easy_file, tiny_flags, saved):
    answer = shell("train", "lm", easy_file, "--out", tmp_path / "m", *tiny_flags, "--dry-run")
    assert answer.code == 0
    figures = dict(line.split(None, 1) for line in answer.out.splitlines())
    assert figures["parameters"] == f"{elman.load(saved).metrics_['parameters']:,}"
    assert figures["steps"].startswith("4 ")
    assert {"memory", "time"} <= set(figures)
    assert not (tmp_path / "m").exists()


def test_a_sample_needs_no_file(shell, tmp_path, tiny_flags):
    assert shell("train", "lm", "sample:studies", "--out", tmp_path / "m", *tiny_flags, "--steps", 1).code == 0


# ---------------------------------------------------------------- generate


def test_generate_prints_the_prompt_and_continues_it(shell, saved):
    answer = shell("generate", saved, "--prompt", "the ", "--max-tokens", 20, "--seed", 3)
    assert answer.code == 0
    text = elman.load(saved).generate("the ", max_tokens=20, seed=3)
    assert answer.out == f"the {text}\n"
    flags = ["--temperature", 2, "--top-k", 5, "--top-p", 0.9, "--repetition-penalty", 1.2]
    named = {"temperature": 2.0, "top_k": 5, "top_p": 0.9, "repetition_penalty": 1.2}
    text = elman.load(saved).generate("the ", max_tokens=20, seed=3, **named)
    assert shell("generate", saved, "--prompt", "the ", "--max-tokens", 20, "--seed", 3, *flags).out == f"the {text}\n"


def test_generate_writes_several_samples_and_stops(shell, saved, tmp_path):
    model = elman.load(saved)
    answer = shell("generate", saved, "--num-samples", 2, "--seed", 5, "--max-tokens", 30, "--stop", "o", "--stop", "e")
    texts = model.generate(max_tokens=30, num_samples=2, seed=5, stop=["o", "e"])
    assert answer.out == f"--- sample 1 of 2\n{texts[0]}\n--- sample 2 of 2\n{texts[1]}\n"
    (tmp_path / "prompt").write_text("the lazy ")
    answer = shell("generate", saved, "--prompt-file", tmp_path / "prompt", "--greedy", "--max-tokens", 9)
    assert answer.out == model.generate("the lazy ", greedy=True, max_tokens=9) + "\n"
    assert shell("generate", saved, "--max-tokens", 0).out == "\n"


# ---------------------------------------------------------------- predict, evaluate, info


def test_predict_reads_a_named_pipe(shell, saved, tmp_path):
    text = "the quick brown fox\n"
    (tmp_path / "text.txt").write_text(text)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(text,))
    writer.start()
    answer = shell("predict", saved, tmp_path / "pipe")
    writer.join()
    assert answer.code == 0, answer.err
    assert answer.out == shell("predict", saved, tmp_path / "text.txt").out


def test_predict_writes_a_table(shell, saved, tmp_path):
    path = tmp_path / "text"
    path.write_text("the\tfox\\\nab")
    answer = shell("predict", saved, path)
    assert answer.code == 0
    rows = list(csv.DictReader(io.StringIO(answer.out), delimiter="\t", quoting=csv.QUOTE_NONE))
    expected = list(elman.load(saved).predict(path))
    assert [row["token"] for row in rows] == ["t", "h", "e", "<unk>", "f", "o", "x", "<unk>", "\\n", "a", "b"]
    assert rows[0]["surprisal"] == "NA"
    # 1e-6: six digits are printed
    assert [float(row["surprisal"]) for row in rows[1:]] == pytest.approx([nats for _, nats in expected[1:]], abs=1e-6)


def test_evaluate_reproduces_the_figures_saved_in_training(shell, saved):
    answer = shell("evaluate", saved, saved.parent / "valid.txt", "--json")
    assert answer.code == 0
    metrics = json.loads((saved / "metrics.json").read_text())
    assert json.loads(answer.out) == metrics["valid"]
    assert {"nats_per_token", "bits_per_character", "perplexity", "tokens", "unknown"} <= set(metrics["valid"])
    plain = shell("evaluate", saved, saved.parent / "valid.txt").out
    figures = dict(line.split() for line in plain.splitlines())
    assert set(figures) == set(metrics["valid"])
    assert float(figures["nats_per_token"]) == pytest.approx(metrics["valid"]["nats_per_token"], abs=1e-4)


def test_info_shows_settings_and_parameters(shell, saved):
    answer = shell("info", saved)
    assert answer.code == 0
    for part in ("rnn.weight_hh_l0", "32 x 8", "U (hidden to hidden)", "hidden_size", "nats_per_token"):
        assert part in answer.out
    assert f"{elman.load(saved).metrics_['parameters']:,} parameters" in answer.out


# ---------------------------------------------------------------- compare, demo


def test_compare_evaluates_all_models_on_the_same_tokens(shell, easy_file, tiny_flags):
    words = ["compare", "lm", easy_file, "--models", "ngram:3,window:2,lstm:1x6,rnn", *tiny_flags, "--steps", 2]
    answer = shell(*words, "--json")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)
    assert [row["model"] for row in rows] == ["ngram:3", "window:2", "lstm:1x6", "rnn"]
    for row in rows:
        assert row["perplexity"] > 1
        # 1e-12: float64 arithmetic
        assert row["bits_per_character"] == pytest.approx(
            row["nats_per_token"] * rows[0]["bits_per_character"] / rows[0]["nats_per_token"], rel=1e-12
        )
    table = shell(*words).out
    for row in rows:
        assert f"{row['nats_per_token']:.4f}" in table
        assert f"{row['model']} writes" in table


def test_the_demo_runs_and_leaves_a_model(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = shell("demo", "--seconds", 1.2)
    assert answer.code == 0, answer.err
    assert "ngram:5" in answer.out
    assert "lstm:1x192" in answer.out  # the smallest of its networks, in so little time
    printed = " ".join(answer.out.split())
    more = re.search(r"The LSTM is still behind: .* in about (\d+) minutes\. elman demo --minutes (\d+) ", printed)
    assert more
    assert more[1] == more[2]
    assert elman.load("runs/demo").generate("The", max_tokens=3, seed=1)
    assert "elman generate runs/demo" in answer.out


def test_the_demo_says_that_the_network_wins(shell, tmp_path, monkeypatch):
    figures = {"bits_per_character": 12.98, "perplexity": 8103.1, "parameters": 1, "memory_bytes": 1, "seconds": 0.0}
    figures["perplexity_per_word"] = 8103.1
    markov = LanguageModelRow(model="ngram:5", nats_per_token=9.0, unseen_contexts=0.5, sample="zz", **figures)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("elman.comparison.language_models.compare_language_models", lambda *_: iter([markov]))
    answer = shell("demo", "--seconds", 1, "--out", "my demo")
    assert answer.code == 0, answer.err
    nats = elman.load("my demo").metrics_["valid"]["nats_per_token"]
    assert f"The LSTM wins: {nats:.3f} nats/char against 9.000." in answer.out
    assert "still behind" not in answer.out
    assert "elman info 'my demo'" in answer.out


@pytest.mark.parametrize(
    ("seconds", "on_one_thread", "hidden_size", "threads"),
    [
        (0.001, 0.002, 384, None),
        (0.044, 0.044, 384, None),  # 60 s * 0.9 / 1200 steps = 0.045
        (0.046, 0.046, 256, None),
        (0.057, 0.057, 256, None),  # 54 s / 1400 steps = 0.0386 for a step of 256 units, of 384 half as much again
        (0.059, 0.059, 192, None),
        (10.0, 20.0, 192, None),
        (10.0, 0.5, 192, 1),  # a busy machine
    ],
)
def test_the_demo_takes_the_largest_network_that_wins(monkeypatch, seconds, on_one_thread, hidden_size, threads):
    costs = {384: 1.0, 256: 2 / 3, 192: 0.4}

    def predict(model, text):
        per_step = (seconds if model.threads is None else on_one_thread) * costs[model.hidden_size]
        return {"steps": int(60 * model.minutes / per_step)}

    monkeypatch.setattr(LanguageModel, "dry_run", predict)
    chosen = demo.choose_network(LanguageModel(minutes=1), "")
    assert (chosen.hidden_size, chosen.threads) == (hidden_size, threads)


def test_printed_commands_use_a_name_that_the_shell_finds(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for folder in (".venv/bin", "my bin"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "elman").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    for called, printed in {
        ".venv/bin/elman": ".venv/bin/elman",
        str(tmp_path / ".venv/bin/elman"): ".venv/bin/elman",
        "my bin/elman": "'my bin/elman'",
        "/usr/bin/pytest": "elman",
    }.items():
        monkeypatch.setattr(sys, "argv", [called])
        assert program() == printed
    monkeypatch.setattr(sys, "argv", [str(tmp_path / ".venv/bin/elman")])
    monkeypatch.setenv("PATH", str(tmp_path / ".venv/bin"))
    assert program() == "elman"


# ---------------------------------------------------------------- the process


def loaded_modules(code):
    program = f"import sys\n{code}\nprint(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"torch", "numpy", "tyro", "rich", "matplotlib", "lightning_fabric", "tokenizers", "safetensors", "sklearn"}


def test_help_imports_nothing_heavy():
    assert not HEAVY & loaded_modules("from elman.cli.main import main\nassert main(['--help']) == 0")


def test_the_help_of_a_command_does_not_import_torch():
    code = f"""
from elman.cli.main import main
for verb in {list(VERBS)}:
    words = [verb, "lm"] if verb in ("train", "compare") else [verb, "list"] if verb == "data" else [verb]
    for asked in (["help", *words], [*words, "--help"], [*words, "--help-all"], [verb, "--help"]):
        try:
            main(asked)
        except SystemExit as stop:
            assert stop.code == 0"""
    assert not HEAVY - {"tyro"} & loaded_modules(code)


def test_importing_elman_imports_nothing_heavy():
    assert not HEAVY & loaded_modules("import elman\nassert 'LanguageModel' in dir(elman)")


def test_a_loaded_model_needs_neither_fabric_nor_matplotlib_nor_scikit_learn(saved):
    code = f"import elman\nelman.load({str(saved)!r}).generate('the', max_tokens=2)"
    assert not {"lightning_fabric", "matplotlib", "sklearn", "tyro", "rich"} & loaded_modules(code)


def test_a_closed_pipe_is_not_an_error(saved, start_elman):
    before = """
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 1)
sys.stdout = open(1, "w", buffering=1, closefd=False)
"""
    answer = start_elman("generate", saved, "--max-tokens", 50, before=before).wait()
    assert (answer.code, answer.err) == (0, "")


def test_ctrl_c_while_writing_ends_quietly(saved, start_elman):
    running = start_elman("generate", saved, "--max-tokens", 10**9)
    running.wait_for_output()
    running.send(signal.SIGINT)
    answer = running.wait()
    assert (answer.code, answer.err) == (130, "elman: interrupted\n")
    assert answer.out
