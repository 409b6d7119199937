"""The tagger against handwritten float64 loops: what it computes, learns, saves, reads and writes."""

import hashlib
import io
import json
import logging
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import elman
from elman.cli.answers import answers
from elman.data.examples import Examples
from elman.data.lines import Lines, Problems
from elman.errors import DataError, ModelError, UsageError
from elman.models.tagger import Tagger, _Batches
from elman.nn import reference
from elman.training.progress import Progress

# "saw" is a noun after "the" and a verb after a pronoun: the word alone does not decide
SENTENCES = [
    (["I", "saw", "the", "saw", "."], ["PRON", "VERB", "DET", "NOUN", "PUNCT"]),
    (["the", "saw", "works"], ["DET", "NOUN", "VERB"]),
    (["we", "saw", "it", "."], ["PRON", "VERB", "PRON", "PUNCT"]),
    (["the", "saw", "saw", "the", "wood", "."], ["DET", "NOUN", "VERB", "DET", "NOUN", "PUNCT"]),
]
WORDS = [words for words, _ in SENTENCES] * 5
TAGS = [tags for _, tags in SENTENCES] * 5
CONLLU = "".join(
    "".join(
        f"{number}\t{word}\t_\t{tag}{chr(9)}_\t_\t_\t_\t_\t_\n" for number, (word, tag) in enumerate(pairs, start=1)
    )
    + "\n"
    for pairs in (list(zip(*sentence, strict=True)) for sentence in zip(WORDS, TAGS, strict=True))
)
ENTITIES = [(["Ada", "Lovelace", "lives", "in", "London"], ["I-PER", "I-PER", "O", "O", "I-LOC"])] * 5 + [
    (["Ada", "Bob", "left"], ["I-PER", "B-PER", "O"])
] * 5
SMALL = {
    "hidden_size": 6,
    "embedding_size": 5,
    "character_size": 4,
    "learning_rate": 0.02,
    "evaluations": 2,
    "dropout": 0.1,
}


@cache
def trained(**changes):
    """Return a small trained tagger, shared by the tests: do not change it."""
    return Tagger(**{**SMALL, "steps": 60, **changes}).fit(WORDS, TAGS, valid=(WORDS, TAGS))


def by_hand(tagger, words):
    """Compute the logits (T, K) of one sentence as float64 loops over the saved weights alone."""
    weights = {name: tensor.double().numpy() for name, tensor in tagger.network_.state_dict().items()}
    cell = reference.cell_named({"rnn": "rnn_tanh"}.get(tagger.cell, tagger.cell))

    def run(prefix, own_cell, x, layer, backwards):
        suffix = f"_l{layer}{'_reverse' if backwards else ''}"
        own = [weights[f"{prefix}.{name}{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        state = reference.zero_state(own_cell, 1, own[1].shape[1])
        outputs, final, _ = reference.forward(
            own_cell, (x[::-1] if backwards else x)[:, None], reference.Weights(*own), state
        )
        return (outputs[::-1] if backwards else outputs)[:, 0], final[0][0]

    vectors = []
    for word in words:
        vector = weights["words.embedding.weight"][tagger.inputs_.lexicon.vocabulary.ids([word.lower()])[0]]
        if tagger.characters == "lstm":
            ids = tagger.inputs_.lexicon.characters.ids(list(word))
            characters = weights["words.characters.embedding.weight"][ids]
            ends = [
                run("words.characters.rnn", reference.cell_named("lstm"), characters, 0, way)[1]
                for way in (False, True)
            ]
            vector = np.concatenate([vector, *ends])
        vectors.append(vector)
    hidden = np.stack(vectors)
    for layer in range(tagger.num_layers):
        ahead, back = (run("encoder.rnn", cell, hidden, layer, way)[0] for way in (False, True))
        hidden = {"concat": np.hstack([ahead, back]), "sum": ahead + back, "product": ahead * back}[tagger.merge]
    logits = hidden @ weights["head.weight"].T + weights["head.bias"]
    for column, label in enumerate(tagger.labels_):
        for part in label.split("|") if tagger.parts_ else ():
            row = tagger.parts_.index(part)
            logits[:, column] += hidden @ weights["head.parts.weight"][row] + weights["head.parts.bias"][row]
    return logits


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": "lstm"},
        {"cell": "gru", "num_layers": 2, "merge": "sum"},
        {"cell": "rnn", "characters": "none", "merge": "product"},
    ],
)
def test_the_network_is_its_equations_and_padding_changes_nothing(changes):
    tagger = trained(steps=3, **changes)
    check_equations(tagger)


def check_equations(tagger):
    sentences = [["the", "saw"], ["I", "saw", "Ünknown", "the", "saw", "."], ["it"]]
    found = {}
    for pieces, logits, lengths in tagger._logits(sentences, tagger._table()):
        for piece, row, length in zip(pieces, logits.numpy(), lengths.tolist(), strict=True):
            found[piece.row] = row[:length]
    for row, words in enumerate(sentences):
        np.testing.assert_allclose(found[row], by_hand(tagger, words), atol=2e-6)  # float32 against float64


FEATS = [  # "die" is once plural accusative, which no other word is, but others are plural or accusative
    (["der", "Hund", "schläft"], ["Case=Nom|Number=Sing", "Case=Nom|Number=Sing", "_"]),
    (["die", "Hunde", "schlafen"], ["Case=Nom|Number=Plur", "Case=Nom|Number=Plur", "_"]),
    (["den", "Hund", "sehen"], ["Case=Acc|Number=Sing", "Case=Acc|Number=Sing", "_"]),
    (["die", "sehen"], ["Case=Acc|Number=Plur", "_"]),
]


@cache
def trained_on_feats(**changes):
    sentences, tags = zip(*FEATS * 5, strict=True)
    return Tagger(**{**SMALL, "steps": 60, **changes}).fit(sentences, tags, valid=(sentences, tags))


@pytest.mark.parametrize("crf", [False, True])
def test_tags_made_of_features_are_scored_by_their_features(crf, tmp_path):
    tagger = trained_on_feats(crf=crf)
    assert tagger.parts_ == ("Case=Acc", "Case=Nom", "Number=Plur", "Number=Sing", "_")
    assert tagger.network_.head.parts.weight.abs().min() > 0
    check_equations(tagger)
    sentences, tags = zip(*FEATS, strict=True)
    assert tagger.predict(list(sentences)) == list(tags)
    tagger.save(tmp_path / "m")
    again = elman.load(tmp_path / "m")
    assert again.parts_ == tagger.parts_
    assert again.evaluate(sentences, tags) == tagger.evaluate(sentences, tags)


def test_a_model_from_before_features_were_scored_predicts_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr("elman.models.tagger.find_parts", lambda labels: ())
    tagger = trained_on_feats(steps=5)
    monkeypatch.undo()
    tagger.save(tmp_path / "m")
    assert not (tmp_path / "m" / "parts.json").exists()
    assert not any("parts" in name for name in tagger.network_.state_dict())
    again = elman.load(tmp_path / "m")
    for (_, one, _), (_, other, _) in zip(
        tagger._logits([["der", "Hund"]], tagger._table()),
        again._logits([["der", "Hund"]], again._table()),
        strict=True,
    ):
        assert torch.equal(one, other)
    sentences, tags = zip(*FEATS, strict=True)
    more = Tagger(**{**SMALL, "steps": 1}).fit(sentences, tags, valid=(sentences, tags), init_from=tmp_path / "m")
    assert more.parts_ == ()


def test_training_reads_what_prediction_reads():
    tagger = trained(steps=3)
    tagger.network_.eval()
    batches = _Batches(tagger, Examples(WORDS, TAGS))
    batches.buckets.group(1000)
    batch = batches.batch(0)
    with torch.no_grad():
        logits = tagger.network_(batch)
    for row, length in enumerate(batch.lengths.tolist()):
        ids = batch.words.ids[batch.inputs[row, :length]]
        words = [tagger.inputs_.lexicon.vocabulary.items[index] for index in ids]
        spelled = next(known for known in WORDS if [word.lower() for word in known] == words)
        np.testing.assert_allclose(logits[row, :length], by_hand(tagger, spelled), atol=2e-6)


@pytest.mark.parametrize("changes", [{}, {"crf": True}, {"cell": "gru", "merge": "sum", "characters": "none"}])
def test_it_learns_from_the_neighbours_of_a_word(changes):
    tagger = trained(**changes)
    assert tagger.predict(WORDS[:4]) == TAGS[:4]
    figures = tagger.evaluate(WORDS, TAGS)
    assert figures["accuracy"] == figures["macro_f1"] == 1
    assert figures["tokens"] == sum(map(len, WORDS))
    assert "span_f1" not in figures


@pytest.mark.parametrize("crf", [False, True])
def test_the_figures_by_hand(crf):
    tagger = trained(crf=crf, steps=4)
    words, tags = [["the", "saw", "xylophone"], ["it", "."]], [["DET", "NOUN", "VERB"], ["PRON", "X"]]
    predicted = tagger.predict(words)
    figures = tagger.evaluate(words, tags)
    pairs = [(a, b) for row, other in zip(tags, predicted, strict=True) for a, b in zip(row, other, strict=True)]
    assert figures["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / 5)
    assert figures["accuracy_unseen"] == float(predicted[0][2] == "VERB")
    assert figures["unknown_labels"] == 1
    if not crf:
        losses = []
        for row, own in zip(words, tags, strict=True):
            logits = by_hand(tagger, row)
            log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
            losses += [-log_probs[t, tagger.labels_.index(tag)] for t, tag in enumerate(own) if tag != "X"]
        assert figures["nats_per_target"] == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("crf", [False, True])
def test_predicted_entities_follow_the_scheme_of_the_data(crf):
    words, tags = ([pair[side] for pair in ENTITIES] for side in (0, 1))
    tagger = Tagger(**SMALL, steps=80, crf=crf).fit(words, tags, valid=(words, tags))
    assert tagger.scheme_ == "iob1"
    assert tagger.labels_ == ("B-LOC", "B-PER", "I-PER", "O")
    assert tagger.predict([words[0], words[-1]]) == [tags[0], tags[-1]]
    figures = tagger.evaluate(words, tags)
    assert figures["span_f1"] == figures["span_precision"] == figures["span_recall"] == 1


def test_tags_of_one_type_are_one_label_of_macro_f1():
    tagger = Tagger()
    true, predicted = [["B-PER", "I-PER", "O", "B-LOC"]], [["B-PER", "B-PER", "O", "O"]]
    report = tagger.compare_predictions(Examples([["Ada", "L.", "in", "Rome"]], true), predicted, set())
    # PER 2 of 2; O: 1 of 2 found, the only true one; LOC never found
    assert report.metrics["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert report.metrics["accuracy"] == 0.5
    assert list(report.labels) == ["B-LOC", "B-PER", "I-PER", "O"]  # the tags themselves stay apart
    assert report.spans["LOC"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert report.spans["PER"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    assert tagger.compare_predictions(Examples([["a"]], [["X"]]), [["X"]], set()).spans == {}


@pytest.mark.parametrize("crf", [False, True])
def test_an_entity_never_continues_without_having_begun(crf):
    words, tags = ([pair[side] for pair in ENTITIES] for side in (0, 1))
    tagger = Tagger(**SMALL, steps=2, crf=crf).fit(words, tags, valid=(words, tags))
    with torch.no_grad():  # the network strongly prefers I-PER
        tagger.network_.head.bias[tagger.labels_.index("I-PER")] += 3
    for pieces, logits, lengths in tagger._logits(words, tagger._table()):
        for row in tagger._decode(logits, lengths):
            assert not any(
                tag == "I-PER" and before[2:] != "PER" for before, tag in zip(["O", *row], row, strict=False)
            )
        assert pieces


def test_turkish_capitals_are_read_as_turkish(tmp_path):
    words, tags = [["ışık", "yandı"], ["iki", "gün"]] * 5, [["N", "V"], ["NUM", "N"]] * 5
    Tagger(**SMALL, steps=4, characters="none").fit(words, tags).save(tmp_path / "m")
    model, english = elman.load(tmp_path / "m"), trained(characters="none", steps=2)
    spelled = {"IŞIK": "ışık", "İKİ": "iki", "YANDI": "yandı"}
    assert (
        model._table().gather([list(spelled)])[0].tolist() == model._table().gather([[*spelled.values()]])[0].tolist()
    )
    assert model._table().gather([["ISI", "işik"]])[0].unique(dim=1).shape[1] == 1  # both unknown
    assert english._table().gather([["IT"]])[0].tolist() == english._table().gather([["it"]])[0].tolist()


def test_pretrained_vectors_cover_words_outside_the_training_data(tmp_path, caplog):
    path = tmp_path / "v.txt"
    path.write_text("wood 1 2 3\nsaw 4 5 6\nplank 7 8 9\nsaws 1 1 1\n")
    settings = {**SMALL, "embedding_size": None, "steps": 2}
    tagger = Tagger(**settings, vectors=path).fit(WORDS, TAGS, valid=(WORDS, TAGS), out=tmp_path / "m")
    assert (
        "covers 38.9 % of the words in the training data; it lacks 6 distinct words: the" in caplog.text
    )  # 7 of 18 running
    words = tagger.network_.words
    table = words.vectors[tagger.inputs_.lexicon.look_up(["Plank", "saw", "zebra"]).rows]
    assert table.tolist() == [[7, 8, 9], [4, 5, 6], [0, 0, 0]]
    assert elman.load(tmp_path / "m").predict([["the", "plank"]]) == tagger.predict([["the", "plank"]])
    few = Tagger(**settings, vectors=path, vector_words=0).fit(WORDS, TAGS, valid=(WORDS, TAGS))
    assert few.inputs_.lexicon.vector_words == ("wood", "saw")
    with pytest.raises(UsageError, match="vectors of 3 numbers, but embedding_size is 5"):
        Tagger(**SMALL, steps=2, vectors=path).fit(WORDS, TAGS)


def test_a_saved_tagger_is_the_same_tagger(tmp_path):
    tagger = trained()
    tagger.save(tmp_path / "m")
    again = elman.load(tmp_path / "m")
    assert again.predict(WORDS) == tagger.predict(WORDS)
    assert again.evaluate(WORDS, TAGS) == tagger.evaluate(WORDS, TAGS)
    assert {"words.json", "labels.json", "confusion.svg", "curves.svg"} <= {
        path.name for path in (tmp_path / "m").iterdir()
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("words.json", '{"counts": {"a": "b"}}'),
        ("words.json", "[]"),
        ("words.json", '{"counts": {"a": 1}, "vectors": {"size": 0, "words": [3]}}'),
        ("labels.json", "[[1]]"),
        ("labels.json", "{"),
        ("scheme.json", '"bibo"'),
        ("parts.json", '["Case=Nom"]'),
    ],
)
def test_an_untrusted_folder_with_false_contents_is_refused(tmp_path, name, text):
    folder = tmp_path / "m"
    trained().save(folder)
    config = json.loads((folder / "config.json").read_text())
    config["files"][name] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / name).write_text(text)
    with pytest.raises(ModelError, match=name):
        elman.load(folder)


def test_a_resumed_training_ends_with_the_same_weights(tmp_path):
    whole = Tagger(**SMALL, steps=12).fit(WORDS, TAGS, out=tmp_path / "whole")
    stopping = Tagger(**SMALL, steps=12)

    class AfterSix(Progress):
        def step(self, report):
            if report.step == 7:
                raise StopIteration

    with pytest.raises(StopIteration):
        stopping.fit(WORDS, TAGS, out=tmp_path / "parts", progress=AfterSix())
    resumed = Tagger(**SMALL, steps=12).fit(WORDS, TAGS, out=tmp_path / "parts", resume=True)
    for name, tensor in whole.network_.state_dict().items():
        assert torch.equal(tensor, resumed.network_.state_dict()[name]), name


def annotated(tagger, source, **formats):
    problems = Problems()
    lines = Lines(source, problems=problems)
    return "".join(answers(tagger, lines, problems, **formats)), problems


def test_conllu_in_conllu_out_and_nothing_else_changed():
    blank = CONLLU
    for tag in {tag for tags in TAGS for tag in tags}:
        blank = blank.replace(f"\t{tag}\t", "\t_\t")
    assert annotated(trained(), blank)[0] == CONLLU


def test_formats_and_order():
    tagger = trained()
    text = "the saw works\n\nI saw it .\n"
    out, problems = annotated(tagger, io.BytesIO(text.encode()))
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["words"] for row in rows] == [["the", "saw", "works"], [], ["I", "saw", "it", "."]]
    assert rows[0]["tags"] == ["DET", "NOUN", "VERB"]
    assert all(0 <= share <= 1 for row in rows for share in row["probabilities"])
    assert problems.count == 0
    out, _ = annotated(tagger, text, input_format="text", output_format="text")
    assert out.splitlines()[0] == "the/DET saw/NOUN works/VERB"
    out, _ = annotated(tagger, text, input_format="text", output_format="columns")
    assert out.splitlines()[:3] == ["the\tDET", "saw\tNOUN", "works\tVERB"]
    for formats, message in (({"input_format": "conlu"}, '"conllu"'), ({"output_format": "json"}, '"jsonl"')):
        with pytest.raises(UsageError, match=message):
            annotated(tagger, text, **formats)


def test_nothing_is_dropped():
    text = "1\tthe\t_\t_\t_\t_\t_\t_\t_\t_\n\n1\tsaw\n\n# end\n1\tit\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
    out, problems = annotated(trained(), text, input_format="conllu")
    assert out == text.replace("the\t_\t_", "the\t_\tDET").replace("it\t_\t_", "it\t_\tPRON")
    assert problems.first.startswith("text:3: 2 columns")
    out, _ = annotated(trained(), text, input_format="conllu", output_format="jsonl")
    assert [json.loads(line).get("line") for line in out.splitlines()] == [None, 3, None]


def test_very_long_sentences_and_words():
    tagger = trained(steps=4)
    words = [["saw"] * 2500, ["x" * 10_000], [], ["the"]]
    assert [len(tags) for tags in tagger.predict(words)] == [2500, 1, 0, 1]
    assert tagger.predict([["saw"] * 1000])[0] == tagger.predict(words)[0][:1000]


def test_it_is_an_estimator():
    tagger = Tagger(**SMALL, steps=6)
    assert clone(tagger).get_params() == tagger.get_params()
    assert cross_val_score(tagger, WORDS, TAGS, cv=2).shape == (2,)
    search = GridSearchCV(tagger, {"cell": ["rnn", "gru"]}, cv=2).fit(WORDS, TAGS)
    assert search.best_params_["cell"] in ("rnn", "gru")
    assert tagger.fit(WORDS, TAGS).score(WORDS, TAGS) == tagger.evaluate(WORDS, TAGS)["accuracy"]


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        (WORDS, None, UsageError, "the tags are missing"),
        (WORDS, TAGS[1:], UsageError, "20 sentences, but tags for 19"),
        ([["a", "b"]], [["X"]], UsageError, "sentence 0 has 2 words, but 1 tags"),
        (["a b"], [["X", "Y"]], UsageError, "sentence 0 is a text"),
        ([], [], DataError, "no sentences"),
        ([["a"]], [["X"]], DataError, "too few examples"),
        ("a\n", None, DataError, "text:1: 1 column"),
        ("", None, DataError, "contains no sentences"),
    ],
)
def test_data_that_cannot_be_used_for_training(X, y, error, message):  # noqa: N803
    with pytest.raises(error, match=message):
        Tagger(**SMALL, steps=1).fit(X, y)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("character_size", 3), ("dropout", 1.0), ("batch_tokens", 0), ("valid_fraction", 0.0), ("word_dropout", -1.0)],
)
def test_settings_outside_their_limits(setting, value):
    with pytest.raises(UsageError, match=setting):
        Tagger(**{setting: value}).fit(WORDS, TAGS)


def test_inconsistent_tags_are_reported_and_still_read(caplog):
    text = "Ada\tO\nLovelace\tI-PER\n\nBob\tB-PER\nCo\tI-PER\n\n" * 3
    with caplog.at_level(logging.WARNING):
        tagger = Tagger(**SMALL, steps=2).fit(text)
    assert "text:2: I-PER is not allowed here in BIO" in caplog.text
    assert tagger.scheme_ == "bio"


def test_entity_tags_that_follow_no_scheme_are_reported(caplog):
    sentences, tags = [["Ada", "met", "Charles"]] * 20, [["B-PER", "0", "B-PER"]] * 20
    settings = {"hidden_size": 4, "steps": 1, "evaluations": 1, "characters": "none"}
    with caplog.at_level("WARNING"):
        assert "span_f1" not in Tagger(**settings).fit(sentences, tags).metrics_["valid"]
    assert "but 0 fit none of the schemes" in caplog.text
    caplog.clear()
    for bare in (["B", "O", "B"], ["B", "M", "E"], ["S", "B", "E"]):
        assert "span_f1" in Tagger(**settings).fit(sentences, [bare] * 20).metrics_["valid"]
    assert "no scheme" not in caplog.text
