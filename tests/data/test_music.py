"""Tunes to events and back, against notes written down by hand and MIDI bytes put together by hand."""

import io
import logging
import os
import wave

import numpy as np
import pytest

from elman.data.lines import Problems
from elman.data.music import EventTokenizer, Tune, cut, read_tunes
from elman.data.samples import sample_text
from elman.data.synthesis import RATE, synthesised
from elman.errors import DataError, ModelError


def midi(events, ticks_per_quarter=480, channel=0):
    """Put a MIDI file together: (ticks since the event before, bytes) one after the other."""

    def variable(number):
        groups = [number & 127]
        while number := number >> 7:
            groups.append(number & 127 | 128)
        return bytes(reversed(groups))

    track = b"".join(variable(delta) + data for delta, data in [*events, (0, b"\xff\x2f\x00")])
    head = b"MThd" + (6).to_bytes(4, "big") + (0).to_bytes(2, "big") + (1).to_bytes(2, "big")
    return head + ticks_per_quarter.to_bytes(2, "big") + b"MTrk" + len(track).to_bytes(4, "big") + track


def tempo(quarters_a_minute):
    return b"\xff\x51\x03" + round(60e6 / quarters_a_minute).to_bytes(3, "big")


def on(pitch, velocity=80, channel=0):
    return bytes([0x90 | channel, pitch, velocity])


def off(pitch, channel=0):
    return bytes([0x80 | channel, pitch, 0])


TUNE = midi(  # at 60 quarters a minute a quarter is a second; then at 120, half of one
    [
        (0, tempo(60)),
        (0, on(60, 64)),
        (480, off(60)),
        (240, on(64, 100)),
        (0, on(67, 30)),
        (240, off(64)),
        (0, tempo(120)),
        (480, off(67)),
    ]
)
NOTES = [(0.0, 1.0, 60, 64), (1.5, 0.5, 64, 100), (1.5, 1.0, 67, 30)]


def test_a_midi_file_is_read_with_its_tempos():
    np.testing.assert_allclose(Tune.read(TUNE, "t").notes, NOTES, atol=1e-6)


def test_performed_events_keep_time_and_velocity():
    tokenizer = EventTokenizer("midilike")
    tune = Tune.read(TUNE, "t")
    ids = tokenizer.encode(tune)
    names = [tokenizer.names[number] for number in ids]
    assert [name for name in names if name.startswith("NoteO")] == [
        *("NoteOn_60", "NoteOff_60", "NoteOn_64", "NoteOn_67", "NoteOff_64", "NoteOff_67")
    ]
    again = tokenizer.decode(ids).notes
    np.testing.assert_allclose(again[:, :3], np.array(NOTES)[:, :3], atol=0.005)  # a hundredth of a second is a step
    np.testing.assert_allclose(again[:, 3], np.array(NOTES)[:, 3], atol=4)  # and a 32nd of 127 is one of loudness


def test_uneven_timing_is_kept_to_a_hundredth_of_a_second():
    generator = np.random.default_rng(4)
    starts = np.cumsum(generator.uniform(0.05, 1.7, 40))
    events, before = [(0, tempo(60))], 0
    for start in starts:  # 1000 ticks a second
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
    assert len(tokenizer.bars(ids)) == 3  # nine quarters, four to a bar
    again = tokenizer.decode(ids)
    np.testing.assert_allclose(again.notes[:, 0], tune.notes[:, 0], rtol=0.03)  # tempos come in 32 steps
    assert {note.pitch for track in again.score.tracks for note in track.notes} == {60}


def test_drums_and_other_tracks():
    drums = midi([(0, on(36, channel=9)), (480, off(36, channel=9))])
    with pytest.raises(DataError, match=r"t: has no notes \(drums do not count\)"):
        Tune.read(drums, "t")


@pytest.mark.parametrize("kind", EventTokenizer.kinds)
def test_a_transposed_tune_has_the_events_of_the_tune_transposed(kind):
    tokenizer = EventTokenizer(kind)
    higher = midi([(0, tempo(60)), (0, on(65, 64)), (480, off(65))])
    lower = midi([(0, tempo(60)), (0, on(60, 64)), (480, off(60))])
    ids = tokenizer.encode(Tune.read(lower, "t"))
    np.testing.assert_array_equal(tokenizer.transposed(5)[ids], tokenizer.encode(Tune.read(higher, "t")))
    np.testing.assert_array_equal(tokenizer.transposed(0)[ids], ids)
    highest = [name for name, moved in zip(tokenizer.names, tokenizer.transposed(5), strict=True) if moved < 0]
    assert highest
    assert all(int(name.split("_")[1]) > 122 for name in highest)


def test_every_event_is_written_and_read_back():
    for kind in EventTokenizer.kinds:
        tokenizer = EventTokenizer(kind)
        assert EventTokenizer.from_json(tokenizer.to_json()).names == tokenizer.names
    for text in ("{", "{}", '{"events": "opera", "names": []}', '{"events": "remi", "names": ["x"]}'):
        with pytest.raises(ModelError, match=r"events\.json"):
            EventTokenizer.from_json(text)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"this is no midi file, whatever it is called", "not MIDI"),
        (b"", "not MIDI"),
        (TUNE[:30], "not MIDI|has no notes"),
        (midi([(0, tempo(60))]), "has no notes"),
        (midi([(0, tempo(4)), (0, on(60)), (0x0FFFFFF, off(60))]), "hours, where a tune has at most 2"),
    ],
)
def test_what_is_no_tune_says_so(content, said):
    with pytest.raises(DataError, match=f"^t.mid: .*({said})"):
        Tune.read(content, "t.mid")


def test_a_folder_is_read_in_order_and_what_is_no_music_is_left_out(tmp_path, caplog):
    (tmp_path / "b.mid").write_bytes(TUNE)
    (tmp_path / "a.midi").write_bytes(b"no")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.MID").write_bytes(TUNE)
    (tmp_path / "d.abc").write_text("X:1\nM:4/4\nL:1/4\nK:C\nCDEF|\n\nX:2\nM:4/4\nL:1/4\nK:C\nGABc|\n")
    (tmp_path / "notes.txt").write_text("not music")
    problems = Problems()
    with caplog.at_level(logging.WARNING):
        tunes = read_tunes(tmp_path, problems)
    assert len(tunes) == 4
    assert problems.count == 1
    assert "a.midi:1: not MIDI" in caplog.text
    assert tunes[1].notes[:, 2].tolist() == [60, 62, 64, 65]


def test_a_folder_without_music_says_what_it_needs(tmp_path):
    with pytest.raises(DataError, match=r"holds no music; there must be files that end in \.mid"):
        read_tunes(tmp_path, Problems())
    with pytest.raises(DataError, match="no such file"):
        read_tunes(tmp_path / "missing.mid", Problems())
    with pytest.raises(DataError, match="holds no tune"):
        read_tunes("no abc at all", Problems())
    with pytest.raises(DataError, match=r"^text: holds no tune$"):
        read_tunes("no abc\n" * 99, Problems())


def test_the_sample_is_music():
    problems = Problems()
    tunes = read_tunes(sample_text("tunes"), problems)
    assert (len(tunes), problems.count) == (60, 0)
    assert all(20 < tune.seconds < 60 for tune in tunes)
    assert all(40 < tune.notes[:, 2].mean() < 75 for tune in tunes)


def test_cutting_ends_what_sounds():
    tune = Tune.read(TUNE, "t")
    short = cut(tune, 1.75)
    assert short.seconds == pytest.approx(1.75, abs=0.01)
    assert len(short.notes) == 3
    assert cut(tune, 99).seconds == tune.seconds
    assert len(cut(tune, 1.2).notes) == 1


def test_a_sine_of_440_is_heard():
    with wave.open(io.BytesIO(synthesised(np.array([[0.0, 1.0, 69.0, 100.0]])))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    assert len(samples) / RATE == pytest.approx(1.24, abs=0.01)
    spectrum = np.abs(np.fft.rfft(samples[:RATE]))  # a bin is 1 Hz
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert np.abs(samples).max() < 32767
    assert np.abs(samples[-50:]).max() < 50


def melody(pitch=60):
    return midi(
        [(0, tempo(60)), *((delta, event) for _ in range(4) for delta, event in ((0, on(pitch)), (480, off(pitch))))]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (midi([(0, on(60)), (480, off(60))], ticks_per_quarter=0), r"not MIDI \(its header tells of 0 ticks"),
        (midi([(0, on(60)), (480, off(60))], ticks_per_quarter=0xE728), "not MIDI"),  # frames a second
        (
            midi([(0, b"\xff\x51\x03\x00\x00\x01"), (0x0FFFFFFF, on(60)), (10, off(60))], 1),  # a microsecond a quarter
            "has 268,435,465 quarter notes of time, where a tune has at most 100,000",
        ),
        (midi([(0, on(60)), (480, off(60)), (0x0FFFFFFF, tempo(60))]), "has 559,241 quarter notes of time"),
        (midi([(0, on(60)), (1, off(60))] * 500_001), "has 500,001 notes, where a tune has at most 500,000"),
    ],
)
def test_a_tune_of_no_measure_says_so(content, said):
    with pytest.raises(DataError, match=f"^t.mid: {said}"):
        Tune.read(content, "t.mid")


def test_no_damaged_midi_is_more_than_a_data_error():
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
def test_whatever_the_library_of_events_raises_is_a_problem_of_the_tune(kind, monkeypatch):
    tokenizer, tune = EventTokenizer(kind), Tune.read(TUNE, "t.mid")

    def fail(_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(tokenizer, "_machine", type("Machine", (), {"encode": staticmethod(fail)}))
    with pytest.raises(DataError, match=rf"^t\.mid: cannot be told in {kind} events \(division by zero\)"):
        tokenizer.encode(tune)


ABC = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF|\n"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_abc_with_any_end_of_lines_and_a_byte_order_mark(tmp_path, end, mark):
    path = tmp_path / "t.abc"
    path.write_text(mark + (ABC + "\n" + ABC.replace("CDEF", "GABc")).replace("\n", end), newline="")
    assert [tune.notes[:, 2].tolist() for tune in read_tunes(path, Problems())] == [[60, 62, 64, 65], [67, 69, 71, 72]]


def test_each_file_of_a_folder_that_cannot_be_read_is_left_out_and_counted(tmp_path, caplog):
    (tmp_path / "good.mid").write_bytes(melody())
    (tmp_path / "zero.mid").write_bytes(midi([(0, on(60)), (480, off(60))], ticks_per_quarter=0))
    (tmp_path / "latin.abc").write_bytes(b"X:1\nT:Fianc\xe9\nK:C\nCDEF|\n")
    (tmp_path / "wide.abc").write_text(ABC, encoding="utf-16")
    (tmp_path / "good.abc").write_text(ABC)
    (tmp_path / "gone.mid").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.mid")
    (tmp_path / "folder.mid").mkdir()
    problems = Problems(shown=99)
    assert [tune.name.rpartition("/")[2] for tune in read_tunes(tmp_path, problems)] == ["good.abc:1", "good.mid"]
    told = [record.getMessage().removeprefix(f"{tmp_path}/") for record in caplog.records]
    assert [message.partition(" ")[0] for message in told] == [
        *("gone.mid:1:", "latin.abc:2:", "pipe.mid:1:", "wide.abc:1:", "zero.mid:1:")
    ]
    assert all(message.endswith("it is left out") for message in told)
    assert "try `encoding`" in told[1]
    assert "try `encoding` utf-16" in told[3]
    with pytest.raises(DataError, match=r"latin\.abc:2: byte 11 is not valid utf-8"):
        read_tunes(tmp_path / "latin.abc", Problems(shown=0))
    assert len(read_tunes(tmp_path / "latin.abc", Problems(), "latin-1")) == 1


def test_a_text_with_half_a_character_is_a_problem_of_its_tune():
    problems = Problems(shown=0)
    assert len(read_tunes(ABC + "\nX:2\nT:\ud800\nK:C\nC|\n", problems)) == 1
    assert problems.first.startswith("text:7: not ABC (")
