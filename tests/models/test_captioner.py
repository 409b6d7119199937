"""The captioner: what it computes from a picture, learns, writes, keeps and refuses."""

import io
import json
import logging
import sys
from functools import cache

import numpy as np
import pytest
from PIL import Image

import elman
from elman.data.batching import IGNORED
from elman.data.lines import Lines, Problems
from elman.data.samples import sample_pictures, sample_text
from elman.errors import DataError, UsageError
from elman.models.captioner import Captioner, _Batches
from elman.models.examples import Examples

SMALL = {
    "picture_size": 16,
    "channels": 8,
    "hidden_size": 24,
    "embedding_size": 16,
    "feature_size": 24,
    "dropout": 0.0,
    "learning_rate": 0.005,
    "evaluations": 2,
    "batch_tokens": 200,
}
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


def scene(left, right, seed=0):
    """Draw two fields of colour side by side."""
    noise = np.random.default_rng(seed).integers(-20, 20, (16, 16, 3))
    halves = [np.full((16, 8, 3), COLOURS[colour]) for colour in (left, right)]
    return np.clip(np.concatenate(halves, axis=1) + noise, 0, 255).astype(np.uint8)


KINDS = [(one, other) for one in COLOURS for other in COLOURS]
PICTURES = [scene(*KINDS[number % 4], number) for number in range(40)]
CAPTIONS = [[f"{one} beside {other}", f"left is {one}"] for one, other in (KINDS[number % 4] for number in range(40))]
TEST = [scene(*kind, 99) for kind in KINDS]


@cache
def trained(**changes):
    """A small captioner that has learned; not to be changed."""
    return Captioner(**{**SMALL, "steps": 200, **changes}).fit(PICTURES, CAPTIONS, valid=(PICTURES, CAPTIONS))


def untrained(**changes):
    return Captioner(**{**SMALL, "steps": 1, "hidden_size": 5, **changes}).fit(PICTURES, CAPTIONS)


@pytest.mark.parametrize("attention", ["luong", "bahdanau", "none"])
def test_it_learns_what_is_where(attention):
    captioner = trained(attention=attention)
    written = captioner.predict(TEST)
    for (one, other), text in zip(KINDS, written, strict=True):
        assert text in (f"{one} beside {other}", f"left is {one}")
    figures = captioner.evaluate(TEST, [[f"{one} beside {other}", f"left is {one}"] for one, other in KINDS])
    assert figures["exact"] == 1.0
    assert figures["bleu1"] == pytest.approx(100)


def test_features_of_one_vector_or_of_regions_will_do_in_place_of_pictures(tmp_path):
    vectors = [picture.reshape(2, 8, 16, 3).mean(axis=(0, 1)).ravel() for picture in PICTURES]  # columns' colours
    captioner = Captioner(**{**SMALL, "steps": 200}).fit(vectors, CAPTIONS)
    found = captioner.predict([vectors[number] for number in range(4)])
    assert all(text in CAPTIONS[number] for number, text in enumerate(found))
    regions = [vector.reshape(16, 3) for vector in vectors]
    captioner = Captioner(**{**SMALL, "steps": 5}).fit(regions, CAPTIONS)
    captioner.save(tmp_path / "m")
    assert elman.load(tmp_path / "m").describe(regions[:3]) == captioner.describe(regions[:3])
    with pytest.raises(DataError, match=r"have shape \(1, 5\), where \(1, 3\)"):
        captioner.predict([np.zeros(5, np.float32)])


def test_a_picture_is_described_the_same_whoever_is_beside_it():
    captioner = untrained()
    together = captioner.describe(TEST)
    for number, picture in enumerate(TEST):
        ((text, score),) = captioner.describe([picture])[0]
        assert text == together[number][0][0]
        assert score == pytest.approx(together[number][0][1], abs=1e-5)


def test_all_captions_of_a_picture_count_and_share_one_look():
    captioner = untrained()
    uneven = [CAPTIONS[0], CAPTIONS[1][:1], [*CAPTIONS[2], "one more of it"]]
    examples = Examples(captioner._seen(PICTURES[:3]), uneven)
    batches = _Batches(captioner, examples)
    told = {}
    for step in range(len(batches)):
        batch = batches.batch(step)
        assert len(batch.pictures) <= 3
        for row, target in zip(batch.rows.tolist(), batch.targets, strict=True):
            number = next(n for n in range(3) if (batch.pictures[row].numpy() == PICTURES[n]).all())
            told.setdefault(number, []).append(captioner.tokenizer_.decode(target[target != IGNORED].tolist()))
    for number, captions in enumerate(uneven):
        wanted = [captioner.tokenizer_.decode(captioner.tokenizer_.encode(caption)) for caption in captions]
        assert sorted(told[number]) == sorted(wanted)
    alone = [captioner.evaluate([picture], [some]) for picture, some in zip(PICTURES[:3], uneven, strict=True)]
    together = captioner.evaluate(PICTURES[:3], uneven)
    nats = sum(figures["nats_per_token"] * figures["tokens"] for figures in alone)
    assert together["nats_per_token"] * together["tokens"] == pytest.approx(nats, rel=1e-5)


def test_it_is_saved_and_loaded(tmp_path):
    captioner = untrained()
    captioner.save(tmp_path / "m")
    again = elman.load(tmp_path / "m")
    assert again.get_params() == captioner.get_params()
    assert again.describe(TEST) == captioner.describe(TEST)


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(8):
        Image.fromarray(PICTURES[number]).save(images / f"{number}.png")
    return images


def lines_of(numbers):
    return "".join(f"{number}.png\t{caption}\n" for number in numbers for caption in CAPTIONS[number])


def test_what_does_not_fit_together_is_told_left_out_and_counted(folder, tmp_path, caplog):
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:100])
    (tmp_path / "c.tsv").write_text(lines_of([0, 1, 2, 3, 4, 5, 6]) + "lost.png\tnobody sees this\n")
    with caplog.at_level(logging.WARNING):
        captioner = Captioner(**{**SMALL, "steps": 1}).fit(folder, tmp_path / "c.tsv")
    assert captioner.data_["left_out"] == 3
    assert "there is no picture lost.png" in caplog.text
    assert "7.png:1: " in caplog.text
    assert "has no caption of it" in caplog.text
    assert "3.png:1: " in caplog.text
    assert captioner.data_["train"]["examples"] + captioner.data_["valid"]["examples"] == 6


def test_a_folder_or_a_pipe_of_paths_is_described_and_no_line_is_dropped(folder, caplog):
    captioner = trained()
    (folder / "2.png").write_text("no picture")
    with caplog.at_level(logging.WARNING):
        lines = "".join(captioner.annotate(Lines(folder), Problems())).splitlines()
    assert [line.partition("\t")[0] for line in lines] == [f"{number}.png" for number in range(8)]
    for number, line in enumerate(lines):
        caption = line.partition("\t")[2]
        assert caption in ([""] if number == 2 else CAPTIONS[number])
    assert "2.png:1: not a picture" in caplog.text
    paths = io.BytesIO(f"{folder}/1.png\nmissing.png\n{folder}/2.png\n".encode())
    answers = list(captioner.annotate(Lines(paths), Problems(), output_format="jsonl"))
    first, second, third = map(json.loads, answers)
    assert first["captions"][0]["text"] in CAPTIONS[1]
    assert "no such file" in second["problem"]
    assert "not a picture" in third["problem"]


@pytest.mark.parametrize(
    ("pictures", "captions", "error", "said"),
    [
        (PICTURES[:2], None, UsageError, "captions are missing"),
        (PICTURES[:2], [["a"]], UsageError, "2 pictures, but captions of 1"),
        (7, [["a"]], UsageError, "pictures are of type int"),
        ([np.zeros(3), np.zeros(4)], [["a"], ["b"]], DataError, r"have shape \(1, 4\), where \(1, 3\)"),
        ([np.array([np.nan])] * 2, [["a"], ["b"]], DataError, "NaN"),
    ],
)
def test_wrong_data_is_told(pictures, captions, error, said):
    with pytest.raises(error, match=said):
        Captioner(**SMALL, steps=1).fit(pictures, captions)


def test_what_is_validated_on_must_be_like_what_is_learned_from():
    features, others = [np.ones(3)] * 4, [np.ones(5)] * 4
    with pytest.raises(DataError, match=r"shape \(1, 5\), but \(1, 3\)"):
        Captioner(**SMALL, steps=1).fit(features, [["a a"]] * 4, valid=(others, [["a a"]] * 4))


def test_wrong_settings_are_told(tmp_path):
    with pytest.raises(UsageError, match="multiple of 8"):
        Captioner(picture_size=20).fit(PICTURES, CAPTIONS)
    with pytest.raises(UsageError, match="no such file"):
        Captioner(encoder=tmp_path / "x.onnx", steps=1).fit(PICTURES, CAPTIONS)
    (tmp_path / "x.onnx").write_text("not a model")
    with pytest.raises(DataError, match=r"--encoder .*x\.onnx"):
        Captioner(encoder=tmp_path / "x.onnx", steps=1).fit(PICTURES, CAPTIONS)


def test_a_missing_library_names_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install 'elman\[images\]'"):
        Captioner(encoder=tmp_path / "x.onnx", steps=1).fit(PICTURES, CAPTIONS)


def test_the_shapes_that_are_held_out_are_never_shown():
    seen = {line.partition("\t")[2] for line in sample_text("shapes").splitlines()}
    unseen = {line.partition("\t")[2] for line in sample_text("unseen-shapes").splitlines()}
    assert not seen & unseen
    words = {word for caption in seen for word in caption.split()}
    assert {word for caption in unseen for word in caption.split()} <= words
    pictures = sample_pictures("unseen-shapes")
    assert len(pictures) == 500
    assert all(picture.shape == (48, 48, 3) for picture in pictures.values())


def mean_colours(path):
    """Write an ONNX model that turns pictures (N, 3, S, S) into their mean colours (N, 3)."""
    from onnx import TensorProto, helper, save

    pictures = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["N", 3, "S", "S"])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3, 1, 1])
    node = helper.make_node("GlobalAveragePool", ["pictures"], ["features"])
    graph = helper.make_graph([node], "mean", [pictures], [features])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_an_onnx_model_may_look_at_the_pictures(tmp_path):
    encoder = mean_colours(tmp_path / "mean.onnx")
    captioner = Captioner(**{**SMALL, "steps": 3}, encoder=encoder).fit(PICTURES, CAPTIONS)
    seen = captioner._seen([PICTURES[0]])[0]
    np.testing.assert_allclose(seen, PICTURES[0].reshape(-1, 3).mean(axis=0, keepdims=True) / 255, rtol=1e-4)
    captioner.save(tmp_path / "m")
    assert elman.load(tmp_path / "m").describe(TEST) == captioner.describe(TEST)
    encoder.unlink()
    with pytest.raises(UsageError, match="no such file"):
        elman.load(tmp_path / "m").predict(TEST)
