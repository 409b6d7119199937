"""Files that are given to a tagger by mistake."""

from pathlib import Path

import pytest

from elman.data.formats.columns import Columns
from elman.data.formats.detection import detect_sentence_format
from elman.data.formats.resemblance import describe_other_format
from elman.data.samples import sample_text
from elman.errors import DataError

PROSE = """It was the best of times, it was the worst of times, it was the age of wisdom,
it was the age of foolishness,
it was the epoch of belief, it was the epoch of incredulity,

it was the season of Light, it was
the spring of hope,
"""
OTHERS = {
    "plain text": [PROSE, sample_text("topics")],
    "a table with commas": ["text,label\nso so,bad\nfine,good\n", "a,b\nc,d\ne,f\n", sample_text("messages")],
    "a table with semicolons": ["text;label\nso so;bad\nfine;good\n"],
    "JSON lines": ['{"text": "so so"}\n{"text": "fine"}\n{"text": "no"}\n'],
}


@pytest.mark.parametrize("found", OTHERS)
@pytest.mark.parametrize("column", [None, "1"])
def test_a_file_that_is_not_columns_is_refused(found, column, tmp_path):
    for text in OTHERS[found]:
        (tmp_path / "file.txt").write_text(text)
        for source in (text, tmp_path / "file.txt"):
            with pytest.raises(DataError, match=f"looks like {found}, .*`input_format` text"):
                detect_sentence_format(source, column)


COLUMNS = {
    "a word a line": "the\ncat\n\nsat\n",
    "commas among the words": ", PUNCT\n; PUNCT\n, PUNCT\n",
    "many commas": "a,b X\nc Y\nd Z\n",
    "four columns": "EU NNP I-NP B-ORG\nrejects VBZ I-VP O\n\n. . O O\n",
    "one line that is cut off": "EU B-ORG\nrejects O\nGerman B-MISC\ncall\n",
    "few lines": "it was the best\nof times\n",
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_columns(name):
    assert isinstance(detect_sentence_format(COLUMNS[name]), Columns)


def test_few_rows_are_not_judged():
    assert describe_other_format([]) == ""
    assert describe_other_format(["a b", "c"]) == ""


def test_the_ending_of_a_file_comes_before_its_content():
    assert detect_sentence_format(Path("nowhere.conllu")).name == "conllu"
