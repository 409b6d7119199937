"""The captioner: what it computes from pictures, learns, generates, saves and refuses."""

import io
import json
import logging
import sys
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

import elman
from elman.cli.answers import answers
from elman.data.batching import IGNORED
from elman.data.examples import Examples
from elman.data.formats.pictures import Pictures
from elman.data.images import onnx_encoder
from elman.data.images.onnx_encoder import encode_pictures
from elman.data.lines import Lines, Problems
from elman.data.samples import sample_pictures, sample_text
from elman.errors import DataError, ModelError, UsageError
from elman.models.captioner import Captioner

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
    """Draw two colour fields side by side."""
    noise = np.random.default_rng(seed).integers(-20, 20, (16, 16, 3))
    halves = [np.full((16, 8, 3), COLOURS[colour]) for colour in (left, right)]
    return np.clip(np.concatenate(halves, axis=1) + noise, 0, 255).astype(np.uint8)


KINDS = [(one, other) for one in COLOURS for other in COLOURS]
PICTURES = [scene(*KINDS[number % 4], number) for number in range(40)]
CAPTIONS = [[f"{one} beside {other}", f"left is {one}"] for one, other in (KINDS[number % 4] for number in range(40))]
TEST = [scene(*kind, 99) for kind in KINDS]


def trained(attention="luong"):
    """Return a small trained captioner, shared by the tests: do not change it."""
    return _trained(attention)


@cache  # keyed by the arguments as they are written
def _trained(attention):
    return Captioner(**SMALL, steps=200, attention=attention).fit(PICTURES, CAPTIONS, valid=(PICTURES, CAPTIONS))


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


def test_features_can_replace_pictures(tmp_path):
    vectors = [
        picture.reshape(2, 8, 16, 3).mean(axis=(0, 1)).ravel() for picture in PICTURES
    ]  # the colours of the columns
    captioner = Captioner(**{**SMALL, "steps": 200}).fit(vectors, CAPTIONS)
    found = captioner.predict([vectors[number] for number in range(4)])
    assert all(text in CAPTIONS[number] for number, text in enumerate(found))
    regions = [vector.reshape(16, 3) for vector in vectors]
    captioner = Captioner(**{**SMALL, "steps": 5}).fit(regions, CAPTIONS)
    captioner.save(tmp_path / "m")
    assert elman.load(tmp_path / "m").describe(regions[:3]) == captioner.describe(regions[:3])
    with pytest.raises(DataError, match="features of 5 numbers, but the model reads 3"):
        captioner.predict([np.zeros(5, np.float32)])


def test_features_may_be_of_any_number_of_regions():
    generator = np.random.default_rng(3)
    features = [generator.normal(size=(1 + number % 5, 6)) for number in range(20)]
    captioner = Captioner(**{**SMALL, "steps": 20}).fit(features, CAPTIONS[:20])
    together = captioner.describe(features)
    for number, some in enumerate(features[:5]):
        ((text, score),) = captioner.describe([some])[0]
        assert text == together[number][0][0]
        assert score == pytest.approx(together[number][0][1], abs=1e-5)


def test_a_model_can_be_refitted_on_another_kind_of_input_but_not_started_from_one(tmp_path):
    captioner = untrained()
    captioner = captioner.fit([np.arange(3.0), np.ones(3)] * 4, CAPTIONS[:8])
    captioner.save(tmp_path / "m")
    assert len(captioner.predict([np.ones(3)])) == 1
    with pytest.raises(DataError, match="a picture, but the model reads features"):
        captioner.predict(TEST)
    with pytest.raises(DataError, match="a picture, but the model reads features"):
        captioner.fit(PICTURES, CAPTIONS, init_from=tmp_path / "m")
    with pytest.raises(DataError, match="features of 4 numbers"):
        captioner.fit([np.ones(4)] * 8, CAPTIONS[:8], init_from=tmp_path / "m")


def test_pictures_and_captions_may_have_names():
    pictures = {f"{number}.png": picture for number, picture in enumerate(PICTURES)}
    captions = {f"{number}.png": some for number, some in enumerate(CAPTIONS)}
    named = Captioner(**{**SMALL, "steps": 2})._read(pictures, dict(reversed(captions.items())))
    assert named.labels == CAPTIONS[::-1]
    assert all((one == other).all() for one, other in zip(named.inputs, PICTURES[::-1], strict=True))
    assert trained().predict(pictures) == trained().predict(PICTURES)
    assert trained().predict([]) == []


def test_a_folder_is_described_as_its_pictures_are(folder):
    captioner = trained()
    assert captioner.predict(folder) == captioner.predict(PICTURES[:8])
    assert captioner.predict(folder / "3.png") == captioner.predict(PICTURES[3:4])


def test_captions_longer_than_max_length_are_reported_and_have_no_end_token(caplog):
    long = [[" ".join(["red"] * 9)]] * 8
    with caplog.at_level(logging.WARNING):
        captioner = Captioner(**{**SMALL, "steps": 60}, max_length=5, min_count=1).fit(PICTURES[:8], long)
    assert "7 of 7 examples have a text longer than max_length 5 tokens" in caplog.text
    assert captioner.predict(PICTURES[:1]) == ["red red red red red"]
    figures = captioner.evaluate(PICTURES[:1], long[:1])
    assert (figures["tokens"], figures["cut"]) == (5, 1)


def test_a_caption_does_not_depend_on_the_batch():
    captioner = untrained()
    together = captioner.describe(TEST)
    for number, picture in enumerate(TEST):
        ((text, score),) = captioner.describe([picture])[0]
        assert text == together[number][0][0]
        assert score == pytest.approx(together[number][0][1], abs=1e-5)


@pytest.mark.parametrize("attention", ["none", "luong"])
def test_a_caption_from_another_state(attention):
    captioner = trained(attention)
    pictures = [TEST[1], TEST[2]]
    texts = captioner.describe(pictures)
    states = captioner.encode(pictures)
    best = [some[0][0] for some in texts]
    assert best[0] != best[1]
    assert captioner.describe(pictures, state=states) == texts
    first, second = (states.select_rows(torch.tensor([row])) for row in (0, 1))
    assert captioner.describe(pictures, state=first.interpolate(second, 1)) == captioner.describe(
        pictures, state=second
    )
    if attention == "none":  # the decoder knows nothing but the state
        assert [some[0][0] for some in captioner.describe(pictures[::-1], state=states)] == best
        assert [some[0][0] for some in captioner.describe(pictures, state=first)] == [best[0]] * 2
    assert captioner.describe(pictures) == texts
    with pytest.raises(UsageError, match="3 rows, expected 1 or 2"):
        captioner.describe(pictures, state=states.select_rows(torch.tensor([0, 1, 1])))
    with pytest.raises(UsageError, match="no pictures to encode"):
        captioner.encode([])


def test_all_captions_of_a_picture_count_and_it_is_encoded_once():
    captioner = untrained()
    uneven = [CAPTIONS[0], CAPTIONS[1][:1], [*CAPTIONS[2], "one more of it"]]
    examples = Examples(PICTURES[:3], uneven)
    batches = captioner._batches(examples)
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


def test_mismatched_pictures_and_captions_are_reported_skipped_and_counted(folder, tmp_path, caplog):
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:100])
    (tmp_path / "c.tsv").write_text(lines_of([0, 1, 2, 3, 4, 5, 6]) + "lost.png\tnobody sees this\n")
    with caplog.at_level(logging.WARNING):
        captioner = Captioner(**{**SMALL, "steps": 1}).fit(folder, tmp_path / "c.tsv")
    assert captioner.data_["left_out"] == 3
    assert "has no picture lost.png" in caplog.text
    assert "7.png:1: " in caplog.text
    assert "has no caption for it" in caplog.text
    assert "3.png:1: " in caplog.text
    assert captioner.data_["train"]["examples"] + captioner.data_["valid"]["examples"] == 6


def test_a_folder_or_a_pipe_of_paths_is_described_and_no_line_is_dropped(folder, caplog):
    captioner = trained()
    (folder / "2.png").write_text("no picture")
    with caplog.at_level(logging.WARNING):
        lines = "".join(answers(captioner, Lines(folder), Problems())).splitlines()
    assert [line.partition("\t")[0] for line in lines] == [f"{number}.png" for number in range(8)]
    for number, line in enumerate(lines):
        caption = line.partition("\t")[2]
        assert caption in ([""] if number == 2 else CAPTIONS[number])
    assert "2.png:1: not a picture" in caplog.text
    paths = io.BytesIO(f"{folder}/1.png\nmissing.png\n{folder}/2.png\n".encode())
    written = list(answers(captioner, Lines(paths), Problems(), output_format="jsonl"))
    first, second, third = map(json.loads, written)
    assert first["captions"][0]["text"] in CAPTIONS[1]
    assert "no such file" in second["problem"]
    assert "not a picture" in third["problem"]


def test_a_name_may_hold_a_colon(tmp_path):
    for name in ("plain.png", "Fig. 1: a: dog.png"):
        (tmp_path / name).write_text("no picture")
    pictures = Pictures(tmp_path, 16)
    assert dict(Captioner()._load_pictures(pictures, pictures.names)) == dict.fromkeys(
        pictures.names, "not a picture that can be read"
    )


@pytest.mark.parametrize(
    ("pictures", "captions", "error", "said"),
    [
        (PICTURES[:2], None, UsageError, "captions are missing"),
        (PICTURES[:2], [["a"]], UsageError, "2 pictures, but captions of 1"),
        (7, [["a"]], UsageError, "pictures are of type int"),
        (
            [np.zeros(3), np.zeros(4)] * 4,
            [["a"], ["b"]] * 4,
            DataError,
            "features of [34] numbers, but the model reads",
        ),
        ([PICTURES[0] / 255], [["a"]], DataError, "float64 is not a picture"),
        ([PICTURES[0][..., 0]], [["a"]], DataError, r"shape \(16, 16\) and type uint8 is not a picture"),
        (PICTURES[:2], [["a"], [7]], UsageError, r"captions\[1\] contains a value of type int"),
        (PICTURES[:2], {"X[0]": [], "X[1]": [" "]}, DataError, "has no caption for it"),
        ([np.array([np.nan])] * 2, [["a"], ["b"]], DataError, "NaN"),
    ],
)
def test_wrong_data_is_reported(pictures, captions, error, said):
    with pytest.raises(error, match=said):
        Captioner(**SMALL, steps=1).fit(pictures, captions)


def test_validation_data_must_be_of_the_kind_of_the_training_data():
    features, others = [np.ones(3)] * 4, [np.ones(5)] * 4
    with pytest.raises(DataError, match="features of 5 numbers, but the model reads 3"):
        Captioner(**SMALL, steps=1).fit(features, [["a a"]] * 4, valid=(others, [["a a"]] * 4))


def test_wrong_settings_are_reported(tmp_path):
    with pytest.raises(UsageError, match="multiple of 8"):
        Captioner(picture_size=20).fit(PICTURES, CAPTIONS)
    with pytest.raises(UsageError, match="no such file"):
        Captioner(encoder=tmp_path / "x.onnx", steps=1).fit(PICTURES, CAPTIONS)
    (tmp_path / "x.onnx").write_text("not a model")
    with pytest.raises(DataError, match=r"`encoder` .*x\.onnx"):
        Captioner(encoder=tmp_path / "x.onnx", steps=1).fit(PICTURES, CAPTIONS)


def test_a_missing_library_names_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install -e '\.\[images\]'"):
        Captioner(encoder=tmp_path / "x.onnx", steps=1).fit(PICTURES, CAPTIONS)


def test_the_held_out_shapes_are_not_in_the_training_data():
    seen = {line.partition("\t")[2] for line in sample_text("shapes").splitlines()}
    unseen = {line.partition("\t")[2] for line in sample_text("unseen-shapes").splitlines()}
    assert not seen & unseen
    words = {word for caption in seen for word in caption.split()}
    assert {word for caption in unseen for word in caption.split()} <= words
    pictures = sample_pictures("unseen-shapes")
    assert len(pictures) == 500
    assert all(picture.shape == (48, 48, 3) for picture in pictures.values())


def mean_colours(path, name="mean"):
    """Write an ONNX model that turns pictures (N, 3, S, S) into their mean colours (N, 3)."""
    from onnx import TensorProto, helper, save

    pictures = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["N", 3, "S", "S"])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3, 1, 1])
    node = helper.make_node("GlobalAveragePool", ["pictures"], ["features"])
    graph = helper.make_graph([node], name, [pictures], [features])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_an_onnx_model_can_encode_the_pictures(tmp_path):
    encoder = mean_colours(tmp_path / "mean.onnx")
    captioner = Captioner(**{**SMALL, "steps": 3}, encoder=encoder).fit(PICTURES, CAPTIONS)
    ((_, seen),) = captioner._load_pictures(Pictures(PICTURES[:1], 16), ["X[0]"])
    np.testing.assert_allclose(seen, PICTURES[0].reshape(-1, 3).mean(axis=0, keepdims=True) / 255, rtol=1e-4)
    captioner.save(tmp_path / "m")
    assert elman.load(tmp_path / "m").describe(TEST) == captioner.describe(TEST)
    described = captioner.describe(TEST)
    captioner.encoder = encoder.rename(tmp_path / "elsewhere.onnx")
    assert captioner.describe(TEST) == described
    features = [picture.reshape(-1, 3).mean(axis=0) / 255 for picture in TEST]
    ready = elman.load(tmp_path / "m").describe(features)  # does not need the encoder, which is gone
    assert [texts[0][0] for texts in ready] == [texts[0][0] for texts in described]
    with pytest.raises(UsageError, match="no such file"):
        elman.load(tmp_path / "m").predict(TEST)
    begun = Captioner(**{**SMALL, "steps": 2}).fit(features * 4, CAPTIONS[:16])  # on features computed before
    begun.save(tmp_path / "ready")
    settings = {**SMALL, "steps": 2, "encoder": tmp_path / "elsewhere.onnx"}
    Captioner(**settings).fit(PICTURES, CAPTIONS, init_from=tmp_path / "ready").save(tmp_path / "begun")
    mean_colours(encoder, name="another")
    with pytest.raises(ModelError, match="not the encoder that the model was trained with"):
        elman.load(tmp_path / "begun").set_params(encoder=encoder).predict(TEST)
    with pytest.raises(ModelError, match="not the encoder that the model was trained with"):
        elman.load(tmp_path / "m").predict(TEST)


def test_the_splits_of_a_data_set_are_used_for_training_validation_and_test(tmp_path, caplog):
    splits = ["train", "val", "test"] * 6
    images = [
        {"filename": f"{number}.png", "split": split, "sentences": [{"raw": f"it is {split}"}]}
        for number, split in enumerate(splits)
    ]
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"images": images}))
    pictures = {f"{number}.png": np.full((8, 8, 3), number, np.uint8) for number in range(18)}
    model = elman.Captioner(hidden_size=4, embedding_size=4, picture_size=8, channels=8, steps=1, min_count=1)
    with caplog.at_level("WARNING"):
        train, valid = model.read(pictures, path)
    assert train.labels == [["it is train"]] * 6
    assert valid.labels == [["it is val"]] * 6
    assert [int(array[0, 0, 0]) for array in valid.inputs] == list(range(1, 18, 3))
    assert len(caplog.messages) == 2  # one for each split, whatever its number of pictures
    assert "or for 11 more" in caplog.text
    assert model.fit(pictures, path).evaluate(pictures, path)["examples"] == 6


def maps(path, size, output):
    """Write an ONNX encoder with a fixed picture size; it gives means over quarters, as (N, 3, 2, 2) or (N, 4, 3)."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    kernel = [size // 2, size // 2]
    nodes = [helper.make_node("AveragePool", ["pictures"], ["maps"], kernel_shape=kernel, strides=kernel)]
    shape = ["n", 3, 2, 2]
    if output == "regions":
        nodes.append(helper.make_node("Reshape", ["maps", "shape"], ["flat"]))
        nodes.append(helper.make_node("Transpose", ["flat"], ["regions"], perm=[0, 2, 1]))
        shape = ["n", 4, 3]
    inputs = [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["n", 3, size, size])]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)]
    constants = [helper.make_tensor("shape", TensorProto.INT64, [3], [0, 3, 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("output", ["maps", "regions"])
def test_an_encoder_has_its_own_size_and_its_places_stay_regions(tmp_path, output):
    pytest.importorskip("onnxruntime")
    encoder = maps(tmp_path / "e.onnx", 20, output)
    pictures = [np.random.default_rng(seed).integers(0, 256, (20, 20, 3)).astype(np.uint8) for seed in range(6)]
    settings = {"hidden_size": 4, "embedding_size": 4, "steps": 1, "min_count": 1}
    captioner = Captioner(**settings, encoder=encoder)  # whose picture_size is 48
    train, _ = captioner.read(pictures, [["a"]] * 6, valid=(pictures, [["a"]] * 6))
    for picture, features in zip(pictures, train.inputs, strict=True):
        quarters = picture.reshape(2, 10, 2, 10, 3).mean(axis=(1, 3)).reshape(4, 3) / 255
        np.testing.assert_allclose(features, quarters, rtol=1e-5)  # float32
    captioner.fit(pictures, [["a"]] * 6)
    assert len(captioner.predict(pictures)) == 6
    Image.fromarray(pictures[0]).save(tmp_path / "p.png")
    lines = Lines(tmp_path / "p.png", "utf-8", Problems())
    assert len(list(answers(captioner, lines, Problems()))) == 1
    flat = encode_pictures(encoder, pictures[:1], 12)  # as older models were trained
    assert flat[0].shape == (1, 12)


def test_encoding_reports_its_progress(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(onnx_encoder.time, "monotonic", lambda: now[0])
    progress = onnx_encoder.EncodingProgress(8000)
    for number, now[0] in ((128, 4.0), (256, 11.0), (384, 15.0), (512, 22.0)):
        progress.update(number)
    assert caplog.messages == ["256 of 8,000 pictures are encoded", "512 of 8,000 pictures are encoded"]
