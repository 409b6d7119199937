"""The plan: its rules, over many shapes of data; and what a model does with it."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import elman
from elman import Classifier, Tagger, Translator
from elman.errors import ModelError, UsageError
from elman.families import plan as plans
from elman.families.plan import Traits, plan, plan_vocabulary
from elman.settings.encoder_decoder import TranslatorSettings
from elman.settings.labelling import ClassifierSettings, TaggerSettings
from elman.settings.next_token import ComposerSettings, LanguageModelSettings
from elman.training.loop import describe_run
from elman.training.progress import Progress
from elman.training.schedule import TrainingSettings, fit_schedule

TINY = {"hidden_size": 4, "embedding_size": 4, "threads": 1}
TEXTS, LABELS = ["a b c", "a d"] * 20, ["x", "y"] * 20


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=50),
    st.integers(1, 3000),
    st.sampled_from(["classifier", "translator"]),
    st.floats(0.1, 100),
)
def test_a_batch_holds_enough_examples_unless_the_run_is_short(lengths, repeats, task, minutes):
    lengths, (most, per_pass, sizes) = np.repeat(lengths, repeats), plans.DEFAULTS[task]
    chosen = plan(Traits(task, lengths, "texts"), TrainingSettings(minutes=minutes))
    tokens, speed = chosen["batch_tokens"], next(size.speed for size in sizes if size.units == chosen["hidden_size"])
    typical = max(int(np.median(lengths)), 1)
    updates = plans.TOKENS_PER_SECOND * speed * 60 * minutes / tokens
    examples = tokens / typical
    assert examples >= plans.FEWEST_SEQUENCES or tokens == most
    assert examples >= plans.SEQUENCES or updates < plans.UPDATES + 1
    assert tokens <= max(most, plans.SEQUENCES * typical)
    if examples > plans.SEQUENCES + 1 and tokens < most:  # the size that gives enough updates in a pass
        assert lengths.sum() / tokens == pytest.approx(per_pass, rel=0.05) or updates < plans.UPDATES + 1


@pytest.mark.parametrize(
    ("task", "number", "length", "minutes", "units", "examples", "rate", "pooling"),
    [
        ("classifier", 2000, 790, 3, 50, 16, 0.004, "attention"),  # reviews: 1,000 tokens would hold one
        ("translator", 15_000, 16, 5, 256, 37, 0.002, "max"),  # short pairs: 2,000 tokens would hold 125
        ("translator", 29_000, 28, 12, 256, 71, 0.002, "max"),  # Multi30k
        ("classifier", 6228, 19, 3, 200, 52, 0.002, "max"),  # SST-2, on which the 1,000 tokens were chosen
        ("classifier", 6228, 19, 1, 50, 52, 0.002, "max"),
        ("tagger", 12_544, 16, 7, 160, 62, 0.002, "max"),  # EWT
        ("classifier", 10, 5, 3, 200, 16, 0.002, "max"),
        ("classifier", 20_000, 1000, 1, 50, 9, 0.004, "attention"),
    ],
)
def test_the_plan_for_known_data(task, number, length, minutes, units, examples, rate, pooling):
    chosen = plan(Traits(task, np.full(number, length), "texts"), TrainingSettings(minutes=minutes))
    found = chosen["hidden_size"], chosen["batch_tokens"] // length, chosen["learning_rate"], chosen["pooling"]
    assert found == (units, examples, rate, pooling)


def test_many_labels_need_many_batches():
    lengths = np.full(5000, 13)
    few, many = (plan(Traits("classifier", lengths, "texts", labels=n), TrainingSettings()) for n in (2, 200))
    assert few["batch_tokens"] == 1000
    assert lengths.sum() / many["batch_tokens"] == pytest.approx(200, rel=0.01)


def test_long_texts_are_cropped_where_time_is_short():
    def chosen(minutes, number=1800, length=790, **given):
        traits = Traits("classifier", np.full(number, length), "texts", **{"crop_length": None, **given})
        return plan(traits, TrainingSettings(minutes=minutes))

    assert (chosen(5)["crop_length"], chosen(5)["hidden_size"], chosen(5)["batch_tokens"]) == (200, 100, 3200)
    assert (
        chosen(60)["crop_length"] == chosen(5, number=100)["crop_length"] == 0
    )  # time for many passes over whole texts
    assert chosen(5, length=399)["crop_length"] == chosen(5, crop_length=0)["crop_length"] == 0
    line = Traits("classifier", np.full(1800, 790), "texts").describe(chosen(5))
    assert (
        line == "1,800 texts of about 790 tokens: 100 units, batches of 16 stretches of 200 tokens, attention pooling"
    )


def test_a_batch_holds_a_random_stretch_of_each_long_text():
    texts = [" ".join(f"w{row}_{place}" for place in range(length)) for row, length in enumerate([3, 9, 20] * 4)]
    model = Classifier(**TINY, crop_length=6, batch_tokens=24, valid_fraction=0.1, steps=1)
    model.chosen_ = {}
    _, batches = model._prepare(texts, ["x", "y"] * 6, None, None)
    known = model.inputs_.lexicon.words
    words = dict(zip(model.inputs_.lexicon.look_up(known).ids.tolist(), known, strict=True))
    starts = set()
    for step in range(6 * len(batches)):
        batch = batches.batch(step)
        assert (batch.inputs == batches.batch(step).inputs).all()
        for places, length in zip(batch.inputs, batch.lengths.tolist(), strict=True):
            found = [words[number] for number in batch.words.ids[places[:length]].tolist()]
            row, start = map(int, found[0][1:].split("_"))
            whole = [3, 9, 20][row % 3]
            assert found == [f"w{row}_{place}" for place in range(start, start + min(whole, 6))]
            starts.add((row, start))
    assert {start for row, start in starts if row % 3 == 0} == {0}
    assert {start for row, start in starts if row % 3 == 1} == {0, 1, 2, 3}
    whole = Classifier(**TINY, crop_length=0, steps=1).fit(texts, ["x", "y"] * 6)
    assert whole.setting("crop_length") == 0


def test_a_folder_of_a_version_without_a_setting_loads(tmp_path):
    Classifier(**TINY, steps=2).fit(TEXTS, LABELS, out=tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    del config["settings"]["crop_length"], config["chosen"]["crop_length"]
    path.write_text(json.dumps(config))
    assert elman.load(tmp_path / "m").predict(TEXTS[:1]).shape == (1,)
    assert Classifier(**TINY, steps=1).fit(TEXTS, LABELS, init_from=tmp_path / "m").chosen_["crop_length"] == 0


def test_the_network_shrinks_as_the_data_outgrow_the_time():
    units = [
        plan(Traits("classifier", np.full(number, 20), "texts"), TrainingSettings(minutes=3))["hidden_size"]
        for number in (1000, 10_000, 20_000, 1_000_000)
    ]
    assert units == [200, 100, 50, 50]
    given_passes = plan(Traits("classifier", np.full(1_000_000, 20), "texts"), TrainingSettings(epochs=1))
    assert given_passes["hidden_size"] == 200


def test_one_very_long_text_changes_nothing():
    short = Traits("classifier", np.full(101, 20), "texts")
    mixed = Traits("classifier", np.array([20] * 100 + [1_000_000]), "texts")
    assert plan(mixed, TrainingSettings())["pooling"] == plan(short, TrainingSettings())["pooling"] == "max"
    assert plan(mixed, TrainingSettings())["batch_tokens"] <= 1000


def test_rows_of_numbers_are_not_long_texts():
    assert (
        plan(Traits("classifier", np.full(100, 500), "sequences", is_text=False), TrainingSettings())["pooling"]
        == "max"
    )


def test_a_number_of_epochs_gives_the_updates_too():
    lengths = np.full(320, 1000)
    assert plan(Traits("classifier", lengths, "texts"), TrainingSettings(epochs=100))["batch_tokens"] == 16_000
    assert plan(Traits("classifier", lengths, "texts"), TrainingSettings(epochs=10))["batch_tokens"] == 8000


def test_given_steps_use_whole_batches():
    lengths = np.full(200, 10)  # 60 batches a pass would have 33 tokens each
    assert plan(Traits("tagger", lengths, "sentences"), TrainingSettings(steps=5))["batch_tokens"] == 1000
    assert plan(Traits("tagger", lengths, "sentences"), TrainingSettings(minutes=5))["batch_tokens"] == 160


def test_what_was_chosen_is_kept_saved_and_loaded(tmp_path):
    notes = Notes()
    model = Classifier(**TINY, steps=2).fit(TEXTS, LABELS, out=tmp_path / "m", progress=notes)
    assert (model.pooling, model.batch_tokens) == (None, None)
    assert model.chosen_.keys() == {"crop_length", "batch_tokens", "learning_rate", "pooling"}
    assert model.settled().learning_rate == model.chosen_["learning_rate"] == 0.004
    assert model.network_.pooling.kind == model.chosen_["pooling"] == model.setting("pooling")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["chosen"] == model.chosen_
    assert config["settings"]["pooling"] is None
    loaded = elman.load(tmp_path / "m")
    assert loaded.chosen_ == model.chosen_
    assert (loaded.predict_proba(TEXTS) == model.predict_proba(TEXTS)).all()
    start = "36 texts of about 2 tokens: 4 units, batches of 36, max pooling, "
    assert any(note.startswith(start) for note in notes.notes)


def test_a_given_value_stands():
    model = Classifier(**TINY, steps=2, pooling="last", batch_tokens=77, learning_rate=0.003, crop_length=0).fit(
        TEXTS, LABELS
    )
    assert model.chosen_ == {}
    assert model.network_.pooling.kind == "last"
    assert model.setting("batch_tokens") == 77
    assert model.settled().get_params() == model.get_params()


def test_a_model_without_its_choices_is_damaged(tmp_path):
    Classifier(**TINY, steps=2).fit(TEXTS, LABELS, out=tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    whole = json.loads(path.read_text())
    for chosen, message in [({}, "neither set nor chosen"), ({**whole["chosen"], "pooling": "sum"}, "last, mean")]:
        path.write_text(json.dumps({**whole, "chosen": chosen}))
        with pytest.raises(ModelError, match=message):
            elman.load(tmp_path / "m")


def test_an_earlier_version_wrote_every_value(tmp_path):
    """Its config has explicit values and no choices."""
    model = Classifier(**TINY, steps=2, pooling="max", batch_tokens=1000, learning_rate=0.002).fit(
        TEXTS, LABELS, out=tmp_path / "m"
    )
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    del config["chosen"], config["settings"]["crop_length"]
    path.write_text(json.dumps(config))
    loaded = elman.load(tmp_path / "m")
    assert (loaded.predict_proba(TEXTS) == model.predict_proba(TEXTS)).all()
    further = Classifier(**TINY, steps=1).fit(TEXTS, LABELS, init_from=tmp_path / "m")
    assert further.chosen_["pooling"] == "max"


def test_starting_from_a_model_keeps_its_pooling(tmp_path):
    Classifier(**TINY, steps=2, pooling="mean").fit(TEXTS, LABELS, out=tmp_path / "m")
    model = Classifier(**TINY, steps=2).fit(TEXTS, LABELS, init_from=tmp_path / "m")  # short texts: max by itself
    assert model.network_.pooling.kind == "mean"
    with pytest.raises(UsageError, match="pooling is 'mean' there and 'last' here"):
        Classifier(**TINY, steps=2, pooling="last").fit(TEXTS, LABELS, init_from=tmp_path / "m")


def test_a_translator_and_a_dry_run():
    sources, targets = ["a b", "c d e"] * 20, ["f g", "h"] * 20
    model = Translator(**TINY, steps=3)
    predicted = model.dry_run(sources, targets)
    assert predicted["chosen"].keys() == {"batch_tokens", "vocab_size"}
    assert predicted["plan"].startswith("36 pairs of about ")
    assert predicted["passes"] == pytest.approx(3 / predicted["batches_per_epoch"])
    assert not hasattr(model, "chosen_")


def test_a_small_text_gives_a_small_vocabulary():
    sizes = [plan_vocabulary("bpe", ["x" * number]) for number in (10, 900_000, 10_000_000)]
    assert sizes == [1000, 2000, 8000]
    assert plan_vocabulary("word", ["x"]) == 8000
    pairs = ["ab ab", "cd cd"] * 20, ["ef", "gh"] * 20
    model = Translator(**TINY, steps=1).fit(*pairs)
    assert model.chosen_["vocab_size"] == model.target_tokenizer_.vocab_size == model.network_.head.bias.shape[0]
    assert Translator(**TINY, steps=1, vocab_size=260).fit(*pairs).target_tokenizer_.vocab_size == 260


def test_less_than_a_pass_is_said_before_it_begins():
    line = describe_run("9 texts", 0.4, TrainingSettings(minutes=1))
    assert line == "9 texts, only 40 % of a pass in 1 minute; give more `minutes`"
    assert describe_run("9 texts", 0.4, TrainingSettings(steps=3)) == "9 texts, 0.4 passes"


def test_every_planned_setting_can_be_left_open():
    defaults = {field.name: field.default for field in dataclasses.fields(ClassifierSettings)}
    assert all(defaults[name] is None for name in ClassifierSettings.planned)


def test_a_tagger_learns_a_very_long_sentence_in_pieces(monkeypatch):
    monkeypatch.setattr("elman.models.tagger.MAX_PIECE", 4)
    sentences, tags = [["a", "b"]] * 10 + [list("abcabcabcab")] * 10, [["x", "y"]] * 10 + [["z"] * 11] * 10
    model = Tagger(**TINY, steps=1, batch_tokens=8)
    model.chosen_ = {}
    _, batches = model._prepare(sentences, tags, None, None)
    seen = [batches.batch(step) for step in range(len(batches))]
    assert max(batch.inputs.shape[1] for batch in seen) == 4
    assert sum(int((batch.targets >= 0).sum()) for batch in seen) == 9 * 2 + 9 * 11  # all words but the held-out ones


def test_a_file_that_needs_seconds_does_not_train_for_minutes():
    """Every task limits the passes of a time budget; so little data takes its least number of steps."""
    for settings in (LanguageModelSettings, ComposerSettings, TaggerSettings, ClassifierSettings, TranslatorSettings):
        model = settings(minutes=10)
        assert fit_schedule(0.001, 600.0, 0.0, 5, model).total_steps == 1000


def test_a_folder_without_a_setting_is_damaged_unless_earlier_versions_lacked_it(tmp_path):
    Classifier(**TINY, steps=1).fit(TEXTS, LABELS).save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    kept = json.loads(path.read_text())
    for name, is_old in {"crop_length": True, "pooling": False, "learning_rate": False}.items():
        config = json.loads(json.dumps(kept))
        config["settings"].pop(name)
        config["chosen"].pop(name)
        path.write_text(json.dumps(config))
        if is_old:
            assert elman.load(tmp_path / "m").chosen_[name] == 0
        else:
            with pytest.raises(ModelError, match=f"{name} is neither set nor chosen"):
                elman.load(tmp_path / "m")


def test_stretches_of_a_given_length_are_described_as_such():
    traits = Traits("classifier", np.full(50, 790), "texts", crop_length=50)
    choices = plan(traits, TrainingSettings(steps=10)) | {"crop_length": 50, "batch_tokens": 1000}
    assert traits.describe(choices).startswith("50 texts of about 790 tokens: 200 units, batches of 20 stretches of 50")
