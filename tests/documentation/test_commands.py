"""Every command on the pages can be parsed, and nearly all of them run on small files."""

import io
import re
import shlex
import sys
from importlib import import_module
from pathlib import Path

import pytest

from elman.cli import arguments
from elman.cli.main import VERBS
from elman.data.samples import sample_pictures, sample_text

from .pages import PAGES, commands_of, spans_of

COMMANDS = {page: commands_of(page) for page in PAGES}
WITH_COMMANDS = [page for page, commands in COMMANDS.items() if commands]

NOT_RUN = {  # only parsed, and why
    "bench": "times whole networks; tests/cli/test_bench.py runs it with small ones",
    "demo": "tests/cli/test_commands.py runs it for a second",
    "lecture --prepare": "trains for a minute; tests/cli/test_lecture.py runs it with a few steps",
    "doctor --compile": "compiles every kernel, for minutes; tests/cli/test_doctor.py runs the rest",
}

LENGTHS = ("--minutes", "--epochs", "--steps")
SIZES = ["--hidden-size", "8"]
SMALL = {
    "lm": ["--embedding-size", "4", "--batch-size", "2", "--bptt-length", "8"],
    "tagger": ["--embedding-size", "8", "--character-size", "4"],
    "classifier": ["--embedding-size", "8"],
    "translator": ["--embedding-size", "8", "--vocab-size", "300", "--max-length", "20", "--beam-size", "2"],
    "captioner": ["--embedding-size", "8", "--channels", "8", "--picture-size", "16", "--max-length", "8"],
    "composer": ["--embedding-size", "8", "--batch-size", "2", "--longest", "200"],
}


def is_run(words):
    return not any(" ".join(words).startswith(start) for start in NOT_RUN)


def shorten(words):
    """Return the same command with a tiny network and two steps of training."""
    if words[0] not in ("train", "compare"):
        return words
    kept, rest = [], list(words)
    while rest:
        if rest[0] in LENGTHS:
            del rest[:2]
        else:
            kept.append(rest.pop(0))
    compared = [flag for flag in SMALL[words[1]] if words[0] == "train"]
    sizes = SIZES if words[0] == "train" else []
    return [*kept, *sizes, *compared, "--steps", "2", "--evaluations", "1"]


def beginning(name):
    """Return a sample, or the first lines of a large one."""
    name = "unseen-shapes" if name == "shapes" else name
    return "".join(sample_text(name).splitlines(keepends=True)[: {"reports": 60, "unseen-shapes": 80}.get(name)])


@pytest.mark.filterwarnings("ignore:Glyph")  # a translator that has learned nothing writes control characters
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_of_a_page_run(page, beside_the_files, shell, monkeypatch):
    monkeypatch.setattr("elman.drawing.curves.loss_curves", lambda history: "<svg/>")
    monkeypatch.setattr("elman.data.samples.sample_text", beginning)
    monkeypatch.setattr("elman.data.samples.sample_pictures", lambda name: sample_pictures("unseen-shapes"))
    for command in COMMANDS[page]:
        if not is_run(command.words):
            continue
        if command.typed:
            kind, text = command.typed
            typed = text.encode() if kind == "text" else Path(text).read_bytes()
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed)))
        answer = shell(*shorten(command.words))
        assert answer.code == 0, f"{page}: {command.line}\n{answer.err}"
        if "> " in command.line:
            assert answer.out
        for flag in ("--out", "--wav", "--roll", "--attention", "--confusion"):
            if flag in command.words:
                assert Path(command.words[command.words.index(flag) + 1]).exists(), command.line


def test_at_least_four_fifths_are_run():
    everywhere = [command for commands in COMMANDS.values() for command in commands]
    assert len(everywhere) > 60
    assert sum(is_run(command.words) for command in everywhere) >= 0.8 * len(everywhere)
    for start in NOT_RUN:
        assert any(" ".join(command.words).startswith(start) for command in everywhere), f"no page says elman {start}"


class ParsedError(Exception):
    """The words of a command could be parsed."""


@pytest.fixture
def parsed(shell, monkeypatch):
    """Parse words with the parser of their verb, and stop there."""

    def parse(words):
        module = import_module(f"elman.cli.{words[0]}")
        module = module if hasattr(module, "parse") else arguments

        def stop(*given, parse=module.parse):
            parse(*given)
            raise ParsedError

        with monkeypatch.context() as patch:
            patch.setattr(module, "parse", stop)
            try:
                return shell(*words)
            except ParsedError:
                return None

    return parse


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_parsed(page, parsed):
    named = [shlex.split(span)[1:] for span in spans_of(page) if span.startswith("elman ") and "..." not in span]
    named = [words for words in named if not words[-1].startswith("--help")]
    named = [words for words in named if not (len(words) == 2 and words[1].startswith("--"))]  # names an option only
    for words in [*(command.words for command in COMMANDS[page]), *named]:
        if not words[0].startswith("-") and words[0] != "COMMAND":
            assert words[0] in VERBS, f"{page}: elman {' '.join(words)}"
            if len(words) > 1 and is_run(words) is (words in named):  # what runs is parsed there
                failed = parsed(words)
                assert failed is None, f"{page}: elman {' '.join(words)}\n{failed}"


def test_a_wrong_flag_would_be_found(parsed):
    assert parsed(["train", "lm", "input.txt", "--hiden-size", "5"]).code == 2
    assert parsed(["predict", "runs/mine", "--beam", "5"]).code == 2
    assert parsed(["predict", "runs/mine", "--beam-size", "5"]) is None


def test_the_readings_of_a_shell_line():
    (command,) = (command for command in COMMANDS["docs/tagger.md"] if command.line.startswith("echo"))
    assert (command.words, command.typed) == (("predict", "runs/tags"), ("text", "Teddy bears are on sale\n"))
    (command,) = (command for command in COMMANDS["docs/tagger.md"] if "< sentences" in command.line)
    assert command.words[-1] == "text"
    assert command.typed == ("file", "sentences.txt")
    assert re.search("#", next(one.line for one in COMMANDS["README.md"]))
    assert all("#" not in command.words for command in COMMANDS["README.md"])
