import re
from collections import Counter

import pytest
from hypothesis import given

from elman.data.tokens.words import SpaceTokenizer, WordTokenizer
from elman.errors import DataError, UsageError

from .texts import texts_of


def split_words(text: str) -> list[str]:
    """Split ASCII text into words without a regular expression."""
    words, word, position = [], "", 0
    while position < len(text):
        char = text[position]
        inside = char.isalnum() or char == "_"
        following = text[position + 1 : position + 2]
        if inside or (word and char == "'" and (following.isalnum() or following == "_")):
            word += char
            position += 1
            continue
        if word:
            words.append(word)
            word = ""
        ending = re.match(r"'(s|d|m|t|ll|re|ve)(?![a-zA-Z0-9_])", text[position:])
        token = "<unk>" if text.startswith("<unk>", position) else ending[0] if ending else char
        if not token.isspace() or token == "\n":
            words.append(token)
        position += len(token)
    return [*words, word] if word else words


@given(texts_of("a", "B_", "9", "'", "s", "ll", "<unk>", "<", ">", " ", "\n", "\t", ",", "(", "<s>"))
def test_words_against_a_plain_reference(text: str) -> None:
    counts = Counter(split_words(text))
    del counts["<unk>"]
    if not counts:
        return
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    tokenizer = WordTokenizer.train([text], min_count=1)
    assert tokenizer.tokens(range(3, tokenizer.vocab_size)) == expected
    ids = {word: 3 + rank for rank, word in enumerate(expected)}
    assert tokenizer.encode(text).tolist() == [ids.get(word, 0) for word in split_words(text)]


def test_words_are_limited_in_number_and_count() -> None:
    chunks = ["c c c b", " b a a a x"]
    assert WordTokenizer.train(chunks).tokens(range(6)) == ["<unk>", "<s>", "</s>", "a", "c", "b"]
    assert WordTokenizer.train(chunks, max_vocab=5).vocab_size == 5
    assert WordTokenizer.train(chunks, min_count=1).vocab_size == 7
    assert WordTokenizer.train(chunks).encode("b x a").tolist() == [5, 0, 3]
    with pytest.raises(DataError, match=r"no word of the text occurs 4 times"):
        WordTokenizer.train(chunks, min_count=4)
    with pytest.raises(UsageError, match=r"a vocabulary of 3 words is too small"):
        WordTokenizer.train(chunks, max_vocab=3)


def test_words_are_spaced_as_in_print() -> None:
    text = "Hello, (dear) reader: it's 'so' <unk>!\nNext line; don't?\n\n"
    tokenizer = WordTokenizer.train([text], min_count=1)
    assert tokenizer.decode(tokenizer.encode(text)) == "Hello, (dear) reader: it's' so' <unk>!\nNext line; don't?\n\n"
    corpus_style = WordTokenizer.train(["the dog 's tail"], min_count=1)
    assert corpus_style.decode(corpus_style.encode("the dog 's tail")) == "the dog's tail"
    assert WordTokenizer.train(["हिन्दी हिन्दी"]).vocab_size == 4  # combining marks stay in their word


def split_at_spaces(text: str) -> list[str]:
    """Split a text into what stands between white space, and line ends, without a regular expression."""
    first, *others = (line.split() for line in text.split("\n"))
    return sum((["\n", *line] for line in others), first)


@given(texts_of("a", "B_", "'s", "<unk>", "<s>", "</s>", " ", "\n", "\t", "\xa0", "\x1f", ",", "(", "é"))
def test_tokens_between_white_space_against_a_plain_reference(text: str) -> None:
    counts = Counter(split_at_spaces(text))
    for special in ("<unk>", "<s>", "</s>"):
        del counts[special]
    if not counts:
        return
    expected = sorted(counts, key=lambda word: (-counts[word], word))
    tokenizer = SpaceTokenizer.train([text], min_count=1)
    assert tokenizer.tokens(range(3, tokenizer.vocab_size)) == expected
    ids = {word: 3 + rank for rank, word in enumerate(expected)}
    assert tokenizer.encode(text).tolist() == [ids.get(word, 0) for word in split_at_spaces(text)]


def test_a_tokenized_text_is_written_back_as_it_stands() -> None:
    text = " no , it was n't black monday .\n\n <unk>'s ( n ) 's '\n"
    tokenizer = SpaceTokenizer.train([text], min_count=1)
    assert tokenizer.decode(tokenizer.encode(text)) == "no , it was n't black monday .\n\n<unk>'s ( n ) 's '\n"


def test_a_text_with_unk_keeps_its_vocabulary() -> None:
    words = " ".join(f"w{number}" for number in range(12_000))
    plain, marked = SpaceTokenizer.train([f"{words} w1 w2"]), SpaceTokenizer.train([f"{words} w1 <unk>"])
    assert plain.tokens(range(3, plain.vocab_size)) == ["w1", "w2"]
    assert SpaceTokenizer.train([words, " ", words]).vocab_size == 10_000
    assert marked.vocab_size == 3 + 12_000
    assert SpaceTokenizer.train([f"{words} <unk>"], max_vocab=100).vocab_size == 100
    assert SpaceTokenizer.train([f"{words} w1 <unk>"], min_count=2).vocab_size == 4
