"""Reading files as tunes, against notes and MIDI bytes written by hand."""

import logging
import os
import threading

import numpy as np
import pytest

from elman.data.lines import Problems
from elman.data.music.tunes import Tune, read_tunes, shorten
from elman.data.samples import sample_text
from elman.errors import DataError

from .by_hand import NOTES, TUNE, midi, off, on, tempo


def test_a_midi_file_is_read_with_its_tempos():
    np.testing.assert_allclose(Tune.read(TUNE, "t").notes, NOTES, atol=1e-6)


def test_drums_and_other_tracks():
    drums = midi([(0, on(36, channel=9)), (480, off(36, channel=9))])
    with pytest.raises(DataError, match=r"t: has no notes \(drums do not count\)"):
        Tune.read(drums, "t")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"this is no midi file, whatever it is called", "not MIDI"),
        (b"", "not MIDI"),
        (TUNE[:30], "not MIDI|has no notes"),
        (midi([(0, tempo(60))]), "has no notes"),
        (midi([(0, tempo(4)), (0, on(60)), (0x0FFFFFF, off(60))]), "hours, but the limit is 2"),
    ],
)
def test_content_that_is_not_a_tune_is_refused(content, said):
    with pytest.raises(DataError, match=f"^t.mid: .*({said})"):
        Tune.read(content, "t.mid")


def test_a_folder_is_read_in_order_and_other_files_are_ignored(tmp_path, caplog):
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
    with pytest.raises(DataError, match=r"contains no music; it needs files that end in \.mid"):
        read_tunes(tmp_path, Problems())
    with pytest.raises(DataError, match="no such file"):
        read_tunes(tmp_path / "missing.mid", Problems())
    with pytest.raises(DataError, match="contains no tune"):
        read_tunes("no abc at all", Problems())
    with pytest.raises(DataError, match=r"^text: contains no tune$"):
        read_tunes("no abc\n" * 99, Problems())


def test_the_sample_is_music():
    problems = Problems()
    tunes = read_tunes(sample_text("tunes"), problems)
    assert (len(tunes), problems.count) == (60, 0)
    assert all(20 < tune.seconds < 60 for tune in tunes)
    assert all(40 < tune.notes[:, 2].mean() < 75 for tune in tunes)


def test_shortening_a_tune_shortens_sounding_notes():
    tune = Tune.read(TUNE, "t")
    short = shorten(tune, 1.75)
    assert short.seconds == pytest.approx(1.75, abs=0.01)
    assert len(short.notes) == 3
    assert shorten(tune, 99).seconds == tune.seconds
    assert len(shorten(tune, 1.2).notes) == 1


def melody(pitch=60):
    return midi(
        [(0, tempo(60)), *((delta, event) for _ in range(4) for delta, event in ((0, on(pitch)), (480, off(pitch))))]
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (midi([(0, on(60)), (480, off(60))], ticks_per_quarter=0), r"not MIDI \(its header has 0 ticks"),
        (midi([(0, on(60)), (480, off(60))], ticks_per_quarter=0xE728), "not MIDI"),  # frames per second
        (
            midi(
                [(0, b"\xff\x51\x03\x00\x00\x01"), (0x0FFFFFFF, on(60)), (10, off(60))], 1
            ),  # one microsecond per quarter note
            "has 268,435,465 quarter notes of time, but the limit is 100,000",
        ),
        (midi([(0, on(60)), (480, off(60)), (0x0FFFFFFF, tempo(60))]), "has 559,241 quarter notes of time"),
        (midi([(0, on(60)), (1, off(60))] * 500_001), "has 500,001 notes, but the limit is 500,000"),
    ],
)
def test_a_tune_beyond_the_limits_is_refused(content, said):
    with pytest.raises(DataError, match=f"^t.mid: {said}"):
        Tune.read(content, "t.mid")


ABC = "X:1\nM:4/4\nL:1/4\nK:C\nCDEF|\n"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_abc_with_any_end_of_lines_and_a_byte_order_mark(tmp_path, end, mark):
    path = tmp_path / "t.abc"
    path.write_text(mark + (ABC + "\n" + ABC.replace("CDEF", "GABc")).replace("\n", end), newline="")
    assert [tune.notes[:, 2].tolist() for tune in read_tunes(path, Problems())] == [[60, 62, 64, 65], [67, 69, 71, 72]]


def test_unreadable_files_of_a_folder_are_skipped_and_counted(tmp_path, caplog):
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
    assert all(message.endswith("it is skipped") for message in told)
    assert "try `encoding`" in told[1]
    assert "try `encoding` utf-16" in told[3]
    with pytest.raises(DataError, match=r"latin\.abc:2: byte 11 is not valid utf-8"):
        read_tunes(tmp_path / "latin.abc", Problems(shown=0))
    assert len(read_tunes(tmp_path / "latin.abc", Problems(), "latin-1")) == 1


def test_a_text_with_half_a_character_is_a_problem_of_its_tune():
    problems = Problems(shown=0)
    assert len(read_tunes(ABC + "\nX:2\nT:\ud800\nK:C\nC|\n", problems)) == 1
    assert problems.first.startswith("text:7: not ABC (")


def test_a_folder_that_cannot_be_listed_is_a_problem(tmp_path, monkeypatch):
    plain = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    (tmp_path / "locked").mkdir()
    (tmp_path / "good.mid").write_bytes(TUNE)
    monkeypatch.setattr(os, "scandir", scandir)
    problems = Problems(shown=0)
    assert len(read_tunes(tmp_path, problems)) == 1
    told = f"{tmp_path / 'locked'}:1: the folder cannot be listed (Permission denied); it is skipped"
    assert (problems.count, problems.first) == (1, told)


def test_the_fields_of_a_files_header_apply_to_each_tune_without_its_own():
    head, tune = "L:1/8\nQ:1/4=60\nM:3/4\n\n", "X:1\nT:a\nK:C\nCDEF\n\n"
    quarters = "X:2\nL:1/4\nK:C\nCDEF\n\n"
    found = read_tunes(head + tune + quarters, Problems())
    alone = [Tune.read(text.encode(), "t", abc=True) for text in (
        "X:1\nL:1/8\nQ:1/4=60\nM:3/4\nK:C\nCDEF\n", "X:2\nQ:1/4=60\nM:3/4\nL:1/4\nK:C\nCDEF\n"
    )]  # fmt: skip
    assert [one.seconds for one in found] == [2.0, 4.0]
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_array_equal(one.notes, other.notes)
    assert [one.name for one in found] == ["text:5", "text:10"]


def test_errors_in_a_tune_are_reported_once_with_the_line_and_nothing_is_printed(capfd, caplog):
    bad = "X:2\nT:bad\nK:C\nC {{{D [[E zz\n{{{F G\n\n"
    problems = Problems()
    found = read_tunes("L:1/8\nM:4/4\n" + ABC + bad + ABC, problems)
    assert [one.name for one in found] == ["text:3", "text:8", "text:14"]
    assert problems.count == 0
    (message,) = caplog.messages
    assert message.startswith("text:11: ")
    assert message.endswith("more errors in this tune); the rest of the tune is read")
    out, err = capfd.readouterr()
    assert out == ""
    assert err in ("", f"elman: {message}\n")  # the shell's handler, if another test has installed it


def test_reading_abc_leaves_the_output_of_other_threads_alone(capfd):
    reader = threading.Thread(target=read_tunes, args=(ABC * 5, Problems()))
    reader.start()
    count = 0
    while reader.is_alive():
        os.write(1, b".")
        count += 1
    assert capfd.readouterr().out == "." * count
