"""``elman predict``: each line of a pipe is answered at once; wrong formats and options are refused."""

import io
import json
from collections import deque
from functools import cache

import numpy as np
import pytest

import elman
from elman.cli.answers import answers
from elman.data.formats.table import FORMATS
from elman.data.lines import Lines, Problems
from elman.decoding.options import Search
from elman.errors import DataError, UsageError

TINY = {"hidden_size": 4, "steps": 1, "evaluations": 1, "seed": 1}
SMALL = {**TINY, "embedding_size": 4}
TEXT = "the quick brown fox  jumps\n\nover the lazy dog's tail\n<unk> x \n \nthe end\n"
SHORT = {"beam_size": 2, "max_length": 4}


def text_model(**settings):
    return elman.LanguageModel(**SMALL, batch_size=2, bptt_length=8, **settings).fit(TEXT * 9)


def captioner():
    pictures = [np.full((8, 8, 3), 20 * number, np.uint8) for number in range(12)]
    model = elman.Captioner(**SMALL, **SHORT, picture_size=8, channels=8, feature_size=4, min_count=1)
    return model.fit(pictures, [["dark"], ["bright"]] * 6)


MAKE = {
    "lm": text_model,
    "lm-word": lambda: text_model(level="word", min_count=1, cell="gru"),
    "lm-space": lambda: text_model(level="space", min_count=1, cell="gru"),
    "lm-bpe": lambda: text_model(level="bpe", vocab_size=300),
    "lm-lines": lambda: text_model(lines=True),
    "tagger": lambda: elman.Tagger(**SMALL, characters="none").fit([["a", "b"], ["b"]] * 6, [["X", "Y"], ["Y"]] * 6),
    "classifier": lambda: elman.Classifier(**SMALL).fit(["good film", "bad film"] * 6, ["pos", "neg"] * 6),
    "numbers": lambda: elman.Classifier(**TINY, level="numbers").fit(
        np.arange(48.0).reshape(12, 4), ["up", "down"] * 6
    ),
    "translator": lambda: elman.Translator(**SMALL, **SHORT, level="word", min_count=1).fit(
        ["a b", "b"] * 6, ["x", "y"] * 6
    ),
    "captioner": captioner,
    "composer": lambda: elman.Composer(**SMALL, batch_size=2).fit("X:1\nM:4/4\nL:1/4\nK:C\nCDEF GABc\n\n" * 4),
}  # fmt: skip


@cache
def model(name):
    """Return a barely trained model, which tests must not change."""
    return MAKE[name]()


class Waits(BaseException):
    """Nothing more has arrived."""


class Pipe:
    """A stream that a slow program writes to: reading more than has arrived raises Waits."""

    def __init__(self):
        self.sent = deque()
        self.is_open = True

    def read(self, size):
        if self.sent:
            return self.sent.popleft()
        if self.is_open:
            raise Waits
        return b""


LINES = {
    "lm": ["the quick\n", "\n", "fox <unk>\n"],
    "lm-word": ["the quick\n", "\n", "fox <unk>\n"],
    "lm-lines": ["the quick\n", "fox <unk>\n"],
    "tagger": ["a b\n", "\n", "b\n"],
    "classifier": ["good\n", "\n", "bad film\n"],
    "translator": ["a b\n", "\n", "b\n"],
    "captioner": ["nowhere.png\n", "\n"],
}


@pytest.mark.parametrize("name", LINES)
def test_a_line_is_answered_before_the_next_one_arrives(name):
    pipe = Pipe()
    written = answers(model(name), Lines(pipe, problems=Problems(shown=0)), Problems(shown=0))
    for line in LINES[name]:
        pipe.sent.append(line.encode())
        assert next(written)
        with pytest.raises(Waits):  # there is no second answer
            pipe.read(1)
    pipe.is_open = False
    assert list(written) == []


def test_bpe_holds_back_only_the_blanks_at_the_end_of_a_line():
    pipe = Pipe()
    written = answers(model("lm-bpe"), Lines(pipe), Problems())
    pipe.sent.append(b"the quick\n")
    shown = next(written)
    assert "".join(row.split("\t")[0] for row in shown.splitlines()[1:]) == "the quick"
    pipe.sent.append(b"\n fox\n")
    assert next(written).startswith(r"\n")


def test_a_sequence_of_numbers_is_answered_when_the_next_one_begins():
    pipe = Pipe()
    written = answers(model("numbers"), Lines(pipe), Problems(shown=0))
    for row in ("sequence,x\n", "a,1\n", "a,2\n"):
        pipe.sent.append(row.encode())
    pipe.sent.append(b"b,nan\n")
    assert json.loads(next(written))["label"] in ("up", "down")
    pipe.sent.append(b"c,3\n")
    assert json.loads(next(written)) == {"line": 4, "problem": "NaN, infinity or a number too large"}
    pipe.is_open = False
    assert len(list(written)) == 1


def surprisals(written):
    rows = [row.split("\t") for row in "".join(written).splitlines()]
    return [token for token, _ in rows[1:]], [float(nats.replace("NA", "nan")) for _, nats in rows[1:]]


@pytest.mark.parametrize("name", ["lm", "lm-word", "lm-bpe", "lm-lines"])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_text_in_pieces_has_the_surprisals_of_the_whole(name, size):
    text = TEXT + "x" * 700 + " " * 600 + "\n\n\n" + "é" * 9 + "\n"
    pipe = Pipe()
    encoded = text.encode()
    pipe.sent.extend(encoded[start : start + size] for start in range(0, len(encoded), size))
    pipe.is_open = False
    tokens, nats = surprisals(answers(model(name), Lines(pipe, problems=Problems()), Problems()))
    whole = list(model(name).predict(text))
    escaped = [token.replace("\\", "\\\\").replace("\n", "\\n") for token, _ in whole]
    assert tokens == escaped
    expected = [np.nan if value is None else value for _, value in whole]
    np.testing.assert_allclose(nats, expected, atol=2e-5)  # printed with six digits; the sums are in another order


def test_a_stream_without_tokens_is_reported():
    words = text_model(level="word", min_count=1, lines=True)
    for content, message in ((b"", "standard input: is empty"), (b" \n \n", "contains no tokens, only white space")):
        with pytest.raises(DataError, match=message):
            list(answers(words, Lines(io.BytesIO(content)), Problems()))


@pytest.mark.parametrize(("name", "task"), [(name, name.partition("-")[0]) for name in MAKE])
def test_the_error_for_an_unknown_format_lists_the_formats_of_the_task(name, task):
    rows = FORMATS[task].rows
    for option, does in (("input_format", "reads"), ("output_format", "writes")):
        known = [key for key, row in rows.items() if getattr(row, does)]
        for wrong in {"xml", "conlu", *rows} - set(known):
            with pytest.raises(UsageError, match=f"`{option}` {wrong}: no such format.*there are {', '.join(known)}$"):
                list(answers(model(name), Lines(io.BytesIO(b"a\n")), Problems(), **{option: wrong}))


MIXED = {  # the format that is read, and a stream with a line of another format
    "tagger": ("conllu", "1\ta" + "\t_" * 8 + '\n\n{"text": "a"}\n\n1\tb' + "\t_" * 8 + "\n\n"),
    "classifier": ("jsonl", '{"text": "good"}\ntext,label\n{"text": "bad"}\n'),
    "numbers": ("csv", 'sequence,x\na,1\n{"text": "b"}\nc,1\n'),
    "translator": ("tsv", 'source\ttarget\na\tx\n{"source": "b"}\nb\tx\n'),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_line_of_another_format_is_a_problem(name):
    format, text = MIXED[name]
    problems = Problems(shown=0)
    lines = Lines(io.BytesIO(text.encode()), problems=problems)
    found = [json.loads(one) for one in answers(model(name), lines, problems, format, "jsonl")]
    assert ["problem" in one for one in found] == [False, True, False]
    assert (problems.count, found[1]["line"]) == (1, 2 + (name != "classifier"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name in ("translator", "tagger"):
        model(name).save(root / name)
    return root


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("translator --beam-size 0", "--beam-size is 0; it must be at least 1"),
        ("translator --n-best 3", "--n-best is 3, but --beam-size 2; a beam keeps no more than that"),
        ("translator --temperature -1", "--temperature is -1.0; it must be a finite number, at least 0"),
        ("translator --length-penalty 11", "--length-penalty is 11.0; it must be at most 10"),
        ("translator --encoder x.onnx", "--encoder is no option of a model of task translator; leave it out"),
        ("tagger --beam-size 2", "--beam-size is no option of a model of task tagger; leave it out"),
        ("tagger --attention a.svg", "--attention draws the attention of a translator to the first source of a FILE"),
        ("tagger --output-format jsnl", '--output-format jsnl: no such format; did you mean "jsonl"? there are'),
    ],
)
def test_the_error_for_a_wrong_option_is_one_line_that_names_the_flag(shell, folders, tmp_path, words, message):
    (tmp_path / "a.txt").write_text("a\n")
    name, *flags = words.split()
    answer = shell("predict", folders / name, tmp_path / "a.txt", *flags)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith(f"elman: {message}")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("beam_size", 2.5, "beam_size is 2.5; it must be a whole number"),
        ("n_best", True, "n_best is of type bool; it must be a number"),
        ("temperature", "warm", "temperature is of type str; it must be a number"),
    ],
)
def test_options_of_a_wrong_type_are_refused(option, value, message):
    with pytest.raises(UsageError, match=message):
        Search(**{option: value}).check()


def test_options_apply_to_the_call_and_change_no_setting(shell, folders, tmp_path):
    (tmp_path / "a.txt").write_text("a b\n\nb\n")
    answer = shell("predict", folders / "translator", tmp_path / "a.txt", "--n-best", "2", "--beam-size", "3")
    assert [line.partition(" ||| ")[0] for line in answer.out.splitlines()] == ["0", "0", "1", "1", "2", "2"]
    translator = model("translator")
    before = translator.get_params()
    options = {"search": Search(beam_size=1)}
    assert list(answers(translator, Lines(io.BytesIO(b"a b\n")), Problems(), **options))
    assert translator.get_params() == before


def test_the_attention_to_the_first_source_that_is_not_blank_is_drawn(tmp_path):
    lines = Lines(io.BytesIO(b"\na b\nb\n"))
    assert len(list(answers(model("translator"), lines, Problems(), attention=tmp_path / "a.svg"))) == 3
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    with pytest.raises(DataError, match="holds no source"):
        list(answers(model("translator"), Lines(io.BytesIO(b"\n")), Problems(), attention=tmp_path / "b.svg"))
