"""The commands for translators, captioners and composers, on built-in data and on bad files."""

import dataclasses
import json
import re
import wave

import numpy as np
import pytest
from PIL import Image

import elman
from elman.cli.main import main
from elman.data.samples import sample_text
from elman.decoding.options import Search
from elman.metrics.texts import translation_metrics

TINY = ["--hidden-size", "8", "--embedding-size", "8", "--steps", "4", "--evaluations", "2"]
EXTRA = {
    "translator": ["--vocab-size", "400", "--max-length", "30", "--beam-size", "2"],
    "captioner": ["--channels", "8", "--picture-size", "16", "--feature-size", "8", "--max-length", "20"],
    "composer": ["--batch-size", "2"],
}
SAMPLE = {"translator": "sample:reports", "captioner": "sample:unseen-shapes", "composer": "sample:tunes"}


@pytest.fixture(scope="module", params=list(EXTRA))
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "m"
    task = request.param
    assert main(["train", task, SAMPLE[task], "--out", str(folder), *TINY, *EXTRA[task]]) == 0
    return task, folder


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translator")
    (folder / "a.src").write_text("one two\ntwo one\nthree\n" * 10)
    (folder / "a.tgt").write_text("un deux\ndeux un\ntrois\n" * 10)
    words = ["train", "translator", str(folder / "a.src"), str(folder / "a.tgt")]
    valid = ["--valid", str(folder / "a.src"), str(folder / "a.tgt")]
    assert main([*words, *valid, "--out", str(folder / "m"), *TINY, "--level", "word"]) == 0
    return folder


@pytest.mark.parametrize("task", list(EXTRA))
def test_every_setting_is_a_flag(capsys, task):
    with pytest.raises(SystemExit):
        main(["train", task, "--help-all"])
    shown = capsys.readouterr().out
    model = {"translator": elman.Translator, "captioner": elman.Captioner, "composer": elman.Composer}[task]
    for field in dataclasses.fields(model):
        assert re.search(rf"--(no-)?{field.name.replace('_', '-')} ", shown), field.name


def test_a_model_is_trained_and_evaluated_on_a_sample(shell, trained):
    task, folder = trained
    answer = shell("evaluate", folder, SAMPLE[task], "--json")
    assert answer.code == 0
    figures = json.loads(answer.out)
    wanted = {
        "translator": {"bleu", "chrf", "rouge1", "rouge2", "rougeL", "perplexity", "bleu_signature", "chrf_signature"},
        "captioner": {
            "bleu1",
            "bleu2",
            "bleu3",
            "bleu4",
            "cider",
            "cider_d",
            "exact",
            "bleu_signature",
            "cider_signature",
        },
        "composer": {"nats_per_event", "events", "tunes"},
    }[task]
    assert wanted <= figures.keys()
    for name in ("rouge1", "rouge2", "rougeL", "exact"):
        assert 0 <= figures.get(name, 0) <= 1
    assert "left_out" in shell("evaluate", folder, SAMPLE[task]).out
    answer = shell("predict", folder, SAMPLE[task])
    if task == "captioner":
        assert answer.code == 2
        assert "elman data show unseen-shapes --pictures DIR" in answer.err
    else:
        assert answer.code == 0
        assert answer.out.count("\n") == 1500 if task == "translator" else answer.out.startswith("event\t")
    assert shell("info", folder).code == 0


def test_parallel_files_are_translated_and_evaluated(shell, translator):
    model = translator / "m"
    answer = shell("predict", model, translator / "a.src")
    assert (answer.code, answer.out.count("\n")) == (0, 30)
    answer = shell("predict", model, translator / "a.src", "--beam-size", "5", "--n-best", "3")
    assert answer.code == 0
    assert answer.out.count("\n") == 90
    assert re.match(r"0 \|\|\| .* \|\|\| -\d+\.\d{4}\n0 \|\|\|", answer.out)
    figures = json.loads(shell("evaluate", model, translator / "a.src", translator / "a.tgt", "--json").out)
    assert figures["examples"] == 30
    assert figures["bleu_signature"].startswith("nrefs:1|case:mixed")


def test_attention_is_drawn(shell, translator, tmp_path):
    answer = shell("predict", translator / "m", translator / "a.src", "--attention", tmp_path / "a.svg")
    assert answer.code == 0
    assert "<svg" in (tmp_path / "a.svg").read_text()
    (tmp_path / "t.csv").write_text("target,source\nirrelevant,only this\n")
    answer = shell("predict", translator / "m", tmp_path / "t.csv", "--attention", tmp_path / "t.svg")
    assert answer.code == 0
    drawn = re.sub(r"<metadata>.*</metadata>", "", (tmp_path / "t.svg").read_text(), flags=re.DOTALL)
    assert "only" in drawn
    assert "source" not in drawn
    answer = shell("predict", translator / "m", "-", "--attention", tmp_path / "b.svg")
    assert answer.code == 2
    assert "first source of a FILE" in answer.err


def test_a_run_that_is_resumed_names_both_files(shell, translator, tmp_path):
    answer = shell("train", "translator", translator / "a.src", translator / "a.tgt", "--out", tmp_path / "m", *TINY)
    assert answer.code == 0
    again = shell(
        "train", "translator", translator / "a.src", translator / "a.tgt", "--out", tmp_path / "m", "--resume"
    )
    assert again.code == 0
    assert "nothing to resume" in again.err


def test_music_is_written_as_midi_sound_and_picture(shell, tmp_path):
    folder = tmp_path / "m"
    assert shell("train", "composer", "sample:tunes", "--out", folder, *TINY, *EXTRA["composer"]).code == 0
    files = ["--out", tmp_path / "t.mid", "--wav", tmp_path / "t.wav", "--roll", tmp_path / "t.svg"]
    answer = shell("generate", folder, "--seconds", "3", "--seed", "1", *files)
    assert answer.code == 0
    assert re.search(r"t\.mid: [\d,]+ notes, \d\.\d seconds", answer.out)
    assert (tmp_path / "t.mid").read_bytes()[:4] == b"MThd"
    assert "<svg" in (tmp_path / "t.svg").read_text()
    with wave.open(str(tmp_path / "t.wav")) as file:
        assert file.getnframes() / file.getframerate() < 3.5
    answer = shell(
        "generate", folder, "--primer", tmp_path / "t.mid", "--num-samples", "2", "--max-tokens", "5", *files[:2]
    )
    assert answer.code == 0
    assert (tmp_path / "t-1.mid").exists()
    assert (tmp_path / "t-2.mid").exists()
    events = shell("predict", folder, tmp_path / "t.mid").out.splitlines()
    assert events[0] == "event\tsurprisal"
    assert events[-1].startswith("EOS_None\t")


def test_the_pictures_of_a_sample_can_be_written_and_described(shell, tmp_path):
    answer = shell("data", "show", "unseen-shapes", "--pictures", tmp_path / "p", "--lines", "2")
    assert answer.code == 0
    assert len(list((tmp_path / "p").iterdir())) == 500
    (tmp_path / "c.tsv").write_text("".join(sample_text("unseen-shapes").splitlines(True)[:60]))
    words = ["train", "captioner", tmp_path / "c.tsv", "--images", tmp_path / "p", "--out", tmp_path / "m"]
    answer = shell(*words, *TINY, *EXTRA["captioner"])
    assert answer.code == 0
    assert "has no caption for it or for 469 more; they are skipped" in answer.err  # pictures without a caption
    answer = shell("predict", tmp_path / "m", tmp_path / "p" / "unseen-0003.png")
    assert answer.out.startswith("unseen-0003.png\t")


BAD = {
    "parallel files part": (["translator", "a.src", "short.tgt"], 3, ["short.tgt ends after line 2", "line 3"]),
    "three files": (["translator", "a.src", "a.tgt", "a.src"], 2, ["one or two files, but 3 are given"]),
    "one side is empty": (["translator", "blank.src", "a.tgt"], 3, ["blank.src:1: the source is empty"]),
    "no such file": (["translator", "a.src", "a.tgd"], 3, ["a.tgd", "no such file"]),
    "two files of captions": (["captioner", "c.tsv", "c.tsv"], 2, ["one word too many"]),
    "no pictures named": (["captioner", "c.tsv"], 2, ["the pictures are missing", "--images"]),
    "no picture fits": (["captioner", "c.tsv", "--images", "empty"], 3, ["contains no pictures"]),
    "all pictures are broken": (["captioner", "c.tsv", "--images", "broken"], 3, ["x.png:1: not a picture"]),
    "no music": (["composer", "empty"], 3, ["contains no music"]),
    "midi that is none": (["composer", "fake.mid"], 3, ["fake.mid:1: not MIDI"]),
}


@pytest.fixture
def bad_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.src").write_text("one\ntwo\nthree\n")
    (tmp_path / "a.tgt").write_text("un\ndeux\ntrois\n")
    (tmp_path / "short.tgt").write_text("un\ndeux\n")
    (tmp_path / "blank.src").write_text("\n\n\n")
    (tmp_path / "c.tsv").write_text("x.png\ta thing\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_text("no")
    (tmp_path / "fake.mid").write_bytes(b"RIFF")


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_reported_in_one_or_two_lines(shell, bad_files, tmp_path, name):
    words, code, message = BAD[name]
    answer = shell("train", *words, "--out", "m", *TINY)
    assert answer.code == code
    assert "Traceback" not in answer.err
    for text in message:
        assert text in answer.err
    assert not (tmp_path / "m").exists()


def test_flags_of_another_task_are_refused(shell, translator, saved, tmp_path):
    answer = shell("generate", translator / "m", "--seconds", "3")
    assert answer.code == 2
    assert "is a translator, which does not generate" in answer.err
    answer = shell("generate", saved, "--seconds", "3", "--out", tmp_path / "x.mid")
    assert answer.code == 2
    assert "--seconds is for tunes" in answer.err
    answer = shell("predict", saved, "sample:topics", "--beam-size", "3")
    assert answer.code == 2
    assert "--beam-size is no option of a model of task lm" in answer.err
    answer = shell("evaluate", translator / "m", "sample:reports", "x", "y")
    assert answer.code == 2


def test_pictures_given_to_a_model_of_features_are_reported(shell, tmp_path):
    features = {f"unseen-{number:04}.png": np.full(4, number, np.float32) for number in range(30)}
    np.savez(tmp_path / "f.npz", **features)
    (tmp_path / "c.tsv").write_text("".join(sample_text("unseen-shapes").splitlines(True)[:60]))
    words = ["train", "captioner", tmp_path / "c.tsv", "--images", tmp_path / "f.npz", "--out", tmp_path / "m"]
    assert shell(*words, *TINY, *EXTRA["captioner"]).code == 0
    assert shell("predict", tmp_path / "m", tmp_path / "f.npz").out.count("\n") == 30
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "p.png")
    answer = shell("predict", tmp_path / "m", tmp_path / "p.png")
    assert answer.out == "p.png\t\n"
    assert "p.png:1: a picture, but the model reads features" in answer.err


def test_predict_takes_a_seed_and_evaluate_takes_search_options(shell, translator):
    drawn = ["predict", translator / "m", translator / "a.src", "--temperature", "2"]
    first = shell(*drawn, "--seed", "5").out
    assert first == shell(*drawn, "--seed", "5").out
    assert len({first, shell(*drawn, "--seed", "2").out, shell(*drawn).out}) == 3
    model, sources = elman.load(translator / "m"), (translator / "a.src").read_text().splitlines()
    of_call = model.translate(sources, Search(temperature=2.0, seed=5))
    assert [texts[0][0] for texts in of_call] == first.splitlines()
    assert model.set_params(temperature=2.0, seed=5).predict(sources) == first.splitlines()
    evaluate = ["evaluate", translator / "m", translator / "a.src", translator / "a.tgt", "--json"]
    figures = json.loads(shell(*evaluate, "--temperature", "2", "--seed", "5").out)
    targets = (translator / "a.tgt").read_text().splitlines()
    assert figures["bleu"] == pytest.approx(translation_metrics(first.splitlines(), targets)[0]["bleu"])
    assert json.loads(shell(*evaluate, "--beam-size", "1").out)["nats_per_token"] == figures["nats_per_token"]
    answer = shell(*evaluate, "--beam-size", "0")
    assert (answer.code, answer.err) == (2, "elman: --beam-size is 0; it must be at least 1\n")


def test_a_model_that_does_not_search_has_no_such_options(shell, saved):
    answer = shell("evaluate", saved, saved.parent / "valid.txt", "--beam-size", "2")
    assert (answer.code, answer.err) == (2, "elman: --beam-size is no option of a model of task lm; leave it out\n")
