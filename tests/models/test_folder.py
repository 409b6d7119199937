"""A saved model: what is in its folder, and that a damaged, altered or newer one is told and never harmed."""

import csv
import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

import elman
from elman.data.batching import StreamBatches
from elman.errors import ModelError, StorageError
from elman.training.checkpoint import load_checkpoint, save_checkpoint

FILES = {"config.json", "model.safetensors", "tokenizer.json", "metrics.json", "log.csv", "curves.svg", "README.md"}


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "m")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def change_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_a_folder_holds_what_it_should(saved):
    assert {path.name for path in saved.iterdir()} == FILES
    config = json.loads((saved / "config.json").read_text())
    assert (config["format"], config["task"], config["elman"]) == (1, "lm", elman.__version__)
    for name, digest in config["files"].items():
        assert hashlib.sha256((saved / name).read_bytes()).hexdigest() == digest
    assert set(config["files"]) == {"model.safetensors", "tokenizer.json"}
    metrics = json.loads((saved / "metrics.json").read_text())
    assert {"nats_per_token", "bits_per_character", "perplexity", "tokens", "unknown"} <= set(metrics["valid"])
    assert {"seconds", "tokens_per_second", "steps"} <= set(metrics["train"])
    assert metrics["parameters"] == elman.load(saved).metrics_["parameters"]
    assert {"python", "elman", "torch"} <= set(metrics["versions"])
    with (saved / "log.csv").open(newline="") as file:
        log = list(csv.DictReader(file))
    assert [row["step"] for row in log] == ["0", "2", "4"]
    assert {"targets", "seconds", "train_nats", "nats_per_token", "perplexity"} <= set(log[0])
    assert (saved / "curves.svg").read_text().lstrip().startswith("<?xml")
    card = (saved / "README.md").read_text()
    assert "| hidden_size | 8 |" in card
    assert f"{metrics['parameters']:,} parameters" in card


def test_weights_have_torchs_names(saved):
    """They go into torch's own LSTM as they are."""
    weights = safetensors.torch.load_file(saved / "model.safetensors")
    lstm = torch.nn.LSTM(4, 8, batch_first=True)
    lstm.load_state_dict({name.removeprefix("rnn."): part for name, part in weights.items() if name.startswith("rnn.")})
    model = elman.load(saved)
    ids = torch.from_numpy(model.tokenizer_.encode("the fox").astype("int64"))
    outputs, _ = lstm(weights["embedding.weight"][ids][None])
    logits = outputs[0] @ weights["head.weight"].T + weights["head.bias"]
    # 1e-6: the same float32 operations
    torch.testing.assert_close(logits, model.read("the fox")[0], rtol=1e-6, atol=1e-6)


def flip(name, place):
    def damage(folder):
        content = bytearray((folder / name).read_bytes())
        content[int(place * (len(content) - 1))] ^= 1
        (folder / name).write_bytes(content)

    return damage


def cut(name, share):
    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return damage


def config(**changes):
    return lambda folder: change_config(folder, lambda values: values.update(changes))


def setting(**changes):
    return lambda folder: change_config(folder, lambda values: values["settings"].update(changes))


def vouched_garbage(name, content):
    """A file that its config vouches for, and that is no such file all the same."""

    def damage(folder):
        (folder / name).write_bytes(content)
        change_config(folder, lambda values: values["files"].update({name: hashlib.sha256(content).hexdigest()}))

    return damage


def other_weights(folder):
    content = safetensors.torch.save({"head.weight": torch.zeros(2, 2)})
    vouched_garbage("model.safetensors", content)(folder)


DAMAGES = {
    "weights cut off": cut("model.safetensors", 0.5),
    "weights empty": cut("model.safetensors", 0),
    "first byte of weights": flip("model.safetensors", 0),
    "a byte of weights": flip("model.safetensors", 0.7),
    "last byte of weights": flip("model.safetensors", 1),
    "a byte of the tokenizer": flip("tokenizer.json", 0.5),
    "tokenizer cut off": cut("tokenizer.json", 0.9),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "no config": lambda folder: (folder / "config.json").write_text(""),
    "config cut off": cut("config.json", 0.5),
    "config not UTF-8": lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe{"),
    "config a list": lambda folder: (folder / "config.json").write_text("[1]"),
    "newer format": config(format=2),
    "no format": config(format=None),
    "unknown task": config(task="lmm"),
    "settings no object": config(settings=[]),
    "unknown setting": setting(hiden_size=8),
    "another size": setting(hidden_size=9),
    "another cell": setting(cell="gru"),
    "unknown cell": setting(cell="lstn"),
    "size a text": setting(hidden_size="8"),
    "files missing": config(files={}),
    "a path upwards": config(files={"model.safetensors": "0", "../x": "0"}),
    "a path downwards": config(files={"model.safetensors": "0", "a/b": "0"}),
    "an absolute path": config(files={"model.safetensors": "0", "/etc/passwd": "0"}),
    "the folder above": config(files={"model.safetensors": "0", "..": "0"}),
    "vouched garbage as weights": vouched_garbage("model.safetensors", b"garbage"),
    "vouched garbage as tokenizer": vouched_garbage("tokenizer.json", b"{}"),
    "vouched bytes as tokenizer": vouched_garbage("tokenizer.json", b"\xff\xff"),
    "vouched weights of another network": other_weights,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_command_refuses_it(shell, folder, easy_file, damage):
    DAMAGES[damage](folder)
    before = contents(folder)
    with pytest.raises(ModelError):
        elman.load(folder)
    for verb, *files in (["generate"], ["predict", easy_file], ["evaluate", easy_file], ["info"]):
        answer = shell(verb, folder, *files)
        assert answer.code == 4
        assert answer.err.startswith("elman: ")
        assert len(answer.err.splitlines()) <= 2
        assert str(folder) in answer.err
        assert not answer.out
    answer = shell("train", "lm", easy_file, "--out", folder, "--resume")
    assert answer.code == 4, answer.err
    assert shell("train", "lm", easy_file, "--out", folder).code == 4
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (config(format=2), ["format 2", "reads up to format 1", "pip install -U elman"]),
        (setting(hiden_size=8), ['"hiden_size"', 'did you mean "hidden_size"', "pip install -U elman"]),
        (config(task="lmm"), ['unknown task "lmm"', "lm"]),
        (cut("model.safetensors", 0.5), ["model.safetensors", "cut off or was altered", "bytes"]),
        (lambda folder: (folder / "config.json").unlink(), ["holds no model"]),
    ],
    ids=["format", "setting", "task", "cut off", "none"],
)
def test_the_message_names_the_remedy(folder, change, words):
    change(folder)
    with pytest.raises(ModelError) as caught:
        elman.load(folder)
    for word in words:
        assert word in str(caught.value)


def test_reading_a_strangers_folder_opens_nothing_outside_of_it(folder, monkeypatch):
    secret = folder.parent / "x"
    secret.write_text("secret")
    config(files={"model.safetensors": "0", "../x": hashlib.sha256(b"secret").hexdigest()})(folder)
    opened = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: opened.append(self) or plain(self))
    with pytest.raises(ModelError, match="files"):
        elman.load(folder)
    assert secret not in [path.resolve() for path in opened]


def test_a_missing_folder_is_told(shell, tmp_path):
    answer = shell("generate", tmp_path / "nowhere")
    assert answer.code == 4
    assert "no such folder" in answer.err


@pytest.mark.parametrize("failing_call", [1, 2, 3, 7])
def test_a_full_disk_while_saving_leaves_the_former_model(folder, monkeypatch, tiny, easy, quick, failing_call):
    before = contents(folder)
    other = tiny(seed=7).fit(easy)
    calls, plain = [], os.fsync

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == failing_call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="No space left") as caught:
        other.save(folder)
    assert str(folder) in str(caught.value)
    assert contents(folder) == before
    assert elman.load(folder).seed == 1
    monkeypatch.undo()
    other.save(folder)
    assert elman.load(folder).seed == 7


def test_a_full_disk_at_the_end_of_training_keeps_the_checkpoint(tmp_path, monkeypatch, shell, easy_file, tiny_flags):
    folder = tmp_path / "m"

    def full(folder, contents, removed):
        raise StorageError(f"{folder}: cannot be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr("elman.models.folder.replace_files", full)
        answer = shell("train", "lm", easy_file, "--out", folder, *tiny_flags)
    assert answer.code == 6
    assert [path.name for path in folder.iterdir()] == ["checkpoint.safetensors"]
    assert shell("train", "lm", easy_file, "--out", folder, "--resume").code == 0
    assert {path.name for path in folder.iterdir()} == FILES


def test_an_unfinished_training_loads_its_best_weights(tmp_path, tiny, easy, shell, monkeypatch):
    folder = tmp_path / "m"
    plain = StreamBatches.batch

    def batch(self, step):
        if step == 3:
            raise RuntimeError("injected")
        return plain(self, step)

    monkeypatch.setattr(StreamBatches, "batch", batch)
    with pytest.raises(RuntimeError, match="injected"):
        tiny(steps=4, evaluations=2).fit(easy, out=folder)
    monkeypatch.undo()
    assert [path.name for path in folder.iterdir()] == ["checkpoint.safetensors"]
    loaded = elman.load(folder)
    best = load_checkpoint(folder / "checkpoint.safetensors")["state"]["best"]
    assert best["step"] == 2
    for name, tensor in loaded.network_.state_dict().items():
        assert torch.equal(tensor, best["network"][name])
    assert loaded.generate("the ", max_tokens=5, seed=1)
    assert shell("info", folder).code == 0
    loaded.save(tmp_path / "copy")
    assert torch.equal(elman.load(tmp_path / "copy").read("the")[0], loaded.read("the")[0])


def test_an_unfinished_training_without_a_validation_is_told(tmp_path, tiny, easy, monkeypatch):
    def batch(self, step):
        raise RuntimeError("injected")

    monkeypatch.setattr(StreamBatches, "batch", batch)
    with pytest.raises(RuntimeError, match="injected"):
        tiny(steps=4).fit(easy, out=tmp_path / "m")
    with pytest.raises(ModelError, match="go on with --resume"):
        elman.load(tmp_path / "m")


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_damaged_checkpoint_is_told(tmp_path, shell, easy_file, tiny_flags, resume):
    folder = tmp_path / "m"
    folder.mkdir()
    save_checkpoint(folder / "checkpoint.safetensors", {"state": {}, "large": torch.zeros(100)})
    content = (folder / "checkpoint.safetensors").read_bytes()
    (folder / "checkpoint.safetensors").write_bytes(content[:-9])
    answer = shell("train", "lm", easy_file, "--out", folder, *tiny_flags, *resume)
    assert answer.code == 4
    assert len(answer.err.splitlines()) == 1
    assert shell("generate", folder).code == 4
    assert shell("train", "lm", easy_file, "--out", folder, *tiny_flags, "--overwrite").code == 0


def test_a_strangers_checkpoint_is_told(tmp_path, shell, easy_file):
    folder = tmp_path / "m"
    folder.mkdir()
    save_checkpoint(folder / "checkpoint.safetensors", {"nothing": "of use"})
    for words in (["generate", folder], ["train", "lm", easy_file, "--out", folder, "--resume"]):
        answer = shell(*words)
        assert answer.code == 4, answer.err


def test_a_model_is_overwritten_only_where_asked(folder, tiny, easy, quick):
    before = contents(folder)
    with pytest.raises(ModelError, match="--overwrite"):
        tiny(seed=2).fit(easy, out=folder)
    assert contents(folder) == before
    tiny(seed=2).fit(easy, out=folder, overwrite=True)
    assert elman.load(folder).seed == 2


def test_a_diverged_overwriting_leaves_the_former_model(folder, shell, easy_file, tiny_flags):
    flags = [*tiny_flags, "--steps", 40, "--learning-rate", 1e6, "--warmup-steps", 0, "--overwrite"]
    before = contents(folder)
    assert shell("train", "lm", easy_file, "--out", folder, *flags).code == 5
    after = contents(folder)
    after.pop("checkpoint.safetensors")
    assert after == before
    assert elman.load(folder).seed == 1


def test_a_model_trained_on_another_device_loads_here(folder):
    setting(device="cuda", threads=999)(folder)
    model = elman.load(folder)
    assert model.device == "cuda"
    assert model.generate("the ", max_tokens=3, seed=1)
