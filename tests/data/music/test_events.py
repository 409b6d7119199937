"""Tunes to events and back, against notes written by hand."""

import numpy as np
import pytest

from elman.data.music.events import EventTokenizer
from elman.data.music.tunes import Tune
from elman.errors import DataError, ModelError

from .by_hand import NOTES, TUNE, midi, off, on, tempo


def test_performed_events_keep_time_and_velocity():
    tokenizer = EventTokenizer("midilike")
    tune = Tune.read(TUNE, "t")
    ids = tokenizer.encode(tune)
    names = [tokenizer.names[number] for number in ids]
    assert [name for name in names if name.startswith("NoteO")] == [
        *("NoteOn_60", "NoteOff_60", "NoteOn_64", "NoteOn_67", "NoteOff_64", "NoteOff_67")
    ]
    again = tokenizer.decode(ids).notes
    np.testing.assert_allclose(again[:, :3], np.array(NOTES)[:, :3], atol=0.005)  # the step is a hundredth of a second
    np.testing.assert_allclose(again[:, 3], np.array(NOTES)[:, 3], atol=4)  # there are 32 levels of velocity


def test_uneven_timing_is_kept_to_a_hundredth_of_a_second():
    generator = np.random.default_rng(4)
    starts = np.cumsum(generator.uniform(0.05, 1.7, 40))
    events, before = [(0, tempo(60))], 0
    for start in starts:  # 1000 ticks per second
        tick = round(1000 * start)
        events += [(tick - before, on(70, 90)), (37, off(70))]
        before = tick + 37
    tune = Tune.read(midi(events, 1000), "t")
    tokenizer = EventTokenizer("midilike")
    found = tokenizer.decode(tokenizer.encode(tune)).notes
    np.testing.assert_allclose(found[:, 0], starts, atol=0.0051)


def test_remi_keeps_bars_tempo_and_beats():
    tune = Tune.read(midi([(0, tempo(90)), *[event for _ in range(9) for event in ((0, on(60)), (480, off(60)))]]), "t")
    tokenizer = EventTokenizer("remi")
    ids = tokenizer.encode(tune).tolist()
    assert len(tokenizer.bars(ids)) == 3  # nine quarter notes, four in a bar
    again = tokenizer.decode(ids)
    np.testing.assert_allclose(again.notes[:, 0], tune.notes[:, 0], rtol=0.03)  # there are 32 tempos
    assert {note.pitch for track in again.score.tracks for note in track.notes} == {60}


@pytest.mark.parametrize("kind", EventTokenizer.kinds)
def test_a_transposed_tune_has_the_events_of_the_tune_transposed(kind):
    tokenizer = EventTokenizer(kind)
    higher = midi([(0, tempo(60)), (0, on(65, 64)), (480, off(65))])
    lower = midi([(0, tempo(60)), (0, on(60, 64)), (480, off(60))])
    ids = tokenizer.encode(Tune.read(lower, "t"))
    np.testing.assert_array_equal(tokenizer.transposed_ids(5)[ids], tokenizer.encode(Tune.read(higher, "t")))
    np.testing.assert_array_equal(tokenizer.transposed_ids(0)[ids], ids)
    highest = [name for name, moved in zip(tokenizer.names, tokenizer.transposed_ids(5), strict=True) if moved < 0]
    assert highest
    assert all(int(name.split("_")[1]) > 122 for name in highest)


def test_every_event_is_written_and_read_back():
    for kind in EventTokenizer.kinds:
        tokenizer = EventTokenizer(kind)
        assert EventTokenizer.from_json(tokenizer.to_json()).names == tokenizer.names
    for text in ("{", "{}", '{"events": "opera", "names": []}', '{"events": "remi", "names": ["x"]}'):
        with pytest.raises(ModelError, match=r"events\.json"):
            EventTokenizer.from_json(text)


def test_a_damaged_midi_is_at_most_a_data_error():
    tokenizers = [EventTokenizer(kind) for kind in EventTokenizer.kinds]
    for place in range(len(TUNE)):
        for value in (0, 127, 128, 255):
            content = TUNE[:place] + bytes([value]) + TUNE[place + 1 :]
            try:
                tune = Tune.read(content, "t")
                assert all(len(tokenizer.encode(tune)) < 100_000 for tokenizer in tokenizers)
            except DataError as error:
                assert str(error).startswith("t: ")  # noqa: PT017 (most contents are music)


@pytest.mark.parametrize("kind", EventTokenizer.kinds)
def test_any_error_of_miditok_becomes_a_data_error(kind, monkeypatch):
    tokenizer, tune = EventTokenizer(kind), Tune.read(TUNE, "t.mid")

    def fail(_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(tokenizer, "_machine", type("Machine", (), {"encode": staticmethod(fail)}))
    with pytest.raises(DataError, match=rf"^t\.mid: cannot be represented in {kind} events \(division by zero\)"):
        tokenizer.encode(tune)
