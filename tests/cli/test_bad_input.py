"""Every mistake in the input ends in one or two lines that name it and the remedy; nothing on disk changes."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture
def refused(shell, saved, tmp_path, monkeypatch, easy):
    """Run a command that must fail, and return its message."""
    monkeypatch.chdir(tmp_path)
    Path("easy.txt").write_text(easy)

    def run(code, words):
        before = {path: path.read_bytes() for path in saved.iterdir()}
        answer = shell(*[str(saved) if word == "MODEL" else word for word in words])
        assert answer.code == code, answer.err
        lines = answer.err.splitlines()
        assert len(lines) <= 2
        assert lines[0].startswith("elman: ")
        assert "Traceback" not in answer.err
        assert not answer.out
        assert not Path("out").exists()
        assert {path: path.read_bytes() for path in saved.iterdir()} == before
        return answer.err

    return run


TRAIN = ["train", "lm", "easy.txt", "--out", "out"]

USAGE = {  # the command, and parts of the error
    "trian lm easy.txt": ["trian", 'did you mean "train"'],
    "transmogrify": ["transmogrify", "elman --help"],
    "train lmm easy.txt": ["lmm", 'did you mean "lm"'],
    "compare nothing": ["nothing", "lm"],
    "train lm --out out": ["needs a file", "FILE"],
    "train lm sample:studis --out out": ["studis", 'did you mean "studies"'],
    "generate": ["saved model"],
    "evaluate MODEL": ["FILE"],
    "generate MODEL extra": ["extra", "--prompt"],
    "info MODEL extra": ["extra", "--help"],
    "generate MODEL --top-p 1.5": ["--top-p is 1.5", "at most 1"],
    "generate MODEL --top-p 0": ["--top-p is 0", "above 0"],
    "generate MODEL --temperature 0": ["temperature is 0", "above zero", "--greedy"],
    "generate MODEL --temperature warm": ["--temperature", "'warm'"],
    "generate MODEL --top-k -2": ["--top-k is -2", "at least 1"],
    "generate MODEL --max-tokens -1": ["max_tokens is -1", "at least zero"],
    "generate MODEL --num-samples 0": ["--num-samples is 0", "at least 1"],
    "generate MODEL --repetition-penalty -1": ["--repetition-penalty is -1", "above zero"],
    "generate MODEL --stop=": ["stop string is empty"],
    "generate MODEL --prompt a --prompt-file easy.txt": ["--prompt and --prompt-file"],
    "generate MODEL --temprature 1": ["--temprature", "did you mean --temperature?"],
    "compare lm easy.txt --models nonsense": ["nonsense", "ngram, window, rnn, gru, lstm, mingru"],
    "compare lm easy.txt --models lstmm": ["lstmm", 'did you mean "lstm"'],
    "compare lm easy.txt --models lstm:axb": ["axb", "lstm:LAYERSxUNITS"],
    "compare lm easy.txt --models lstm:0x5": ["model lstm:0x5: num_layers is 0", "above zero"],
    "compare lm easy.txt --models ngram:0": ["model ngram:0: order is 0", "above zero"],
    "compare lm easy.txt --models window:-1": ["model window:-1: window is -1", "above zero"],
    "demo --minutes -1": ["--minutes is -1", "above zero"],
}


@pytest.mark.parametrize("command", USAGE)
def test_wrong_usage_is_reported(refused, command):
    message = refused(2, command.split())
    for part in USAGE[command]:
        assert part in message


FLAGS = {
    "--cell lstn": ['"lstn"', "rnn, gru, lstm, mingru, window", 'did you mean "lstm"'],
    "--level wrd": ['"wrd"', "char, word, space, bpe", 'did you mean "word"'],
    "--device gpu": ['"gpu"', "auto, cpu, cuda"],
    "--precision 16": ['"16"', "32-true, bf16-mixed"],
    "--hiden-size 5": ["--hiden-size", "did you mean --hidden-size?"],
    "--hidden-size many": ["--hidden-size", "'many'"],
    "--hidden-size": ["--hidden-size"],
    "--hidden-size -4": ["--hidden-size is -4", "above zero"],
    "--hidden-size 0": ["--hidden-size is 0", "above zero"],
    "--num-layers 0": ["--num-layers is 0", "above zero"],
    "--batch-size -1": ["--batch-size is -1", "above zero"],
    "--steps 1.5": ["--steps", "1.5"],
    "--steps 0": ["--steps is 0", "above zero"],
    "--minutes -3": ["--minutes is -3", "above zero"],
    "--epochs nan": ["--epochs is nan", "above zero"],
    "--steps 3 --minutes 1": ["--minutes and --steps", "one of them"],
    "--steps 3 --epochs 1 --minutes 1": ["--minutes and --epochs and --steps", "one of them"],
    "--learning-rate inf": ["--learning-rate is inf", "above zero"],
    "--dropout 1.5": ["--dropout is 1.5", "below 1"],
    "--valid-fraction 1": ["--valid-fraction is 1", "below 1"],
    "--seed -1": ["--seed is -1", "at least zero"],
    "--threads 0": ["--threads is 0", "above zero"],
    "--encoding utf9": ["utf9", "did you mean"],
    "--vectors v.txt": ['--level is "char"', "word", "leave out --vectors"],
    "--level bpe --vocab-size 100": ["100", "at least 259"],
    "--level word --vocab-size 3": ["3", "too small"],
    "--resume --overwrite": ["one of them"],
    "--config nowhere.toml": ["nowhere.toml", "No such file"],
}


@pytest.mark.parametrize("flags", FLAGS)
def test_a_wrong_flag_is_reported(refused, flags):
    message = refused(2, [*TRAIN, *flags.split()])
    for part in FLAGS[flags]:
        assert part in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is present")
def test_a_missing_gpu_is_reported(refused):
    assert "cpu" in refused(2, [*TRAIN, "--device", "cuda"])


TOML = {
    "hidden_size = \n": ["line 1"],
    "hiden_size = 5": ["hiden_size", 'did you mean "hidden_size"'],
    'hidden_size = "big"': ["hidden_size is 'big'", "whole number"],
    "hidden_size = 12.5": ["hidden_size is 12.5", "whole number"],
    "seed = true": ["seed is True", "whole number"],
    'cell = "lstn"': ['"lstn"', 'did you mean "lstm"'],
    "cell = 5": ["5", "lstm"],
    "[model]\nhidden_size = 5": ["model"],
    "hidden_size = -5": ["--hidden-size is -5", "above zero"],
}


@pytest.mark.parametrize("content", TOML)
def test_a_wrong_config_is_reported(refused, content):
    Path("settings.toml").write_text(content)
    message = refused(2, [*TRAIN, "--config", "settings.toml"])
    for part in TOML[content]:
        assert part in message


CONFIGS = {  # what the file holds, and a part of the error
    "not UTF-8": (b"seed = 1\ncell = '\xe9'", "not valid UTF-8 in line 2"),
    "UTF-16": ("seed = 1".encode("utf-16"), "not valid UTF-8 in line 1"),
    "a number of 5,000 digits": (b"seed = " + b"9" * 5000, "4300 digits"),
    "a number of 30 digits": (b"seed = " + b"9" * 30, "seed is 9999"),
    "an infinite number": (b"minutes = inf", "minutes is"),
    "no number": (b"learning_rate = nan", "learning_rate is"),
    "a date": (b"seed = 1979-05-27", "seed is"),
    "a list": (b"hidden_size = [1, 2]", "hidden_size is [1, 2]"),
    "a table": (b"hidden_size = {a = 1}", "hidden_size is {'a': 1}"),
    "a list in lists": (b"a = " + b"[" * 9000, "nested too deeply"),
    "a NUL": (b"seed = \0", "line 1"),
    "an escaped line break": (b'"a\\nb" = 1', "'a\\nb'"),
    "two of one name": (b"seed = 1\nseed = 2\n", "Cannot overwrite"),
    "two spellings": (b"hidden-size = 1\nhidden_size = 2", "hidden_size is there twice"),
    "lines that end in CR": (b"seed = 1\rhidden_size = = 8\r", "line 2"),
    "a mark of its byte order": (b"\xef\xbb\xbfhidden_size = 0", "--hidden-size is 0"),
    "too much": (b"#" * (1 << 20), "more than 16,384 bytes"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_cannot_be_used_is_reported(refused, case):
    content, part = CONFIGS[case]
    Path("settings.toml").write_bytes(content)
    message = refused(2, [*TRAIN, "--config", "settings.toml"])
    assert message.startswith("elman: --config settings.toml: ") or "--hidden-size is 0" in part
    assert part in message
    assert message.count("\n") == 1


def test_a_config_that_is_not_a_regular_file_is_refused(refused):
    os.mkfifo("pipe")
    assert "not a regular file" in refused(2, [*TRAIN, "--config", "pipe"])
    assert "not a regular file" in refused(2, [*TRAIN, "--config", "/dev/zero"])
    Path("folder").mkdir()
    assert "Is a directory" in refused(2, [*TRAIN, "--config", "folder"])


EMPTY = ["train lm easy.txt --out=", "train lm FILE --out out", "generate FILE", "info FILE", "evaluate MODEL FILE"]


@pytest.mark.parametrize("command", [*EMPTY, "predict MODEL FILE", "compare lm FILE", "demo --out="])
def test_an_empty_name_is_reported(refused, command):
    assert "empty" in refused(2, ["" if word == "FILE" else word for word in command.split()])


LARGE = ["generate MODEL --seed", "generate MODEL --max-tokens", "data show topics --lines", "bench kernels --threads"]


@pytest.mark.parametrize("command", [*LARGE, "train lm easy.txt --out out --seed", "bench kernels --repeats"])
@pytest.mark.parametrize("number", ["99999999999999999999999", "9" * 5000, "1e400"])
def test_a_number_that_is_too_large_is_reported(refused, command, number):
    assert command.split()[-1] in refused(2, [*command.split(), number])


def test_control_characters_are_escaped(refused):
    assert "\\x1b[31m" in refused(2, ["\x1b[31m"])
    assert "no\\x1b\\udcff: no such folder" in refused(4, ["info", "no\x1b\udcff"])


DATA = {
    "empty file": (b"", ["bad.txt", "is empty"]),
    "shorter than one chunk": (b"hello there", ["bad.txt", "9 tokens", "at least 128", "--bptt-length"]),
    "invalid UTF-8": (
        b"one\ntwo\ncaf\xe9 au lait\n" * 50,
        ["bad.txt", "byte 11 (line 3)", "utf-8", "--encoding cp1252"],
    ),
    "UTF-16": ("héllo\n".encode("utf-16") * 50, ["byte 0 (line 1)", "--encoding utf-16"]),
}


@pytest.mark.parametrize("case", DATA)
def test_a_text_that_cannot_be_used_is_reported(refused, case):
    content, parts = DATA[case]
    Path("bad.txt").write_bytes(content)
    message = refused(3, ["train", "lm", "bad.txt", "--out", "out"])
    for part in parts:
        assert part in message


def test_the_suggested_encoding_works(refused, shell, tiny_flags):
    Path("latin.txt").write_bytes("café au lait\n".encode("cp1252") * 60)
    message = refused(3, ["train", "lm", "latin.txt", "--out", "out", *tiny_flags])
    encoding = message.split("try --encoding ")[1].split()[0]
    assert shell("train", "lm", "latin.txt", "--out", "out", *tiny_flags, "--encoding", encoding).code == 0
    assert "é" in Path("out/tokenizer.json").read_text(encoding="utf-8")
    assert shell("evaluate", "out", "latin.txt").code == 0  # the model remembers the encoding


@pytest.mark.parametrize("command", ["train lm {} --out out", "predict MODEL {}", "evaluate MODEL {}", "compare lm {}"])
def test_a_file_that_cannot_be_opened_is_reported(refused, command):
    Path("folder").mkdir()
    for name, part in {
        "folder": "is a folder",
        "esy.txt": 'did you mean "easy.txt"',
        "nowhere/a.txt": "nor a folder nowhere",
    }.items():
        code_words = command.format(name).split()
        if code_words[0] == "compare":
            code_words += ["--models", "ngram:2"]
        message = refused(3, code_words)
        assert name in message
        assert part in message


def test_a_missing_second_file_is_reported(refused):
    assert "easy.txt" in refused(3, [*TRAIN, "--valid", "eassy.txt"])
    assert "easy.txt" in refused(3, ["generate", "MODEL", "--prompt-file", "eassy.txt"])
    assert "no such folder" in refused(4, [*TRAIN, "--init-from", "nowhere"])
    assert "v.vec" in refused(3, [*TRAIN, "--level", "word", "--bptt-length", "8", "--vectors", "v.vec"])


def test_an_existing_model_is_not_overwritten(refused):
    message = refused(4, ["train", "lm", "easy.txt", "--out", "MODEL"])
    assert "--out" in message
    assert "--overwrite" in message


@pytest.mark.parametrize("verb", ["generate MODEL", "predict MODEL easy.txt", "evaluate MODEL easy.txt", "info MODEL"])
def test_a_missing_model_is_reported(refused, verb):
    assert "no such folder" in refused(4, verb.replace("MODEL", "nowhere").split())
    Path("folder").mkdir()
    assert "holds no model" in refused(4, verb.replace("MODEL", "folder").split())
    assert "easy.txt" in refused(4, verb.replace("MODEL", "easy.txt").split())


def test_a_folder_that_cannot_be_created_is_reported(refused):
    assert "another with --out" in refused(6, ["train", "lm", "easy.txt", "--out", "easy.txt"])
    assert "another with --out" in refused(6, ["train", "lm", "easy.txt", "--out", "easy.txt/deeper"])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_reported(refused):
    Path("locked").mkdir(mode=0o500)
    assert "Permission denied" in refused(6, ["train", "lm", "easy.txt", "--out", "locked"])


def test_a_prompt_that_is_not_valid_unicode_is_accepted(shell, saved):
    answer = shell("generate", saved, "--prompt", "the \udcff", "--max-tokens", 3)
    assert answer.code == 0
    assert answer.out.startswith("the ?")


def test_an_interruption_before_training_is_reported(monkeypatch, shell, easy_file):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("elman.data.text.Text.__init__", interrupt)
    answer = shell("train", "lm", easy_file, "--out", easy_file.parent / "m")
    assert (answer.code, answer.err) == (130, "elman: interrupted\n")
