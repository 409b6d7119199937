"""The mistakes of a first hour: each error names the remedy."""

import logging
import os
import shlex
import stat
import subprocess
import sys

import pytest


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_the_error_for_a_file_before_the_model_is_the_right_command(shell, saved, easy_file, verb):
    answer = shell(verb, easy_file, saved)
    assert answer.code == 2
    command = answer.err.rpartition(": ")[2].strip()
    assert command == f"elman {verb} {saved} {easy_file}"
    assert shell(*shlex.split(command)[1:]).code == 0


@pytest.mark.parametrize("option", ["--prompt", "--prompt-file"])
def test_the_error_for_a_text_beside_the_model_is_the_right_command(shell, saved, easy_file, option):
    text = str(easy_file) if option == "--prompt-file" else "the quick"
    for words in ([saved, text], [text, saved]):
        answer = shell("generate", *words, "--max-tokens", 3)
        assert answer.code == 2
        command = answer.err.partition(": elman ")[2].strip()
        assert shlex.split(command) == ["generate", str(saved), option, text, "--max-tokens", "3"]
        assert shell(*shlex.split(command)).code == 0


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_the_error_for_a_file_before_the_task_is_the_right_command(shell, easy_file, verb):
    answer = shell(verb, easy_file, "lm", "--steps", 3)
    assert (answer.code, answer.err) == (2, f"elman: the task comes first: elman {verb} lm {easy_file} --steps 3\n")
    answer = shell(verb, easy_file, "--steps", 3)
    assert answer.code == 2
    assert f"the task comes first: elman {verb} TASK {easy_file} --steps 3, where TASK is one of lm, " in answer.err


def test_the_error_for_a_task_without_a_verb_is_the_right_command(shell, easy_file):
    answer = shell("lm", easy_file)
    assert (answer.code, answer.err) == (
        2,
        f"elman: lm is a task, and a command comes first: elman train lm {easy_file}\n",
    )


@pytest.mark.parametrize("words", ["info FILE", "predict FILE x.txt", "evaluate FILE x.txt", "generate FILE"])
def test_a_file_in_place_of_a_model_is_reported(shell, easy_file, words):
    answer = shell(*words.replace("FILE", str(easy_file)).split())
    assert answer.code == 4
    assert f"{easy_file}: is a file, and a model is a folder" in answer.err


MISTAKES = [
    "train lm nothing.txt",
    "train lm input.txt --minutes -1",
    "train lm input.txt --cell LSTM",
    "train lm --steps 3",
    "predict model nothing.txt",
    "predict input.txt model",
    "evaluate input.txt model",
    "generate input.txt model",
    "info input.txt",
    "bench kernel",
]


def test_mistakes_are_reported_before_torch_is_imported(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").touch()
    (tmp_path / "input.txt").write_text("a text\n" * 50)
    code = f"""
import sys
from elman.cli.main import main
for mistake in {MISTAKES}:
    assert main(mistake.split()) in (2, 3, 4), mistake
    assert "torch" not in sys.modules, mistake"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("elman: ") == len(MISTAKES)


def test_help_before_a_verb_prints_its_help(capsys):
    from elman.cli.main import main

    shown = []
    for words in (["help", "generate"], ["generate", "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert not stop.value.code
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != ""
    assert main(["help", "train"]) == main(["train"]) == 0
    assert len(set(capsys.readouterr().out.split("usage: ")[1:])) == 1
    assert main(["help", "trian"]) == 2


def test_training_from_a_pipe_is_refused_with_a_remedy(shell, tmp_path):
    answer = shell("train", "lm", "-", "--out", tmp_path / "m")
    assert answer.code == 2
    assert "save them in a file" in answer.err


@pytest.mark.parametrize("word", ["--out=", "--init-from=", "--config="])
def test_an_empty_name_is_reported(shell, easy_file, tmp_path, word):
    answer = shell("train", "lm", easy_file, "--out", tmp_path / "m", word)
    assert answer.code == 2
    assert f"{word[:-1]}: the name is empty" in answer.err


def test_a_picture_in_another_format_is_refused_before_anything_is_read(shell, tmp_path):
    for words in (
        ["predict", "nowhere", "a.txt", "--attention", tmp_path / "look.png"],
        ["evaluate", "nowhere", "a.txt", "--confusion", tmp_path / "look.PNG"],
        ["generate", "nowhere", "--roll", tmp_path / "look.pdf"],
    ):
        answer = shell(*words)
        assert answer.code == 2
        assert f"name it {tmp_path / 'look.svg'}" in answer.err


def test_printed_commands_quote_names_with_blanks(shell, tmp_path, easy_file, tiny_flags):
    folder = tmp_path / "my first model"
    answer = shell("train", "lm", easy_file, "--out", folder, *tiny_flags)
    assert answer.code == 0
    (command,) = [line for line in answer.out.splitlines() if " generate " in line]
    assert shlex.split(command.partition("elman ")[2])[:2] == ["generate", str(folder)]
    if "Warning" in answer.out:
        command = answer.out.rpartition("elman train")[2]
        assert {str(folder), str(easy_file)} & set(shlex.split(command)) == {str(easy_file)}
    missing = shell("info", tmp_path / "no model").err
    assert str(tmp_path / "no model") in shlex.split(missing.partition("; ")[2])


def test_missing_data_is_reported_before_an_existing_model(shell, saved, tmp_path, easy_file):
    for words in ([tmp_path / "nothing.txt"], [easy_file, "--valid", tmp_path / "nothing.txt"]):
        answer = shell("train", "lm", *words, "--out", saved)
        assert answer.code == 3
        assert "nothing.txt" in answer.err


def test_a_file_with_one_bad_line_is_reported_once(shell, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nalone\n")
    answer = shell("train", "classifier", tmp_path / "a.csv", "--out", tmp_path / "m")
    assert answer.code == 3
    assert answer.err.count("1 cell where the first line has 2") == 1


def test_one_line_names_the_backend_of_the_layers(easy, tiny, caplog):
    with caplog.at_level(logging.INFO, logger="elman.nn"):
        tiny(hidden_size=200, steps=2).fit(easy)
    assert len([record for record in caplog.records if "layers of" in record.getMessage()]) == 1


def test_the_files_of_a_model_have_the_mode_of_the_umask(saved, tmp_path, easy, tiny, quick):
    modes = []
    before = os.umask(0o022)
    try:
        import torch

        from elman.training.checkpoint import save_checkpoint

        save_checkpoint(tmp_path / "c.safetensors", {"weights": {"a": torch.zeros(2)}})
        tiny().fit(easy, out=tmp_path / "m")
    finally:
        os.umask(before)
    for path in (tmp_path / "c.safetensors", *(tmp_path / "m").iterdir()):
        modes.append(stat.S_IMODE(path.stat().st_mode))
    assert set(modes) == {0o644}
