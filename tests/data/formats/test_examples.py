"""Labelled texts: valid and invalid tables."""

import csv
import io
import json
import os
import re
from itertools import compress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data.formats.delimited import SEPARATORS, Delimited, detect_separator
from elman.data.formats.detection import detect_example_format
from elman.data.formats.json_lines import JsonLines
from elman.data.formats.text_folder import read_text_folder
from elman.data.formats.text_lines import TextLines
from elman.data.lines import Lines, Problems
from elman.data.records import Problem
from elman.errors import DataError, UsageError

ROWS = [["id", "label", "text"], ["1", "good", 'so "so", yes'], ["2", "bad", "two\nlines"], ["3", "bad", " ü , "]]


def written(rows):
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()


def read(text, reader=None, labelled=True):
    problems = Problems()
    reader = reader or detect_example_format(text, "text", "label", True)
    return list(reader.read(Lines(text, name="f"), problems, labelled=labelled)), problems


def test_csv_written_by_the_csv_module():
    examples, problems = read(written(ROWS))
    assert [(example.label, example.text) for example in examples] == [(label, text) for _, label, text in ROWS[1:]]
    assert [example.line for example in examples] == [2, 3, 5]
    assert problems.count == 0


def test_columns_by_number_and_without_a_header():
    examples, _ = read(written(ROWS[1:]), Delimited(",", "2", "1", header=False))
    assert [example.label for example in examples] == ["good", "bad", "bad"]
    assert read(written(ROWS), Delimited(",", "2", "1"))[0] == read(written(ROWS))[0]


def test_tsv_has_no_quotes():
    examples, problems = read('he said "no\t0\n"yes"\t1\n', Delimited("\t", "0", "1", header=False))
    assert [(example.text, example.label) for example in examples] == [('he said "no', "0"), ('"yes"', "1")]
    assert problems.count == 0


def test_json_lines():
    examples, problems = read('{"text": "a", "label": true}\n\n{"label": 2, "text": "b", "more": []}\n')
    assert [(example.text, example.label, example.line) for example in examples] == [("a", "true", 1), ("b", "2", 3)]
    assert problems.count == 0


def test_lines_of_text_for_prediction():
    assert [example.text for example in read("a\n\n b\n", TextLines(), labelled=False)[0]] == ["a", "", " b"]
    with pytest.raises(DataError, match="has no labels"):
        read("a\n", TextLines())


def test_a_folder_of_folders(tmp_path):
    for label, name, text in (("spam", "b.txt", "buy\nnow"), ("ham", "a.txt", "hello"), ("ham", "e.txt", " ")):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / name).write_text(text)
    (tmp_path / "ham" / ".hidden").write_text("x")
    (tmp_path / "ham" / "z.txt").write_bytes(b"caf\xe9")
    problems = Problems()
    found = [(example.label, example.text) for example in read_text_folder(tmp_path, problems)]
    assert found == [("ham", "hello"), ("spam", "buy\nnow")]
    assert problems.count == 2
    with pytest.raises(DataError, match="has no subfolders"):
        next(read_text_folder(tmp_path / "ham", problems))
    (tmp_path / "empty" / "label").mkdir(parents=True)
    for name, message in (
        ("empty", "contain no files"),
        ("nowhere", "there is no such file"),
        ("ham/a.txt", "is a file"),
    ):
        with pytest.raises(DataError, match=message):
            next(read_text_folder(tmp_path / name, problems))


BAD = [
    ("label,text\ngood,a\nbad\ngood,c\n", 3, "1 cell where the first line has 2"),
    ("label,text\ngood,a\nbad,b,c\ngood,c\n", 3, "3 cells where the first line has 2"),
    ("label,text\ngood,a\nbad, \ngood,c\n", 3, "the text is empty"),
    ("label,text\ngood,a\n,b\ngood,c\n", 3, "the label is empty"),
    ('label,text\ngood,a\nbad,"b" b\ngood,c\n', 3, "not CSV"),
    ('{"text": "a", "label": "x"}\n{"text": "b", \n{"text": "c", "label": "x"}\n', 2, "not JSON"),
    ('{"text": "a", "label": "x"}\n[1]\n{"text": "c", "label": "x"}\n', 2, "not a JSON object"),
    (
        '{"text": "a", "label": "x"}\n{"txt": "b", "label": "x"}\n{"text": "c", "label": "x"}\n',
        2,
        'no "text"; did you mean "txt"',
    ),
    (
        '{"text": "a", "label": "x"}\n{"text": 7, "label": "x"}\n{"text": "c", "label": "x"}\n',
        2,
        '"text" is not a string but 7',
    ),
    (
        '{"text": "a", "label": "x"}\n{"text": "b", "label": [1]}\n{"text": "c", "label": "x"}\n',
        2,
        '"label" is not one label',
    ),
    (
        '{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n{"text": "c", "label": "x"}\n',
        2,
        "the label is empty",
    ),
    ('{"text": "a", "label": "x"}\n{"text": "b", "label": NaN}\n{"text": "c", "label": 1}\n', 2, "the label is empty"),
    ('{"text": "a", "label": "x"}\n{"text": "\\ud83d", "label": 1}\n{"text": "c", "label": 1}\n', 2, "contains half a"),
    ("label,text\ngood,a\nbad,b\0\ngood,c\n", 3, "contains NUL characters"),
    ("text\tlabel\na\tx\n\t\nc\tx\n", 3, "the text is empty"),
]


@pytest.mark.parametrize(("text", "line", "message"), BAD)
def test_a_bad_record_is_reported_with_its_line_and_the_rest_is_read(text, line, message):
    examples, problems = read(text)
    assert [example.text for example in examples] == ["a", "c"]
    assert problems.count == 1
    assert problems.first.startswith(f"f:{line}: {message}")
    assert "skipped" in problems.first


def test_in_prediction_no_record_is_dropped():
    examples, problems = read("text\na\nb,c\n \nd\n", labelled=False)
    assert [isinstance(example, Problem) or example.text for example in examples] == ["a", True, "d"]
    assert problems.count == 1
    examples, problems = read("text,x\na,1\n ,2\nd,3\n", labelled=False)
    assert [isinstance(example, Problem) for example in examples] == [False, True, False]


@given(st.text(st.sampled_from('a",\n '), max_size=14))
def test_csv_is_split_like_the_strict_csv_module(text):
    found = list(Delimited(",").records(Lines(text + "\n")))
    try:
        expected = list(csv.reader(io.StringIO(text + "\n", newline=""), strict=True))
    except csv.Error:
        assert any(problem for _, _, problem in found)
        return
    assert not any(problem for _, _, problem in found)
    rows = [cells for _, cells, _ in found]
    is_row = [[len(cells) > 1 or bool("".join(cells).strip()) for cells in table] for table in (rows, expected)]
    assert list(compress(rows, is_row[0])) == list(compress(expected, is_row[1]))


def test_a_quote_inside_a_cell_opens_nothing():
    text = 'label,text\nx,the 5" pipe\ny,ok\nx,an 8" one\n'
    examples, problems = read(text)
    assert [example.text for example in examples] == ['the 5" pipe', "ok", 'an 8" one']
    assert problems.count == 0
    stream = (line + "\n" for line in text.splitlines())
    records = Delimited(",").records(Waiting(stream))
    assert [next(records)[1][1] for _ in range(2)] == ["text", 'the 5" pipe']
    assert next(stream) == "y,ok\n"


class Waiting:
    """The lines of a pipe, none of which is read before it is needed."""

    def __init__(self, stream):
        self.number, self._stream = 0, stream

    def __iter__(self):
        for line in self._stream:
            self.number += 1
            yield line.removesuffix("\n")


def test_a_quote_closed_by_a_later_one_loses_no_record_between():
    examples, problems = read('label,text\nbad,"b\ngood,c\ngood,"d"\ngood,e\n')
    assert [example.text for example in examples] == ["c", "d", "e"]
    assert problems.count == 1
    assert problems.first.startswith("f:2: not CSV")


def test_a_quote_that_is_never_closed_loses_only_its_own_record():
    examples, problems = read('label,text\ngood,a\nbad,"b\ngood,c\ngood,d\n')
    assert [example.text for example in examples] == ["a", "c", "d"]
    assert problems.first.startswith("f:3: a quote opens here that is not closed")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lable,text\nx,a\n", 'no column is called "label"; did you mean "lable"? it has lable, text'),
        ("text,label,text\n", 'two columns are called "text"'),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ('"label" x,text\na,b\n', "f:1: the names of the columns cannot be read: not CSV"),
        ("la\0bel,text\na,b\n", "contains NUL characters"),
        ('"la\nbel",text\na,b\n', r'no column is called "label"; did you mean "la\\nbel"? it has la\\nbel, text'),
        ('[\n{"text": "a", "label": 1}\n]\n', "f: is an array; write one record on each line"),
    ],
)
def test_unreadable_tables_are_refused(text, message):
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        read(text)
    with pytest.raises(DataError, match='no column "text"'):
        read("a,b\n", Delimited(",", header=False))
    with pytest.raises(DataError, match='no column "²"'):
        read("a,b\n", Delimited(",", "0", "²", header=False))
    with pytest.raises(DataError, match="is empty; it needs a JSON object"):
        read("\n", JsonLines())


def test_a_bad_first_row_without_a_header_is_one_bad_row():
    examples, problems = read('"a" b,1\nc,2\n', Delimited(",", "0", "1", header=False))
    assert [(example.text, example.label) for example in examples] == [("c", "2")]
    assert problems.first.startswith("f:1: not CSV")


@pytest.mark.parametrize("text", ["a " * 1_000_000, '"' + "a b c d\n" * 50_000 + '"'])
def test_a_text_of_very_many_tokens(text):
    before = csv.field_size_limit()
    try:
        examples, problems = read(f"label,text\nx,{text}\n")
        assert (examples[0].text, problems.count) == (text.strip('"'), 0)
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.csv", "x", Delimited),
        ("a.TSV", "x", Delimited),
        ("a.ndjson", "x", JsonLines),
        ("a.json", "x", JsonLines),
        ("a.txt", "x", TextLines),
        ("a", '{"text"', JsonLines),
        ("a.dat", "a,b", Delimited),
    ],
)
def test_the_format_is_detected(tmp_path, name, text, kind):
    path = Path(tmp_path / name)
    path.write_text(text)
    assert isinstance(detect_example_format(path, "text", "label", True), kind)


CELLS = [["id", "label", "text"], ["1", "good", "so, so"], ["2", "bad", "two; or 3"], ["3", "bad", "a | b, c"]]


def separated(rows, separator, after=""):
    """Write cells like the csv module, with spaces after the separators."""
    if separator == "\t":
        return "".join("\t".join([row[0], *(after + cell for cell in row[1:])]) + "\n" for row in rows)
    lines = []
    for row in rows:
        stream = io.StringIO()
        for cell in row:
            csv.writer(stream, delimiter=separator, lineterminator=separator + after).writerow([cell])
        lines.append(stream.getvalue().removesuffix(separator + after) + "\n")
    return "".join(lines)


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("after", ["", " ", "   "])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.tab", "t.data", None])
def test_any_separator_is_detected_whatever_the_name_of_the_file(tmp_path, caplog, separator, after, name):
    text = separated(CELLS, separator, after)
    source = text if name is None else tmp_path / name
    if name:
        source.write_text(text)
    examples = detect_example_format(source, "text", "label", True).read(Lines(source), Problems(), labelled=True)
    assert [(example.text, example.label) for example in examples] == [(row[2], row[1]) for row in CELLS[1:]]
    usual = {"t.csv": ",", "t.tsv": "\t", "t.tab": "\t"}.get(name, separator)
    told = f"{source}: its cells are separated by {SEPARATORS[separator]}, not by {SEPARATORS[usual]}"
    assert [record.getMessage() for record in caplog.records] == ([told] if usual != separator else [])


@pytest.mark.parametrize(
    ("text", "columns", "header", "found"),
    [
        ("text\na, b\nc; d\n", ("text", "label"), True, ","),  # one column, and no sign of another separator
        ("text;x\na;b,c\n", ("text", "label"), True, ";"),
        ("Text;Label\na, b;x\nc;y\n", ("text", "label"), True, ";"),  # the error then lists its names
        ("a, b;x\nc, d;y\n", ("0", "1"), False, ","),  # both are possible
        ("a b;x\nc, d;y\n", ("0", "1"), False, ";"),
        ("a|x\nc, d|y\n", ("0", "1"), False, "|"),
        ("a, b\nc\n", ("0", "1"), False, ","),
        ('"text";"label"\n"a;b,c";x\n', ("text", "label"), True, ";"),
        ('"a;b,c";x\n"d,e";y\n', ("0", "1"), False, ";"),
        ("", ("text", "label"), True, ","),
    ],
)
def test_a_separator_is_detected_by_the_names_or_by_equal_numbers_of_cells(text, columns, header, found):
    assert detect_separator(Lines(text), columns, header=header)[0] == found


def test_a_space_at_the_start_of_a_text_is_kept():
    examples, _ = read("label,text\nx, a\ny,b \n")
    assert [example.text for example in examples] == [" a", "b "]
    examples, _ = read('label,text\nx, a\ny, "b, \nc"\n')  # but here it belongs to the separator
    assert [example.text for example in examples] == ["a", "b, \nc"]


@pytest.mark.parametrize("blank", [" ", "  ", "\u00a0", "\u3000"])
def test_spaces_around_a_label_are_ignored(blank):
    labels = ["pos", f"{blank}pos", f"pos{blank}", f"{blank}pos{blank}"]
    rows = "".join(f"t,{label}\n" for label in labels)
    tabbed = rows.replace(",", "\t")
    objects = "".join(json.dumps({"text": "t", "label": label}) + "\n" for label in labels)
    for text in ("text,label\n" + rows, "text\tlabel\n" + tabbed, objects, 'text,label\nt,"pos"\nt," pos"\n'):
        examples, problems = read(text)
        assert {example.label for example in examples} == {"pos"}
        assert (len(examples) > 1, problems.count) == (True, 0)


HOSTILE = [
    '{"text": "a", "label": ' + "[" * 100_000 + "}",
    '{"text": ' + "[" * 900 + "]" * 900 + ', "label": 1}',
    '{"text": "a", "label": ' + "9" * 5000 + "}",
    '{"text": "a", "label": 1e999}',
    '{"text": NaN, "label": 1}',
    '{"text": "\\u0000", "label": 1}',
    '{"text": "a", "label": "\\udc00"}',
    '{"\\ud800": 1, "label": 1}',
    '{"' + "k" * 100_000 + '": 1, "label": 1}',
    '"' + "x" * 100_000 + '"',
    "9" * 5000,
    "null",
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_any_line_of_json_is_at_most_a_problem(line):
    good = '{"text": "a", "label": 1}\n'
    examples, problems = read(good + line + "\n" + good, JsonLines())
    assert [example.text for example in examples] == ["a", "a"]
    assert problems.count == 1
    assert problems.first.startswith("f:2: ")
    assert len(problems.first) < 1000


def test_a_record_with_an_open_quote_ends_at_the_limit(monkeypatch):
    monkeypatch.setattr("elman.data.formats.delimited.LONGEST_LINE", 50)
    examples, problems = read('label,text\nx,"' + "open and\n" * 10 + "y,b\n")
    assert [example.text for example in examples] == ["b"]
    assert problems.first == "f:2: a quote opens here that is not closed; the example is skipped"


def test_unreadable_files_of_a_folder_are_skipped(tmp_path, monkeypatch):
    for label, name in (("spam", "a.txt"), ("spam", "e: f.txt"), ("ham", "b.txt"), ("shut", "c.txt")):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / name).write_text("hello")
    (tmp_path / "spam" / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "ham" / "pipe")
    (tmp_path / "ham" / "latin.txt").write_bytes(b"two\ncaf\xe9")
    (tmp_path / "spam" / "wide.txt").write_text("hello", encoding="utf-16")
    list_folder = Path.iterdir

    def refuse(path):
        if path.name == "shut":
            raise PermissionError(13, "Permission denied")
        return list_folder(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    problems = Problems(shown=99)
    found = [(example.label, example.text) for example in read_text_folder(tmp_path, problems)]
    assert found == [("ham", "hello"), ("spam", "hello"), ("spam", "hello")]
    assert problems.count == 5


def test_the_reason_why_a_file_of_a_folder_is_skipped(tmp_path, caplog):
    (tmp_path / "a: b").mkdir()
    (tmp_path / "a: b" / "x: y.txt").write_bytes(b"two\ncaf\xe9")
    (tmp_path / "a: b" / "gone").symlink_to(tmp_path / "nowhere")
    assert list(read_text_folder(tmp_path, Problems())) == []
    told = [record.getMessage().removeprefix(f"{tmp_path}/a: b/") for record in caplog.records]
    assert told == [
        "gone:1: is a link to a file that does not exist; it is skipped",
        "x: y.txt:2: byte 7 is not valid utf-8; it may be cp1252: try `encoding` cp1252; it is skipped",
    ]


def test_a_table_without_a_header_says_how_to_read_it():
    text = "I love it,pos\nI hate it,neg\n"
    with pytest.raises(DataError, match=r"no column is called \"text\".*`no_header` `text` 0 `label` 1"):
        read(text)
    examples, _ = read(text, Delimited(",", "0", "1", header=False))
    assert [(example.text, example.label) for example in examples] == [("I love it", "pos"), ("I hate it", "neg")]


def test_a_text_of_several_columns():
    table = "id,title,description,label\n1,Tea,Green and hot,good\n2,Tea,,bad\n3,,,bad\n"
    examples, problems = read(table, Delimited(",", "title, description"))
    assert [(example.text, example.label) for example in examples] == [("Tea\nGreen and hot", "good"), ("Tea", "bad")]
    assert problems.first == "f:4: the text is empty; the example is skipped"
    with pytest.raises(DataError, match=r'no column is called "descriptoin"; did you mean "description"'):
        read(table, Delimited(",", "title,descriptoin"))
    examples, _ = read('a,b,"title,description",label\nx,y,z,good\n', Delimited(",", "title,description"))
    assert [example.text for example in examples] == ["z"]  # a column has this name
    examples, _ = read("1,Tea,Hot,good\n", Delimited(",", "1,2", "3", header=False))
    assert [example.text for example in examples] == ["Tea\nHot"]
    found = detect_example_format("title;description;label\na, b;c, d;e, f\n", "title,description", "label", True)
    assert found.delimiter == ";"


def test_a_text_of_several_keys_or_sentences():
    lines = [
        {"title": "Tea", "body": ["It is hot.", "It is green."], "label": 1},
        {"title": "Tea", "body": [], "label": 1},
        {"title": "Tea", "body": [["It"], ["is"]], "label": 1},
        {"title": "Tea", "label": 1},
    ]
    examples, problems = read("".join(json.dumps(line) + "\n" for line in lines), JsonLines("title,body"))
    assert [example.text for example in examples] == ["Tea\nIt is hot. It is green."]
    assert problems.count == 3
    assert problems.first == 'f:2: "body" is not a string but a list or an object; the example is skipped'


@pytest.mark.parametrize("name", ["x.npz", "x.NPZ", "x.ts", "x.npy"])
def test_sequences_of_numbers_are_not_texts(tmp_path, name):
    with pytest.raises(UsageError, match=rf"{re.escape(name)}: contains sequences of numbers.*`level` numbers"):
        detect_example_format(tmp_path / name, "text", "label", True)
