"""The composer: what it learns, generates, saves and refuses."""

import logging
from functools import cache

import numpy as np
import pytest
import torch

import elman
from elman.cli.answers import answers
from elman.data.batching import IGNORED
from elman.data.lines import Lines, Problems
from elman.data.music.events import EventTokenizer
from elman.data.music.tunes import Tune, read_tunes
from elman.decoding.options import Sampling
from elman.decoding.sampling import draw, draw_key, probabilities, uniforms
from elman.errors import DataError, ModelError, UsageError
from elman.metrics.music import texture
from elman.models.composer import Composer

SMALL = {
    "hidden_size": 32,
    "embedding_size": 16,
    "learning_rate": 0.01,
    "batch_size": 4,
    "dropout": 0.0,
    "evaluations": 2,
}
SCALES = "".join(f"X:{n}\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\nCDEF|GABc|cBAG|FEDC|\n\n" for n in range(1, 21))


def trained(events="midilike"):
    """Return a small composer trained on scales, shared by the tests: do not change it."""
    return _trained(events)


@cache  # keyed by the arguments as they are written
def _trained(events):
    return Composer(**SMALL, steps=800, events=events, transpose=0).fit(SCALES)


@pytest.mark.parametrize("events", ["midilike", "remi"])
def test_it_learns_a_scale_and_writes_it(events):
    composer = trained(events)
    assert composer.metrics_["valid"]["nats_per_event"] < 0.3
    tune = composer.compose(sampling=Sampling(greedy=True))
    wanted = [60, 62, 64, 65, 67, 69, 71, 72, 72, 71, 69, 67, 65, 64, 62, 60]
    assert tune.notes[:, 2].tolist() == wanted
    np.testing.assert_allclose(np.diff(tune.notes[:, 0]), 0.5, atol=0.05)


def test_its_loss_is_that_of_its_own_logits():
    composer = trained()
    tunes = read_tunes(SCALES, Problems())[:3]
    total, events = 0.0, 0
    for tune in tunes:
        ids = [1, *composer.tokenizer_.encode(tune).tolist(), 2]
        with torch.inference_mode():
            logits, _ = composer.network_(torch.tensor([ids[:-1]]))
        log_probs = logits[0].double().log_softmax(-1)
        total -= sum(float(log_probs[step, wanted]) for step, wanted in enumerate(ids[1:]))
        events += len(ids) - 1
    figures = composer.evaluate(tunes)
    assert (figures["events"], figures["tunes"]) == (events, 3)
    assert figures["nats_per_event"] == pytest.approx(total / events, rel=1e-4)
    surprisals = [nats for tune in composer.predict(tunes) for _, nats in tune]
    assert sum(surprisals) == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("events", ["midilike", "remi"])
def test_figures_are_per_note_too_and_compare_what_it_composes(events):
    composer = trained(events)
    tunes = read_tunes(SCALES, Problems())[:3]
    figures = composer.evaluate(tunes)
    assert figures["notes"] == sum(len(tune.notes) for tune in tunes) == 3 * 16
    assert figures["nats_per_note"] * figures["notes"] == pytest.approx(figures["nats_per_event"] * figures["events"])
    assert figures["polyphony"] == figures["composed_polyphony"] == 1
    assert [figures["median_note"], figures["longest_note"]] == pytest.approx([0.5, 0.5], abs=0.002)  # to a MIDI tick
    assert figures["composed_longest_note"] == pytest.approx(0.5, abs=0.05)
    assert {"nats_per_note", "polyphony", "composed_polyphony"} <= composer.metrics_["valid"].keys()


def test_it_composes_only_what_can_be_played(tmp_path):
    composer = Composer(**SMALL, steps=5).fit(SCALES)  # it knows next to nothing yet
    assert composer.limits_ == (1, 1, 50)
    tunes = [composer.compose(max_events=300, seed=seed).notes for seed in range(3)]
    most = texture(tunes)
    assert (most.polyphony, min(map(len, tunes)) > 5) == (1, True)
    assert most.longest_note <= 0.5
    composer.save(tmp_path / "m")
    assert elman.load(tmp_path / "m").limits_ == composer.limits_
    (tmp_path / "m" / "limits.json").write_text('{"polyphony": 0, "unison": 1, "longest": 1}')
    with pytest.raises(ModelError):
        elman.load(tmp_path / "m")


def test_a_model_without_limits_composes_as_before_there_were_any(tmp_path):
    composer = Composer(**SMALL, steps=5).fit(SCALES)
    composer.limits_ = None
    composer.save(tmp_path / "m")
    assert not (tmp_path / "m" / "limits.json").exists()
    again = elman.load(tmp_path / "m")
    ids, (logits, state) = [], again.network_(torch.tensor([[1]]))
    for position in range(40):
        logits = logits[:, -1].detach().clone()
        logits[0, :2] = -torch.inf
        number = uniforms([draw_key(4)], [position], 1)[0]
        ids.append(int(draw(probabilities(logits, Sampling()), number)))
        if ids[-1] == 2:
            break
        logits, state = again.network_(torch.tensor([[ids[-1]]]), state)
    assert again._generate_events([], 40, Sampling(), 4) == [number for number in ids if number != 2]


def test_tunes_that_are_cut_are_reported(caplog):
    tunes = read_tunes(SCALES, Problems())
    targets = len(EventTokenizer("midilike").encode(tunes[0])) + 1  # the end is a target too; all scales are alike
    with caplog.at_level(logging.WARNING):
        Composer(**SMALL, steps=1, longest=targets).fit(tunes)
        assert caplog.messages == []
        Composer(**SMALL, steps=1, longest=targets - 1).fit(tunes, valid=tunes[:2])
    (message,) = caplog.messages
    assert message.startswith(f"20 of 20 tunes have more than {targets - 1} events: they are cut")
    assert "raise `longest`" in message


def test_the_length_is_the_requested_one():
    composer = trained()
    assert composer.compose(seconds=11, seed=1).seconds == pytest.approx(11, abs=0.5)
    assert composer.compose(seconds=1, seed=1).seconds <= 1
    remi = trained("remi")
    assert len(remi.tokenizer_.bars(remi.tokenizer_.encode(remi.compose(bars=2, seed=1)).tolist())) == 2
    with pytest.raises(UsageError, match="have no bars"):
        composer.compose(bars=2)
    assert len(composer.compose(max_events=9, seed=1).notes) <= 9


def test_a_tune_begins_with_its_primer(tmp_path):
    composer = trained()
    primer = Tune.read(b"X:1\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\nCDEF|GA\n", "p", abc=True)
    (tmp_path / "p.mid").write_bytes(primer.midi())
    for given in (primer, tmp_path / "p.mid"):
        tune = composer.compose(given, sampling=Sampling(greedy=True))
        assert tune.notes[:8, 2].tolist() == [60, 62, 64, 65, 67, 69, 71, 72]


def test_only_the_beginning_of_a_primer_as_long_as_the_tune_is_used(caplog):
    primer = Tune.read(b"X:1\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\nCDEF|GABc|CDEF|\n", "p", abc=True)  # 6 seconds, 3 bars
    tune = trained().compose(primer, seconds=4, seed=1)
    np.testing.assert_array_equal(tune.notes[:4, 2], [60, 62, 64, 65])  # of its first two seconds
    assert tune.seconds == pytest.approx(4, abs=0.5)
    assert "the primer lasts 6.0 seconds, but the whole tune should last 4: only its first 2 seconds" in caplog.text
    tune = trained("remi").compose(primer, bars=2, seed=1)
    np.testing.assert_array_equal(tune.notes[:4, 2], [60, 62, 64, 65])
    assert "the primer has 3 bars, but the whole tune should have 2: only its first 1" in caplog.text
    assert trained().compose(primer, seconds=8, seed=1).seconds == pytest.approx(8, abs=0.5)
    assert len(trained("remi").compose(primer, bars=3, seed=1).notes) == 12


def test_the_repetition_penalty_makes_repeated_events_less_likely():
    composer = Composer(**SMALL, steps=5).fit(SCALES)
    often, seldom = (
        composer._generate_events([], 60, Sampling(greedy=True, repetition_penalty=penalty), 1)
        for penalty in (1.0, 10.0)
    )
    assert len(set(seldom)) > 2 * len(set(often))


def test_a_tune_that_ends_too_soon_is_reported(caplog):
    trained().compose(seconds=60, max_events=20, seed=1)
    assert "reached max_events 20 before its length" in caplog.text


@pytest.mark.parametrize("initial_state", ["zeros", "random"])
def test_the_same_seed_writes_the_same_tune(initial_state):
    composer = Composer(**SMALL, steps=5, initial_state=initial_state).fit(SCALES)
    one, other = (composer.compose(seconds=5, seed=3).midi() for _ in range(2))
    assert one == other
    assert one != composer.compose(seconds=5, seed=4).midi()


def test_batches_are_transposed_and_a_step_always_the_same_way():
    composer = Composer(**SMALL, steps=1, transpose=4)
    _, batches = composer._prepare(SCALES, None, None, None)
    plain = Composer(**SMALL, steps=1, transpose=0)
    _, still = plain._prepare(SCALES, None, None, None)
    names = composer.tokenizer_.names
    found = set()
    for step in range(12):
        batch, again, unmoved = batches.batch(step), batches.batch(step), still.batch(step)
        assert torch.equal(batch.inputs, again.inputs)
        assert torch.equal(batch.targets == IGNORED, unmoved.targets == IGNORED)
        for row, was in zip(batch.inputs.tolist(), unmoved.inputs.tolist(), strict=True):
            moves = {
                int(names[a].split("_")[1]) - int(names[b].split("_")[1])
                for a, b in zip(row, was, strict=True)
                if names[b].startswith("NoteO")
            }
            assert len(moves) == 1
            found |= moves
            assert all(a == b for a, b in zip(row, was, strict=True) if not names[b].startswith("NoteO"))
        kept = batch.targets[:, :-1] != IGNORED
        assert torch.equal(batch.targets[:, :-1][kept], batch.inputs[:, 1:][kept])
    assert found == set(range(-4, 5))


def test_every_tenth_tune_is_held_out():
    tunes = read_tunes(SCALES, Problems())
    composer = Composer(**SMALL, steps=1).fit(tunes)
    assert composer.data_["train"]["tunes"] == 18
    assert composer.data_["valid"]["tunes"] == 2
    with pytest.raises(DataError, match="one tune is not enough"):
        Composer(**SMALL, steps=1).fit(tunes[:1])


def test_it_is_saved_and_loaded(tmp_path):
    composer = trained()
    composer.save(tmp_path / "m")
    again = elman.load(tmp_path / "m")
    assert again.get_params() == composer.get_params()
    assert again.evaluate(SCALES) == composer.evaluate(SCALES)
    assert again.compose(seconds=3, seed=1).midi() == composer.compose(seconds=3, seed=1).midi()


def test_a_folder_with_a_file_that_is_not_music(tmp_path, caplog):
    for number, tune in enumerate(read_tunes(SCALES, Problems())):
        (tmp_path / f"{number:02}.mid").write_bytes(tune.midi())
    (tmp_path / "x.mid").write_bytes(b"no music")
    with caplog.at_level(logging.WARNING):
        composer = Composer(**SMALL, steps=1).fit(tmp_path)
    assert composer.data_["left_out"] == 1
    assert "x.mid:1: not MIDI" in caplog.text
    assert composer.evaluate(tmp_path)["left_out"] == 1
    with pytest.raises(UsageError, match=r"X\[0\] is of type int"):
        composer.evaluate([3])


def test_a_missing_library_names_the_command_that_installs_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "miditok", None)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[music\]'"):
        Composer(**SMALL, steps=1).fit(SCALES)


def test_a_tune_that_cannot_be_encoded_is_skipped_and_counted(tmp_path, monkeypatch):
    encode = EventTokenizer.encode

    def fail(tokenizer, tune):
        if "t2" in tune.name:
            raise DataError(f"{tune.name}: cannot be told in events")
        return encode(tokenizer, tune)

    monkeypatch.setattr(EventTokenizer, "encode", fail)
    for number in range(5):
        (tmp_path / f"t{number}.abc").write_text(f"X:1\nM:4/4\nL:1/4\nK:C\n{'CDEFGAB'[number]}DEF|\n")
    composer = Composer(hidden_size=8, steps=2, evaluations=1).fit(tmp_path)
    assert (composer.data_["train"]["tunes"] + composer.data_["valid"]["tunes"], composer.data_["left_out"]) == (4, 1)
    figures = composer.evaluate(tmp_path)
    assert (figures["tunes"], figures["left_out"]) == (4, 1)
    problems = Problems(shown=0)
    lines = "".join(answers(composer, Lines(tmp_path), problems)).splitlines()
    assert sum(line.startswith("EOS") for line in lines) == 4
    assert problems.first == f"{tmp_path}/t2.abc:1: cannot be told in events; it is skipped"
    with pytest.raises(DataError, match="cannot be told"):
        composer.predict(read_tunes(tmp_path / "t2.abc", Problems()))
    with pytest.raises(DataError, match="cannot be told"):
        composer.predict(tmp_path / "t2.abc")
