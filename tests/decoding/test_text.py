"""Where a text ends, against str.find."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.data.tokens.characters import CharacterTokenizer
from elman.decoding.text import StopBuffer, StreamText
from elman.errors import UsageError


def cut_by_hand(text, stops):
    places = [text.find(stop) for stop in stops if stop in text]
    return text[: min(places)] if places else text


@settings(max_examples=300)
@given(
    pieces=st.lists(st.text("ab", max_size=4), max_size=10),
    stops=st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_the_text_ends_before_the_first_stop_string(pieces, stops):
    buffer = StopBuffer(stops)
    out, stopped = "", False
    for count, piece in enumerate(pieces, start=1):
        out += buffer.push(piece)
        if stopped := buffer.stopped:
            break
        so_far = "".join(pieces[:count])
        # what is held back may begin a stop string; what was handed out can be none
        held = so_far.removeprefix(out)
        assert so_far == out + held
        assert held == "" or any(stop.startswith(held) for stop in stops)
    out += buffer.finish()
    read = "".join(pieces[:count]) if pieces else ""
    assert out == cut_by_hand(read, stops)
    assert stopped == any(stop in read for stop in stops)


def test_nothing_comes_after_the_stop():
    buffer = StopBuffer(["END"])
    assert buffer.push("a END b") == "a "
    assert (buffer.push("c"), buffer.finish()) == ("", "")


def test_stop_may_be_one_string():
    assert StopBuffer("END").push("the END") == "the "


@pytest.mark.parametrize("stop", [[""], "", ["a", ""]])
def test_an_empty_stop_string_is_refused(stop):
    with pytest.raises(UsageError, match="empty"):
        StopBuffer(stop)


@settings(max_examples=100)
@given(
    text=st.text("ab", max_size=12),
    cuts=st.sets(st.integers(0, 12)),
    stops=st.lists(st.text("ab", min_size=1, max_size=3)),
)
def test_a_stream_returns_the_number_of_ids_used(text, cuts, stops):
    """Into whichever chunks the ids are split; the end token ends the text too."""
    tokenizer = CharacterTokenizer.train(["ab"])
    ids = [*tokenizer.encode(text).tolist(), tokenizer.end_id, *tokenizer.encode("ba")]
    stream = StreamText(tokenizer.stream_decoder(), tokenizer.end_id, stops)
    read, out = 0, ""
    places = sorted({0, len(ids), *(cut for cut in cuts if cut < len(ids))})
    for start, end in pairwise(places):
        taken = stream.take(ids[start:end])
        out += stream.piece()
        read += end - start if taken is None else taken
        if taken is not None:
            break
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    assert read == min(ends, default=len(text) + 1)
    assert out + stream.finish() == cut_by_hand(text[:read], stops)
