"""Lines of files, strings and pipes: the same for every source and every line end."""

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.formats.delimited import Delimited
from elman.data.formats.detection import detect_sentence_format
from elman.data.formats.json_lines import JsonLines
from elman.data.formats.parallel import read_parallel
from elman.data.formats.series import SeriesTable
from elman.data.formats.text_lines import TextLines
from elman.data.lines import Lines, Problems, group_available
from elman.data.text import Text
from elman.errors import DataError

from .pipes import Pipe

ENDINGS = ("\n", "\r\n", "\r")
NOT_ENDINGS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"


def expected(text):
    """Return the lines as Python reads them with universal newlines."""
    stream = io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8", newline=None)
    return [line.removesuffix("\n") for line in stream]


@given(
    st.text(st.sampled_from("ab é\r\n" + NOT_ENDINGS), max_size=30),
    st.lists(st.integers(0, 60), max_size=6),
    st.integers(1, 7),
)
def test_all_sources_give_the_lines_of_a_text_file(tmp_path_factory, text, places, block_size):
    raw = text.encode()
    cuts = [0, *sorted({min(place, len(raw)) for place in places} - {0, len(raw)}), len(raw)]
    blocks = [raw[start:stop] for start, stop in pairwise(cuts) if start < stop]
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_bytes(raw)
    for source in (text, path, Pipe(blocks), io.BytesIO(raw)):
        lines = Lines(source, block_size=block_size)
        assert [(lines.number, line) for line in lines] == list(enumerate(expected(text), start=1))
    assert Lines(path).read_all() == "".join(Text(path).chunks()) if text else True


@pytest.mark.parametrize("end", ENDINGS)
def test_a_pipe_is_answered_at_each_line_end_of_any_kind(end):
    pipe = Pipe([f"one{end}".encode(), f"two{end}three".encode(), end.encode(), b"four"])
    lines = Lines(pipe)
    answers = [(group, pipe.given) for group in group_available(lines, lines, most=100)]
    assert answers == [(["one"], 1), (["two"], 2), (["three"], 3), (["four"], 5)]


def test_a_line_end_split_over_two_blocks_counts_once():
    pipe = Pipe([b"one\r", b"\ntwo\r", b"\n", b"\r\n", b"three"])
    lines = Lines(pipe)
    assert [(lines.number, line, pipe.given) for line in lines] == [
        *[(1, "one", 1), (2, "two", 2), (3, "", 4), (4, "three", 6)]
    ]


CONTENTS = {  # a file with "\n" at each line's end, and the function that reads it
    "columns": ("EU\tB-ORG\nsleeps\tO\n\nYes\tO\n", lambda path: _tagged(path)),
    "conllu": (f"# x\n1\tEU\t_\tX{'	_' * 6}\n\n1\tno\t_\tY{'	_' * 6}\n", lambda path: _tagged(path)),
    "csv": ('text,label\n"so,\nso",a\nno,b\n', lambda path: _examples(path, Delimited(","))),
    "tsv": ("text\tlabel\nso\ta\nno\tb\n", lambda path: _examples(path, Delimited("\t"))),
    "json": ('{"text": "so", "label": 1}\n\n{"text": "no", "label": 2}\n', lambda path: _examples(path, JsonLines())),
    "plain": ("so\n\nno\n", lambda path: _examples(path, TextLines(), labelled=False)),
    "series": (
        "sequence,label,x\na,u,1\na,u,2\nb,d,3\n",
        lambda path: repr(list(SeriesTable().read(Lines(path), Problems()))),
    ),
    "parallel": ("one\ntwo\n", lambda path: [*read_parallel(Lines(path), Lines(path), Problems())]),
}


def _tagged(path):
    read = detect_sentence_format(path).read(Lines(path), Problems(), tagged=True)
    return [(sentence.words, sentence.tags, sentence.line) for sentence in read]


def _examples(path, reader, labelled=True):
    return [*reader.read(Lines(path), Problems(), labelled=labelled)]


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("ends", [("\r",), ("\r\n",), ("\n", "\r", "\r\n")], ids=["cr", "crlf", "mixed"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_reader_accepts_all_line_ends_and_a_byte_order_mark(tmp_path, kind, ends, mark):
    content, read = CONTENTS[kind]
    path = tmp_path / "file"
    path.write_text(content, newline="")
    wanted = read(path)
    assert len(wanted) > 1
    for number, line in enumerate(lines := content.split("\n")[:-1]):
        lines[number] = line + ends[number % len(ends)]
    path.write_text(mark + "".join(lines), newline="")
    assert read(path) == wanted


def test_the_line_number_of_an_error_counts_all_line_ends(tmp_path):
    path = tmp_path / "f"
    for end in ENDINGS:
        path.write_bytes(end.join(["one", "two", "caf"]).encode() + b"\xe9 au lait")
        with pytest.raises(DataError, match=r"f:3: byte \d+ is not valid utf-8; it may be cp1252"):
            list(Lines(path, block_size=2))
        problems = Problems(shown=0)
        assert [*Lines(path, problems=problems)][2] == "caf\ufffd au lait"
        assert problems.first.startswith(f"{path}:3: not valid utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-32"])
def test_utf_16_and_32_are_recognised_by_their_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "f"
    for written in ("utf-16", "utf-32"):
        path.write_text("one\ntwo\n", encoding=written)
        if encoding.startswith("utf-16") or encoding == "utf-32":
            continue
        for problems in (None, Problems(shown=0)):
            with pytest.raises(DataError, match=f"byte order mark of {written.upper()}: try `encoding` {written}"):
                list(Lines(path, encoding, problems))
        assert list(Lines(path, written)) == ["one", "two"]


def test_a_line_longer_than_the_limit_is_refused_with_its_number(monkeypatch):
    monkeypatch.setattr("elman.data.lines.LONGEST_LINE", 20)
    assert list(Lines("one\n" + "x" * 20 + "\n")) == ["one", "x" * 20]
    for end in ("", "\n"):
        for source in (f"one\n{'x' * 21}{end}", Pipe([b"one\nx", *[b"x"] * 20, end.encode()])):
            with pytest.raises(DataError, match=r":2: the line is longer than the limit of 20 characters"):
                list(Lines(source, block_size=7))
    pipe = Pipe([b"x"] * 1000)
    with pytest.raises(DataError, match="longer"):
        list(Lines(pipe))
    assert pipe.given == 21  # an endless stream is not read forever


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("a: b:c", "a: b:c:12: is empty: really", "a: b:c:12: is empty: really; it is skipped"),
        ("a: b:c", "a: b:c: is empty; is it whole?", "a: b:c:1: is empty; is it whole? it is skipped"),
        ("a.b", "aXb:12: is empty", "a.b:1: aXb:12: is empty; it is skipped"),
        ("a.abc:12", "a.abc:12: has no notes", "a.abc:12: has no notes; it is skipped"),
        ("a", "abc: 12: x", "a:1: abc: 12: x; it is skipped"),
    ],
)
def test_an_error_about_a_file_is_reported_with_its_line_once(name, said, told):
    problems = Problems(shown=0)
    problems.add_error(name, DataError(said))
    assert problems.first == told
