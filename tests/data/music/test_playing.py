"""The rules of a performance against a slow check of the whole performance after every event."""

import re

import numpy as np
import pytest

from elman.data.lines import Problems
from elman.data.music.events import EventTokenizer
from elman.data.music.playing import Limits, Performance, find_limits
from elman.data.music.tunes import Tune, read_tunes
from elman.data.samples import sample_text

LIMITS = Limits(polyphony=3, unison=2, longest=120)


@pytest.fixture(scope="module")
def tokenizer():
    return EventTokenizer("midilike")


def is_playable(names, limits):
    """Return whether events are the beginning of a performance within the limits; see :class:`Performance`."""
    time, notes, awaits_velocity = 0, [], False  # (pitch, begin) of the notes that sound, in order
    for name in names:
        kind, _, value = name.partition("_")
        if (kind == "Velocity") != awaits_velocity:
            return False
        awaits_velocity = kind == "NoteOn"
        if kind == "NoteOn":
            notes.append((value, time))
        elif kind == "NoteOff":
            first = next((note for note in notes if note[0] == value), None)
            if first is None or first[1] == time:
                return False
            notes.remove(first)
        elif kind == "TimeShift":
            beats, position, resolution = map(int, value.split("."))
            time += round(50 * (beats + position / resolution))
        elif kind == "EOS" and notes:
            return False
        same = [sum(other == pitch for other, _ in notes) for pitch, _ in notes]
        if len(notes) > limits.polyphony or max(same, default=0) > limits.unison:
            return False
        if any(time - began > limits.longest for _, began in notes):
            return False
    return True


def test_exactly_what_cannot_be_played_is_forbidden(tokenizer):
    generator = np.random.default_rng(5)
    names = tokenizer.names
    weights = np.array([8.0 if re.match("NoteO._6[0-3]|Velocity|NoteOff", name) else 0.1 for name in names])
    performance, played = Performance(names, LIMITS), []
    for step in range(400):
        forbidden = performance.forbidden()
        assert not forbidden.all()
        if step % 40 == 0:
            for number in range(tokenizer.end_id, len(names)):
                assert forbidden[number] != is_playable([*played, names[number]], LIMITS), names[number]
        allowed = np.where(forbidden, 0, weights)
        allowed[: tokenizer.end_id + 1] = 0
        number = generator.choice(len(names), p=allowed / allowed.sum())
        performance.take([number])
        played.append(names[number])
    assert {name.partition("_")[0] for name in played} == {"NoteOn", "Velocity", "NoteOff", "TimeShift"}


def test_notes_that_still_sound_can_be_ended(tokenizer):
    number = {name: index for index, name in enumerate(tokenizer.names)}
    events = [number[name] for name in ("NoteOn_60", "Velocity_79", "TimeShift_1.0.50", "NoteOn_64", "Velocity_79")]
    performance = Performance(tokenizer.names, LIMITS)
    performance.take(events)
    assert performance.release() == [number["NoteOff_60"]]  # the other one has not lasted yet
    np.testing.assert_allclose(tokenizer.decode([*events, *performance.release()]).notes[:, :3], [[0, 0.5, 60]])


def test_limits_are_what_real_tunes_just_reach(tokenizer):
    tunes = [tokenizer.encode(tune) for tune in read_tunes(sample_text("tunes"), Problems())[:3]]
    limits = find_limits(tokenizer.names, np.concatenate(tunes))
    assert limits.unison == 2  # the melody and the chords are played together
    played = [[tokenizer.names[number] for number in tune] + ["EOS_None"] for tune in tunes]
    assert all(is_playable(names, limits) for names in played)
    for field in Limits._fields:
        assert not all(is_playable(names, limits._replace(**{field: getattr(limits, field) - 1})) for names in played)
    number = {name: index for index, name in enumerate(tokenizer.names)}
    note = [number[name] for name in ("NoteOn_60", "Velocity_79", "TimeShift_0.20.50", "NoteOff_60")]
    stuck = [number["NoteOn_60"], number["Velocity_79"], *[number["TimeShift_2.0.50"]] * 50, number["NoteOff_60"]]
    assert find_limits(tokenizer.names, np.array([*note * 998, *stuck])).longest == 50 * 100  # of 999 notes
    assert find_limits(tokenizer.names, np.array([*note * 1000, *stuck])).longest == 20
    for tune in tunes:
        performance = Performance(tokenizer.names, limits)
        for event in [*tune.tolist(), tokenizer.end_id]:
            assert not performance.forbidden()[event]
            performance.take([event])


def test_a_primer_beyond_the_limits_can_be_continued(tokenizer):
    number = {name: index for index, name in enumerate(tokenizer.names)}
    performance = Performance(tokenizer.names, Limits(1, 1, 10))
    for pitch in (60, 64, 67):
        performance.take([number[f"NoteOn_{pitch}"], number["Velocity_79"], number["TimeShift_1.0.50"]])
    allowed = {tokenizer.names[place] for place in np.flatnonzero(~performance.forbidden()) if place > 2}
    assert allowed == {"NoteOff_60", "NoteOff_64", "NoteOff_67"}
    assert isinstance(tokenizer.decode([*performance.release()]), Tune)
