"""Tagged sentences: valid and invalid files, and that everything but the tags is written back unchanged."""

import re

import pytest

from elman.data.formats.columns import Columns
from elman.data.formats.conllu import Conllu
from elman.data.formats.detection import detect_sentence_format
from elman.data.formats.sentences import report_inconsistencies
from elman.data.formats.text_lines import SentenceLines
from elman.data.lines import Lines, Problems, group_available
from elman.data.records import TaggedSentence
from elman.errors import DataError, UsageError

from ..pipes import Pipe

TREEBANK = """\
# newdoc id = d1
# text = Don't go to L.A. now
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\tdo\tAUX\tVB\tMood=Imp\t3\taux\t_\tSpaceAfter=No
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\tVB\tMood=Imp\t0\troot\t_\t_
3.1\tthere\tthere\tADV\tRB\t_\t_\t_\t3:advmod\tCopyOf=9
4\tto\tto\tADP\tIN\t_\t5\tcase\t_\t_
5\tL.A. now\tL.A.\tPROPN\tNNP\t_\t3\tobl\t_\t_

# text = #1
1\t#1\t#1\tSYM\tNN\t_\t0\troot\t_\t_

"""
COLUMNS = "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n#tag NN  B-NP O\n\n"
TWEETS = "@paul\tO\nIt\u00a0s\tO\n\t\n#\u2028x\tB-person\n"


def read(text, tagged=True, reader=None):
    problems = Problems()
    reader = reader or detect_sentence_format(text)
    return list(reader.read(Lines(text, name="f"), problems, tagged=tagged)), problems


def test_conllu_words_and_tags():
    sentences, problems = read(TREEBANK)
    assert [sentence.words for sentence in sentences] == [["Do", "n't", "go", "to", "L.A. now"], ["#1"]]
    assert [sentence.tags for sentence in sentences] == [["AUX", "PART", "VERB", "ADP", "PROPN"], ["SYM"]]
    assert [sentence.line for sentence in sentences] == [1, 11]
    assert problems.count == 0


@pytest.mark.parametrize(
    ("column", "tags"),
    [("xpos", ["VB", "RB"]), ("feats", ["Mood=Imp", "_"]), ("lemma", ["do", "not"]), ("misc", ["SpaceAfter=No", "_"])],
)
def test_any_column_of_conllu(column, tags):
    assert read(TREEBANK, reader=Conllu(column))[0][0].tags[:2] == tags


def test_columns_and_tweets():
    sentences, problems = read(COLUMNS)
    assert [(sentence.words, sentence.tags) for sentence in sentences] == [
        (["EU", "rejects", "#tag"], ["B-ORG", "O", "O"])
    ]
    assert read(COLUMNS, reader=Columns(0, 1))[0][0].tags == ["NNP", "VBZ", "NN"]
    sentences, _ = read(TWEETS)
    assert [sentence.words for sentence in sentences] == [["@paul", "It\u00a0s"], ["#\u2028x"]]
    assert problems.count == 0


@pytest.mark.parametrize("text", [TREEBANK, COLUMNS, TWEETS + " \n", "  a  X O \n b\u00a0c  Y\u2003 O\n\n"])
def test_reading_and_writing_with_the_same_tags_changes_nothing(text):
    reader = detect_sentence_format(text)
    problems = Problems()
    tagged = [sentence.tags for sentence in reader.read(Lines(text), problems, tagged=True)]
    copied = reader.read(Lines(text), problems, tagged=False)
    written = "".join(reader.format_tagged(sentence, tagged.pop(0) if sentence.words else []) for sentence in copied)
    assert written == text


def test_only_the_tags_change():
    sentence = read(TREEBANK)[0][0]
    written = Conllu().format_tagged(sentence, ["X1", "X2", "X3", "X4", "X5"])
    expected = TREEBANK.split("\n\n")[0] + "\n\n"
    for old, new in (("\tAUX", "\tX1"), ("\tPART", "\tX2"), ("\tVERB", "\tX3"), ("\tADP", "\tX4"), ("\tPROPN", "\tX5")):
        expected = expected.replace(old, new)
    assert written == expected
    sentence = read(COLUMNS)[0][0]
    assert (
        Columns().format_tagged(sentence, ["X", "Y", "Z"]) == "EU NNP B-NP X\nrejects VBZ B-VP Y\n#tag NN  B-NP Z\n\n"
    )


def test_plain_text_into_the_other_formats():
    sentence = next(SentenceLines().read(Lines("Teddy bears!"), Problems(), tagged=False))
    assert Conllu().format_tagged(sentence, ["A", "B", "C"]).splitlines()[1] == "2\tbears\t_\tB\t_\t_\t_\t_\t_\t_"
    assert Columns().format_tagged(sentence, ["A", "B", "C"]) == "Teddy\tA\nbears\tB\n!\tC\n\n"
    assert list(SentenceLines().write([TaggedSentence(sentence, ["A", "B", "C"], [])])) == ["Teddy/A bears/B !/C\n"]
    with pytest.raises(UsageError, match="no tags to learn from"):
        next(SentenceLines().read(Lines("Teddy bears!"), Problems(), tagged=True))


ROW = "\t_" * 6 + "\n"
BAD = [  # the second sentence, what is wrong with it, and in which line of it
    (f"1\tb\t_\tX{ROW}2\tc\t_\tX\t_\n", "5 columns where CoNLL-U has 10", 1),
    (
        f"1\tb\t_\tX{ROW}\n".replace("\t", " ").strip() + "\n",
        "1 column where CoNLL-U has 10; is the file cut off? the",
        0,
    ),
    (f"1\tb\t_\tX{ROW}3\tc\t_\tX{ROW}", "the ID is '3', expected 2", 1),
    (f"one\tb\t_\tX{ROW}", "the ID is 'one', expected 1", 0),
    (f"\u00b2\tb\t_\tX{ROW}", "the ID is '\u00b2', expected 1", 0),
    (f"{'1' * 5000}\tb\t_\tX{ROW}", f"the ID is '{'1' * 40}', expected 1", 0),
    (f"1\t\t_\tX{ROW}", "the word is empty", 0),
    (f"1\tb\t_\t_{ROW}", "the word 'b' has no tag in column upos", 0),
]
BAD_COLUMNS = [
    ("b\tX\nc\n", "1 column where the words are in column 0 and the tags in -1", 1),
    ("b\tX\nc\tY\tZ\n", "3 columns where the sentence's first line has 2", 1),
    ("\tX\n", "the word is empty", 0),
    ("b\t\n", "the word 'b' has no tag", 0),
    (f"{'b' * 9999}\t_\n", f"the word '{'b' * 40}' has no tag", 0),
]


@pytest.mark.parametrize(
    ("good", "bad", "message", "place"),
    [(f"1\ta\t_\tX{ROW}", *case) for case in BAD] + [("a\tX\n", *case) for case in BAD_COLUMNS],
)
def test_a_bad_sentence_is_reported_with_its_line_and_the_rest_is_read(good, bad, message, place):
    text = f"{good}\n{bad}\n{good}\n"
    sentences, problems = read(text)
    assert [sentence.words for sentence in sentences] == [["a"], ["a"]]
    assert problems.count == 1
    assert problems.first.startswith(f"f:{3 + place}: {message}")
    assert "skipped" in problems.first


def test_in_prediction_a_bad_sentence_is_copied():
    text = f"1\ta\t_\tX{ROW}\n1\tb\n\n# a comment alone\n\n1\tc\t_\t_{ROW}\n"
    sentences, problems = read(text, tagged=False)
    first, problem, comment, last = sentences
    assert [first.words, comment.words, last.words] == [["a"], [], ["c"]]
    assert problems.count == 1
    assert (problem.where, problem.what.startswith("2 columns")) == (3, True)
    assert list(Conllu().write([problem, TaggedSentence(comment, [], [])])) == [
        "1\tb\n\n",
        "# a comment alone\n\n",
    ]


def test_a_file_of_words_alone_gets_a_column_of_tags():
    sentences, problems = read("EU\nrejects\n", tagged=False)
    assert problems.count == 0
    assert Columns().format_tagged(sentences[0], ["A", "B"]) == "EU\tA\nrejects\tB\n\n"


@pytest.mark.parametrize(
    ("line", "words", "tags", "expected"),
    [
        ("EU NNP", 0, 3, "EU NNP _ T"),
        ("EU\tNNP", 0, 3, "EU\tNNP\t_\tT"),
        ("EU", 0, -2, "EU\tT\t_"),
        ("EU ", 0, -1, "EU T"),
        ("EU\t", 0, -1, "EU\tT"),
        ("7 EU", 1, -1, "7 EU T"),
        ("B-ORG EU", 1, 0, "T EU"),
    ],
)
def test_the_tag_is_written_where_it_is_read_from_and_never_over_the_word(line, words, tags, expected):
    reader = Columns(words, tags)
    sentences, problems = read(f"{line}\n", tagged=False, reader=reader)
    assert (sentences[0].words, problems.count) == (["EU"], 0)
    written = reader.format_tagged(sentences[0], ["T"])
    assert written == f"{expected}\n\n"
    assert [(sentence.words, sentence.tags) for sentence in read(written, reader=reader)[0]] == [(["EU"], ["T"])]


def test_from_one_format_into_another():
    conllu, columns = read(TREEBANK, tagged=False)[0], read(COLUMNS, tagged=False)[0]
    assert Columns().format_tagged(conllu[1], ["X"]) == "#1\tX\n\n"
    assert Columns().format_tagged(conllu[0], list("VWXYZ")).endswith("L.A. now\tZ\n\n")
    assert [Conllu().format_tagged(sentence, ["X"] * len(sentence.words)) for sentence in columns] == [
        "",  # only -DOCSTART-
        "".join(f"{n}\t{word}\t_\tX{ROW}" for n, word in enumerate(["EU", "rejects", "#tag"], start=1)) + "\n",
    ]
    bad = read("1\tb\n", tagged=False, reader=Conllu())[0][0]
    assert list(Columns().write([bad])) == ["1\tb\n\n"]
    assert list(SentenceLines().write([bad])) == ["\n"]


def test_a_long_word_and_an_unfinished_last_line():
    word = "x" * 10_000
    assert read(f"{word}\tO")[0][0].words == [word]


def test_the_format_is_detected(tmp_path):
    assert isinstance(detect_sentence_format(TREEBANK), Conllu)
    assert isinstance(detect_sentence_format(COLUMNS), Columns)
    assert isinstance(detect_sentence_format(TREEBANK, "3"), Columns)
    assert isinstance(detect_sentence_format(f"#newdoc\n1-2\tb\t_\tX{ROW}"), Conllu)
    assert isinstance(detect_sentence_format("#tag\tO\nb\tO\n"), Columns)
    cut = tmp_path / "cut.conllu"
    cut.write_text("1\tb\t_\n")
    assert isinstance(detect_sentence_format(cut), Conllu)
    with pytest.raises(UsageError, match=re.escape("`word_column` -1: count")):
        detect_sentence_format(COLUMNS, words=-1)
    with pytest.raises(UsageError, match='no such column; did you mean "upos"'):
        detect_sentence_format(TREEBANK, "uposs")
    with pytest.raises(UsageError, match="holds the words"):
        detect_sentence_format(COLUMNS, "0")


def test_tags_that_cannot_follow_are_reported():
    sentences, _ = read("a\tO\nb\tI-LOC\n\nc\tB-LOC\nd\tI-LOC\n")
    problems = Problems()
    report_inconsistencies("f", sentences, "bio", problems)
    assert problems.count == 1
    assert problems.first.startswith("f:2: I-LOC is not allowed here in BIO")


def test_a_pipe_is_answered_before_waiting_for_more():
    pipe = Pipe([b"a\tX\n\nb", b"\tX\n\n", b"c\tX\n\n"])
    lines = Lines(pipe)
    groups = group_available(Columns().read(lines, Problems(), tagged=True), lines, most=100)
    seen = []
    for group in groups:
        seen.append(([sentence.words[0] for sentence in group], pipe.given))
    assert [names for names, _ in seen] == [["a"], ["b"], ["c"]]
    assert [given for _, given in seen] == [1, 2, 3]


def without_comments(text, comments):
    kept = [line for line in text.splitlines(keepends=True) if line.removesuffix("\n") not in comments]
    return "".join(kept)


WITH_COMMENTS = {  # a file, the columns of the words and the tags, and the lines that are comments
    "germeval": (
        "#\thttp://example.org/1\t[2009]\n1\tSchartau\tB-PER\tO\n2\tsagte\tO\tO\n\n#\thttp://example.org/2\t[2010]\n"
        "1\tKarl\tB-PER\tO\n",
        (1, 2),
        ["#\thttp://example.org/1\t[2009]", "#\thttp://example.org/2\t[2010]"],
    ),
    "germeval, as many columns": (
        "#\thttp://example.org/1\t[2009]\n1\tSchartau\tB-PER\n2\t#\tO\n\n#\thttp://example.org/2\t[2010]\n1\tKarl\tO\n",
        (1, -1),
        ["#\thttp://example.org/1\t[2009]", "#\thttp://example.org/2\t[2010]"],
    ),
    "germeval, with the last column": (
        "#\thttp://example.org/1\t[2009]\n1\tSchartau\tB-PER\tO\n2\tsagte\tO\tO\n\n",
        (1, -1),
        ["#\thttp://example.org/1\t[2009]"],
    ),
    "multiconer": (
        "# id 5239\tdomain=train\nrobert _ _ B-PER\ngottschalk _ _ I-PER\n\n# id 7\tdomain=train\nno _ _ O\n",
        (0, -1),
        ["# id 5239\tdomain=train", "# id 7\tdomain=train"],
    ),
    "multiconer, as many columns": (
        "# id 5239 domain=train\nrobert _ _ B-PER\n# _ _ O\n\n# id 7 domain=train\n# _ _ O\nno _ _ O\n",
        (0, -1),
        ["# id 5239 domain=train", "# id 7 domain=train"],
    ),
    "conll-2012": (
        "#begin document (bn/abc/00); part 000\nbn 0 yes UH O\n\nbn 0 no UH O\n\n#end document\n",
        (2, -1),
        ["#begin document (bn/abc/00); part 000", "#end document"],
    ),
    "several": (
        "# newdoc\n# sent = a\n# text = # so\n# O\nso O\n",
        (0, -1),
        ["# newdoc", "# sent = a", "# text = # so"],
    ),
    "tweets": (
        "#fail\tO\nat\tO\n#Oslo\tB-LOC\n\n#Oslo\tB-LOC\n\n"
        "#first\tB-MISC\nof\tO\n\n#\tO\n#1\tO\n\n# sent_id = 3\n#\tB-LOC\n",
        (0, -1),
        ["# sent_id = 3"],
    ),
    "words alone": ("# text = #so , so\n#so\n,\nso\n\n#\n\n#so\n", (0, -1), ["# text = #so , so"]),
}


@pytest.mark.parametrize("kind", WITH_COMMENTS)
def test_a_file_with_comments_is_read_like_one_without(tmp_path, kind):
    text, (words, tags), comments = WITH_COMMENTS[kind]
    twin = without_comments(text, comments)
    path = tmp_path / "file"
    path.write_text(text)
    tagged = kind != "words alone"
    wanted, no_problems = read(twin, tagged, Columns(words, tags))
    for source in (text, path):
        problems = Problems()
        found = list(Columns(words, tags).read(Lines(source), problems, tagged=tagged))
        found = [sentence for sentence in found if sentence.words]
        assert [(sentence.words, sentence.tags) for sentence in found] == [
            (sentence.words, sentence.tags) for sentence in wanted
        ]
        assert (problems.count, no_problems.count) == (0, 0)
    places = {line: number for number, line in enumerate(text.splitlines(), start=1)}
    assert not {sentence.line + row for sentence in found for row in sentence.rows} & {
        places[line] for line in comments
    }


@pytest.mark.parametrize("kind", WITH_COMMENTS)
def test_comments_are_copied_and_only_words_are_tagged(kind):
    text, (words, tags), comments = WITH_COMMENTS[kind]
    reader = Columns(words, tags)
    sentences, problems = read(text, False, reader)
    written = "".join(reader.format_tagged(sentence, ["T"] * len(sentence.words)) for sentence in sentences)
    lines = [line for line in written.splitlines() if line]
    assert [line for line in lines if line in comments] == comments
    assert all(re.search(r"\bT\b", line) for line in lines if line not in comments)
    assert problems.count == 0


def test_comments_from_a_pipe_are_recognised_by_their_sentence():
    pipe = Pipe([b"# id 5239\tdomain=train\nrobert _ _ B-PER\n# _ _ O\n\n", b"#tag _ _ O\n", b"x _ _ O\n\n"])
    sentences = list(Columns().read(Lines(pipe), Problems(), tagged=True))
    assert [sentence.words for sentence in sentences] == [["robert", "#"], ["#tag", "x"]]


def test_a_line_with_other_columns_inside_a_sentence_is_reported():
    sentences, problems = read("a\tX\n#tag\nb\tX\n\n#c\tX\nd\tX\n")
    assert [sentence.words for sentence in sentences] == [["#c", "d"]]
    assert problems.first.startswith("f:2: 1 column")
    sentences, problems = read("#tag NN O\nEU NNP\n\na NN O\nb NN O\n")
    assert [sentence.words for sentence in sentences] == [["a", "b"]]
    assert problems.first.startswith("f:2: 2 columns where the sentence's first line has 3")


def test_spaces_around_a_tag_are_ignored():
    sentences, problems = read("EU\tB-ORG \nsleeps\t O\n\nEU\tB-ORG\nso\t \n")
    assert [sentence.tags for sentence in sentences] == [["B-ORG", "O"]]
    assert problems.first.startswith("f:5: the word 'so' has no tag")
    assert read(f"1\ta\t_\tX {ROW}1\ta\t_\tX{ROW}".replace("\n1", "\n\n1"))[0][0].tags == ["X"]


def test_words_that_are_numbers_of_words_are_refused():
    text, _, _ = WITH_COMMENTS["germeval"]
    read(text, True, Columns(1, 2))
    read(text, False, Columns())
    read("1\tO\n\n1\tO\n", True)
    read("1\tO\n2\tO\n\n3\tO\n", True)
    with pytest.raises(DataError, match=r"f: column 0 holds the numbers of the words.*such as `word_column` 1$"):
        read(text, True, Columns())


@pytest.mark.parametrize("name", ["words.txt", "words.conllu"])
def test_columns_read_as_conllu_are_one_error_with_the_remedy(tmp_path, name):
    path = tmp_path / name
    path.write_text("# a comment\nEU NNP B-ORG\nrejects VBZ O\n\nGerman JJ B-MISC\n")
    with pytest.raises(DataError, match=rf"{name}: has 3 columns, but CoNLL-U has 10; .*`column` 2$"):
        list(detect_sentence_format(path, "upos").read(Lines(path), Problems(), tagged=True))
    found = list(detect_sentence_format(path, "2").read(Lines(path), Problems(), tagged=True))
    assert [sentence.tags for sentence in found] == [["B-ORG", "O"], ["B-MISC"]]


@pytest.mark.parametrize(("words", "tags"), [(0, -1), (1, 0), (0, 3), (2, -1), (1, -2), (0, -3), (3, 1)])
def test_columns_written_from_another_format_can_be_read_back(words, tags):
    sentence = next(SentenceLines().read(Lines("Teddy bears!"), Problems()))
    columns = Columns(words, tags)
    written = columns.format_tagged(sentence, ["A", "B", "C"])
    found = next(columns.read(Lines(written), Problems(), tagged=True))
    assert (found.words, found.tags) == (["Teddy", "bears", "!"], ["A", "B", "C"])
    assert Columns(1, 0).row("Teddy", "A") == "A\tTeddy"


GERMEVAL = "#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann\t[2009-10-17]\n1\tAufgrund\tO\tO\n2\tTroias\tB-LOC\tO\n\n"
MULTICONER = "# id 5ee17-a1\tdomain=en\nthe _ _ O\nTower _ _ B-LOC\n\n# id 77b\tdomain=en\nsleeps _ _ O\n\n"


@pytest.mark.parametrize(
    ("text", "columns", "words", "tags"),
    [
        (GERMEVAL * 2, Columns(1, 2), [["Aufgrund", "Troias"]] * 2, [["O", "B-LOC"]] * 2),
        (MULTICONER, Columns(), [["the", "Tower"], ["sleeps"]], [["O", "B-LOC"], ["O"]]),
    ],
)
def test_corpora_with_comments_in_columns(text, columns, words, tags):
    problems = Problems()
    found = list(columns.read(Lines(text), problems, tagged=True))
    assert [sentence.words for sentence in found] == words
    assert [sentence.tags for sentence in found] == tags
    assert problems.count == 0
    assert "".join(columns.write(TaggedSentence(one, one.tags, []) for one in found)) == text
