"""Tagging schemes against a search by regular expression, and the round trip through BIO."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.data import schemes
from elman.errors import UsageError

LETTERS = {"P": "PER", "L": "LOC"}


@st.composite
def consistent_bio(draw):
    tags = []
    for kind, length in draw(st.lists(st.tuples(st.sampled_from(["O", "PER", "LOC"]), st.integers(1, 3)), max_size=6)):
        tags += ["O"] * length if kind == "O" else [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
    return tags


def spans_by_search(tags):
    """Find spans by a regular expression over two-character tags: any letter, then each I of the same type."""
    text = "".join("--" if tag == "O" else tag[0] + tag[2] for tag in tags)
    found = []
    for kind, name in LETTERS.items():
        for match in re.finditer(f"(?:B{kind}|(?<!I{kind})(?<!B{kind})I{kind})(?:I{kind})*", text):
            if match.start() % 2 == 0:
                found.append((match.start() // 2, match.end() // 2, name))
    return sorted(found)


@given(st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=12))
def test_spans_agree_with_a_search(tags):
    assert schemes.find_spans(tags) == spans_by_search(tags)


@pytest.mark.parametrize("scheme", schemes.SCHEMES)
@given(tags=consistent_bio())
def test_converting_to_a_scheme_and_back(scheme, tags):
    written = schemes.from_bio(tags, scheme)
    assert schemes.to_bio(written, scheme) == tags
    assert schemes.find_spans(schemes.to_bio(written, scheme)) == schemes.find_spans(tags)
    assert schemes.find_inconsistencies(written, scheme) == []


EXAMPLE = {
    "bio": ["B-P", "I-P", "B-P", "O", "B-L"],
    "iob1": ["I-P", "I-P", "B-P", "O", "I-L"],
    "bioes": ["B-P", "E-P", "S-P", "O", "S-L"],
    "bilou": ["B-P", "L-P", "U-P", "O", "U-L"],
    "bmes": ["B-P", "M-P", "E-P", "S-P"],
}


@pytest.mark.parametrize("scheme", schemes.SCHEMES)
def test_examples_by_hand(scheme):
    bio = ["B-P", "I-P", "I-P", "B-P"] if scheme == "bmes" else EXAMPLE["bio"]
    assert schemes.to_bio(EXAMPLE[scheme], scheme) == bio
    assert schemes.from_bio(bio, scheme) == EXAMPLE[scheme]
    assert schemes.detect_scheme([EXAMPLE[scheme]]) == scheme


@pytest.mark.parametrize("scheme", schemes.SCHEMES)
@given(tags=consistent_bio())
def test_tags_without_a_type_are_those_of_one_type(scheme, tags):
    tags = ["O" if tag == "O" else f"{tag[0]}-X" for tag in tags]
    bare = [tag.removesuffix("-X") for tag in tags]
    written = [tag.removesuffix("-X") for tag in schemes.from_bio(tags, scheme)]
    assert schemes.from_bio(bare, scheme) == written
    assert schemes.to_bio(written, scheme) == bare
    assert [span[:2] for span in schemes.find_spans(bare)] == [span[:2] for span in schemes.find_spans(tags)]
    assert schemes.find_inconsistencies(written, scheme) == []
    for ours, theirs in zip(
        schemes.allowed_transitions(["B", "I", "O"]), schemes.allowed_transitions(["B-X", "I-X", "O"]), strict=True
    ):
        assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["NOUN", "VERB"], ""),
        (["O", "O"], ""),
        (["B-P", "I-L", "O"], "bio"),
        (["I-P", "O", "I-P"], "iob1"),
        (["X-P", "O"], ""),
        (["-", "O"], ""),
        (["B-P", "E-P", "U-P"], ""),
        (["B-", "O"], ""),
        (["B-P", "O", "I-P", "O", "B-P"], "bio"),
        (["B-P", "O", "I-P", "O", "I-P"], "iob1"),
        (["I-P", "B-P", "B-P"], "iob1"),
        (["B", "I", "O"], "bio"),
        (["O", "I", "O"], "iob1"),
        (["B", "M", "E", "S"], "bmes"),
        (["B", "E", "S"], "bioes"),
        (["S", "M", "L"], ""),
        (["B", "I-P"], ""),
        (["B-P", "M-P", "I-P"], ""),
    ],
)
def test_the_scheme_is_detected(tags, scheme):
    assert schemes.detect_scheme([tags]) == scheme


@given(consistent_bio().filter(bool))
def test_exactly_the_consistent_transitions_are_allowed(tags):
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    may_follow, may_begin = schemes.allowed_transitions(labels)
    ids = [labels.index(tag) for tag in tags]
    assert may_begin[ids[0]]
    assert all(may_follow[a, b] for a, b in pairwise(ids))
    for before in range(5):
        for after in range(5):
            pair = [labels[before], labels[after]]
            clean = 1 not in schemes.find_inconsistencies(pair, "bio")
            assert bool(may_follow[before, after]) == clean


BROKEN = [  # tags, their scheme, the same in BIO, and the wrong positions
    (["O", "I-P", "I-P"], "bio", ["O", "B-P", "I-P"], [1]),
    (["B-P", "I-L"], "bio", ["B-P", "B-L"], [1]),
    (["B-P", "I-P"], "iob1", ["B-P", "I-P"], [0]),
    (["E-P", "E-P"], "bioes", ["B-P", "B-P"], [0, 1]),
    (["S-P", "I-P", "E-P"], "bioes", ["B-P", "B-P", "I-P"], [1]),
    (["B-P", "I-P", "O"], "bilou", ["B-P", "I-P", "O"], [1]),
    (["NOUN", "B-", "E-P"], "bio", ["NOUN", "B-", "E-P"], [0, 1, 2]),
]


@pytest.mark.parametrize(("tags", "scheme", "bio", "places"), BROKEN)
def test_broken_tags_are_read_as_conlleval_reads_them(tags, scheme, bio, places):
    assert schemes.to_bio(tags, scheme) == bio
    assert schemes.find_inconsistencies(tags, scheme) == places


@given(st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), max_size=12))
def test_repairing_broken_bio_adds_no_span(tags):
    mended = schemes.to_bio(tags, "bio")
    assert schemes.find_inconsistencies(mended, "bio") == []
    assert schemes.find_spans(mended) == spans_by_search(tags)


def test_other_tags_are_not_spans_and_may_follow_each_other():
    assert schemes.find_spans(["NOUN", "I-", "E-P", "O"]) == []
    assert all(mask.all() for mask in schemes.allowed_transitions(["NOUN", "I-odd"]))
    with pytest.raises(UsageError, match='no scheme "bioe"; did you mean "bioes"'):
        schemes.to_bio(["O"], "bioe")
