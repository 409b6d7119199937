"""A saved model: the files in its folder, and that a damaged, altered or newer one is reported and left unchanged."""

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
from elman.errors import ModelError, StorageError, UsageError
from elman.files import read_file, working_in
from elman.settings.base import LIMITS
from elman.training.checkpoint import load_checkpoint, save_checkpoint

FILES = {"config.json", "model.safetensors", "tokenizer.json", "metrics.json", "log.csv", "curves.svg", "README.md"}


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "m")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def listing(folder):
    """Return the contents of a folder, of which some may be unreadable."""
    return {
        path.name: (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.iterdir()
    }


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
    assert {"nats_per_token", "perplexity", "perplexity_per_word", "tokens", "words", "unknown"} <= set(
        metrics["valid"]
    )
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
    """They load into torch's own LSTM unchanged."""
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
    """A file whose hash in the config matches, although its content is not valid."""

    def damage(folder):
        (folder / name).write_bytes(content)
        change_config(folder, lambda values: values["files"].update({name: hashlib.sha256(content).hexdigest()}))

    return damage


def other_weights(folder):
    content = safetensors.torch.save({"head.weight": torch.zeros(2, 2)})
    vouched_garbage("model.safetensors", content)(folder)


def vouched_weights(change):
    """Weights with another content, whose hash in the config matches."""

    def damage(folder):
        weights = safetensors.torch.load_file(folder / "model.safetensors")
        change(weights)
        vouched_garbage("model.safetensors", safetensors.torch.save(weights))(folder)

    return damage


def replaced(name, make):
    """Put something other than a file in the place of a file."""

    def damage(folder):
        (folder / name).unlink()
        make(folder / name)

    return damage


def large(path):
    with path.open("wb") as file:
        file.truncate(10 << 30)


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
    "unknown setting of many lines": setting(**{"a\n" * 400: 8}),
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
    "vouched NaN": vouched_weights(lambda weights: weights["head.bias"].fill_(torch.nan)),
    "vouched infinity": vouched_weights(lambda weights: weights["rnn.weight_hh_l0"][0, :1].fill_(-torch.inf)),
    "vouched weights of another shape": vouched_weights(lambda weights: weights.update({"head.bias": torch.zeros(3)})),
    "vouched weights too many": vouched_weights(lambda weights: weights.update({"more": torch.zeros(3)})),
    "a million layers": setting(num_layers=10**6),
    "layers that the weights do not have": setting(num_layers=90),
    "a layer of gigabytes": setting(hidden_size=16_000),
    "a size beyond all limits": setting(hidden_size=10**12),
    "a number of 400 digits": setting(hidden_size=10**400),
    "a number that is none": setting(forget_bias=float("nan")),
    "settings of a wrong type": setting(dropout=[0.5]),
    "a task that is a list": config(task=["lm"]),
    "an object nested too deeply": lambda folder: (folder / "config.json").write_text("[" * 100_000),
    "hashes that are numbers": config(files={"model.safetensors": 1}),
    "a file named with NUL": config(files={"model.safetensors": "0", "a\0b": "0"}),
    "a hidden file": config(files={"model.safetensors": "0", ".lock": "0"}),
    "a tokenizer of another level": setting(level="word"),
    "a pipe as config": replaced("config.json", os.mkfifo),
    "ten gigabytes as config": replaced("config.json", large),
    "a device as tokenizer": replaced("tokenizer.json", lambda path: path.symlink_to("/dev/zero")),
    "a link outside as tokenizer": replaced("tokenizer.json", lambda path: path.symlink_to("../easy.txt")),
    "a folder as weights": replaced("model.safetensors", Path.mkdir),
    "ten gigabytes as weights": replaced("model.safetensors", large),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_command_refuses_it(shell, folder, easy_file, damage):
    DAMAGES[damage](folder)
    before = listing(folder)
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
    assert listing(folder) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (config(format=2), ["format 2", "reads up to format 1", "pip install -U elman"]),
        (setting(hiden_size=8), ['"hiden_size"', 'did you mean "hidden_size"', "pip install -U elman"]),
        (config(task="lmm"), ['unknown task "lmm"', "lm"]),
        (cut("model.safetensors", 0.5), ["model.safetensors", "truncated or was altered", "bytes"]),
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


def test_reading_an_untrusted_folder_opens_nothing_outside_of_it(folder, monkeypatch):
    secret = folder.parent / "x"
    secret.write_text("secret")
    config(files={"model.safetensors": "0", "../x": hashlib.sha256(b"secret").hexdigest()})(folder)
    opened = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: opened.append(self) or plain(self))
    with pytest.raises(ModelError, match="files"):
        elman.load(folder)
    assert secret not in [path.resolve() for path in opened]


def test_the_shapes_are_checked_without_drawing_weights(folder, monkeypatch):
    """For tensors without memory, torch draws with its compiler, which takes two seconds to import."""
    draw = torch.Tensor.normal_

    def draw_with_memory(self, *arguments, **options):
        assert not self.is_meta
        return draw(self, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "normal_", draw_with_memory)
    assert elman.load(folder).network_


def test_a_missing_folder_is_reported(shell, tmp_path):
    answer = shell("generate", tmp_path / "nowhere")
    assert answer.code == 4
    assert "no such folder" in answer.err


@pytest.mark.parametrize("failing_call", [1, 2, 3, 7])
def test_a_full_disk_while_saving_leaves_the_previous_model(folder, monkeypatch, tiny, easy, quick, failing_call):
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
        patch.setattr("elman.families.saved.folder.replace_files", full)
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


def test_an_unfinished_training_without_a_validation_is_reported(tmp_path, tiny, easy, monkeypatch):
    def batch(self, step):
        raise RuntimeError("injected")

    monkeypatch.setattr(StreamBatches, "batch", batch)
    with pytest.raises(RuntimeError, match="injected"):
        tiny(steps=4).fit(easy, out=tmp_path / "m")
    with pytest.raises(ModelError, match="continue it with `resume`"):
        elman.load(tmp_path / "m")


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_damaged_checkpoint_is_reported(tmp_path, shell, easy_file, tiny_flags, resume):
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


def test_an_untrusted_checkpoint_is_reported(tmp_path, shell, easy_file):
    folder = tmp_path / "m"
    folder.mkdir()
    save_checkpoint(folder / "checkpoint.safetensors", {"nothing": "of use"})
    for words in (["generate", folder], ["train", "lm", easy_file, "--out", folder, "--resume"]):
        answer = shell(*words)
        assert answer.code == 4, answer.err


def test_a_model_is_overwritten_only_where_asked(folder, tiny, easy, quick):
    before = contents(folder)
    with pytest.raises(ModelError, match="`overwrite`"):
        tiny(seed=2).fit(easy, out=folder)
    assert contents(folder) == before
    tiny(seed=2).fit(easy, out=folder, overwrite=True)
    assert elman.load(folder).seed == 2


def test_a_diverged_training_with_overwrite_leaves_the_previous_model(folder, shell, easy_file, tiny_flags):
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


# ---------------------------------------------------------------- files without a hash


FIGURES = [
    *(b"", b"[1]", b"\xff", b"{" * 99_999, b"a" * 200_000, b'"\n', b'{"valid": 1}', b'{"parameters": 1e400}'),
    *(b'{"valid": {"nats_per_token": "x"}}', b'{"valid": {"x": null}}', b"a,b\n1\n", b"step\n1\n"),
    *(b"step,nats_per_token\n" + row for row in (b"x,y\n", b",1\n", b"1,nan\n", b"9" * 5000 + b",1\n")),
]


@pytest.mark.parametrize("name", ["metrics.json", "log.csv"])
@pytest.mark.parametrize("content", FIGURES)
def test_damaged_figures_are_ignored(folder, tmp_path, name, content, shell):
    (folder / name).write_bytes(content)
    model = elman.load(folder)
    model.save(tmp_path / "copy")
    assert elman.load(tmp_path / "copy").read("the")[0].equal(model.read("the")[0])
    assert shell("info", folder).code == 0


def test_data_of_another_type_are_refused(folder):
    config(data=[1])(folder)
    with pytest.raises(ModelError, match="data is"):
        elman.load(folder)


def test_what_is_not_finite_is_null_in_json(tmp_path, tiny, easy):
    model = tiny().fit(easy)
    model.metrics_["valid"]["perplexity"] = float("inf")
    model.save(tmp_path / "m")
    written = (tmp_path / "m" / "metrics.json").read_text()
    metrics = json.loads(written, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert metrics["valid"]["perplexity"] is None
    assert "perplexity" not in elman.load(tmp_path / "m").metrics_["valid"]
    elman.load(tmp_path / "m").save(tmp_path / "m")


def test_weights_that_are_not_finite_are_not_saved(folder, tiny, easy):
    model = tiny(seed=3).fit(easy)
    model.network_.head.bias.data[1] = float("nan")
    before = contents(folder)
    with pytest.raises(UsageError, match=r"head\.bias contains NaN"):
        model.save(folder)
    assert contents(folder) == before


# ---------------------------------------------------------------- writing, and other processes


def test_a_name_that_is_not_utf8_is_written_escaped(tmp_path, tiny, easy):
    """The model card and the config name the data."""
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_text(easy)
    tiny().fit(path, out=tmp_path / "m")
    assert "caf\\udce9.txt" in (tmp_path / "m" / "README.md").read_text()
    assert elman.load(tmp_path / "m").data_["train"]["files"] == [str(path)]
    assert tiny().fit(path, out=tmp_path / "m", resume=True).metrics_["train"]["steps"] == 4


def test_a_model_that_cannot_be_saved_fails_before_the_first_step(tmp_path, tiny, easy, monkeypatch):
    monkeypatch.setattr("elman.families.saved.folder.MAX_TEXT", 100)
    monkeypatch.setattr(StreamBatches, "batch", lambda self, step: pytest.fail("a step was taken"))
    with pytest.raises(UsageError, match=r"tokenizer\.json would have .* bytes, but the limit for loading is 100"):
        tiny().fit(easy, out=tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_picture_that_fails_does_not_lose_the_model(tmp_path, tiny, easy, monkeypatch, caplog):
    def fail(history):
        raise ZeroDivisionError("a font is missing")

    monkeypatch.setattr("elman.drawing.curves.loss_curves", fail)
    tiny().fit(easy, out=tmp_path / "m")
    assert {path.name for path in (tmp_path / "m").iterdir()} == FILES - {"curves.svg"}
    assert "the pictures are skipped: ZeroDivisionError: a font is missing" in caplog.text
    assert elman.load(tmp_path / "m").seed == 1


def test_a_second_training_into_the_same_folder_is_refused(tmp_path, tiny, easy, shell, easy_file, tiny_flags):
    folder = tmp_path / "m"
    with working_in(folder):
        with pytest.raises(ModelError, match=f"process {os.getpid()} on .* is writing into this folder"):
            tiny().fit(easy, out=folder)
        answer = shell("train", "lm", easy_file, "--out", folder, *tiny_flags, "--overwrite")
        assert answer.code == 4
        with pytest.raises(ModelError, match="is writing"):
            tiny().fit(easy).save(folder)
    tiny().fit(easy, out=folder)


def test_a_model_of_another_task_leaves_nothing_behind(folder):
    tagger = elman.Tagger(hidden_size=4, num_layers=1, steps=1, characters="none").fit(
        [["a", "b"]] * 6, [["B-X", "I-X"]] * 6
    )
    tagger.save(folder)
    assert not (folder / "tokenizer.json").exists()
    assert elman.load(folder).predict([["a", "b"]]) == tagger.predict([["a", "b"]])


def test_a_folder_can_be_read_while_it_is_being_replaced(folder, tiny, easy, monkeypatch):
    """Between its config and its weights, another process puts a new model into the folder."""
    other = tiny(seed=7).fit(easy)
    plain, calls = read_file, []

    def reading(path, most):
        content = plain(path, most)
        calls.append(path.name)
        if len(calls) == 1:
            other.save(folder)
        return content

    monkeypatch.setattr("elman.families.saved.folder.read_file", reading)
    assert elman.load(folder).seed == 7
    assert calls[0] == "config.json"


# ---------------------------------------------------------------- an untrusted checkpoint


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory, tiny, easy):
    """Return the folder of a training that stopped after its first validation."""
    folder = tmp_path_factory.mktemp("unfinished") / "m"
    with pytest.MonkeyPatch.context() as patch:
        plain = StreamBatches.batch

        def batch(self, step):
            if step == 3:
                raise RuntimeError("injected")
            return plain(self, step)

        patch.setattr(StreamBatches, "batch", batch)
        with pytest.raises(RuntimeError, match="injected"):
            tiny(steps=4, evaluations=2).fit(easy, out=folder)
    return folder


def at(*keys, value):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = value

    return change


def without(*keys):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return change


CHECKPOINTS = {
    "no state": without("state"),
    "no config": without("config"),
    "no network": without("network"),
    "no optimizer": without("optimizer"),
    "no texts": without("texts"),
    "no tokenizer": without("texts", "tokenizer.json"),
    "state a list": at("state", value=[1]),
    "targets beyond all numbers": at("state", "targets", value=10**400),
    "step a text": at("state", "step", value="3"),
    "step beyond the end": at("state", "step", value=10**9),
    "a schedule without steps": at("state", "schedule", "total_steps", value=0),
    "a schedule of texts": at("state", "schedule", "eval_every", value="2"),
    "validations every 0 steps": at("state", "schedule", "eval_every", value=0),
    "history a number": at("state", "history", value=3),
    "best a number": at("state", "best", value=3),
    "best without weights": at("state", "best", "network", value={}),
    "best of another shape": at("state", "best", "network", "head.bias", value=torch.zeros(2)),
    "weights of another shape": at("network", "head.bias", value=torch.zeros(2)),
    "weights that are texts": at("network", "head.bias", value="x"),
    "moments of another shape": at("optimizer", "state", 0, "exp_avg", value=torch.zeros(2)),
    "moments of another name": at("optimizer", "state", 0, "more", value=torch.zeros(2)),
    "moments of a weight too many": at("optimizer", "state", 99, value={"step": torch.tensor(1.0)}),
    "an optimizer that is a text": at("optimizer", value="x"),
    "texts that are numbers": at("texts", "tokenizer.json", value=3),
    "settings a list": at("config", "settings", value=[]),
    "settings of another size": at("config", "settings", "hidden_size", value=16_000),
    "data of another type": at("config", "data", "train", value=[]),
    "another task": at("config", "task", value="tagger"),
    "a carried state of another shape": at("state", "carry", value=torch.zeros(3)),
}


@pytest.mark.parametrize("change", CHECKPOINTS)
def test_a_checkpoint_that_does_not_fit_is_refused(unfinished, tmp_path, shell, easy_file, change):
    folder = shutil.copytree(unfinished, tmp_path / "m")
    state = load_checkpoint(folder / "checkpoint.safetensors")
    CHECKPOINTS[change](state)
    save_checkpoint(folder / "checkpoint.safetensors", state)
    before = contents(folder)
    answer = shell("train", "lm", easy_file, "--out", folder, "--resume")
    assert answer.code in (2, 4), answer.err
    assert contents(folder) == before
    assert shell("generate", folder, "--max-tokens", 3).code in (0, 4)  # what it needs may be undamaged


def test_the_checkpoint_of_the_test_above_can_be_resumed(unfinished, tmp_path, shell, easy_file):
    folder = shutil.copytree(unfinished, tmp_path / "m")
    assert shell("train", "lm", easy_file, "--out", folder, "--resume").code == 0


def test_the_limits_are_documented():
    rows = [row for row in (Path(__file__).parents[3] / "docs" / "settings.md").read_text().splitlines() if "|" in row]
    for name, most in LIMITS.items():
        shown = f"{most:,}" if most < 10**12 else "10^12"
        assert any(f"`{name}`" in row and shown in row for row in rows), name


def test_a_checkpoint_that_is_a_folder_is_reported(folder, shell, easy_file, tiny_flags):
    (folder / "checkpoint.safetensors").mkdir()
    for flag in ("--overwrite", "--resume"):
        answer = shell("train", "lm", easy_file, "--out", folder, *tiny_flags, flag)
        assert answer.code in (4, 6), answer.err
        assert len(answer.err.splitlines()) == 1
    assert elman.load(folder).seed == 1


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_lock_that_is_not_a_file_is_reported_or_used(folder, tiny, easy, make):
    make(folder / ".lock")
    try:
        tiny(seed=2).fit(easy, out=folder, overwrite=True)
    except (ModelError, StorageError):
        assert elman.load(folder).seed == 1
    else:
        assert elman.load(folder).seed == 2
