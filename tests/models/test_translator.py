"""The translator against float64 loops over its saved weights; what it learns, generates, saves and refuses."""

import io
import json
import logging
from functools import cache

import numpy as np
import pytest
import torch
from sklearn.base import clone

import elman
from elman.cli.answers import answers
from elman.data.examples import Examples
from elman.data.lines import Lines, Problems
from elman.data.tokens.tokenizer import Tokenizer
from elman.errors import DataError, UsageError
from elman.models.translator import Translator
from elman.nn import reference

DIGITS = ("one", "two", "three", "four")
UN = dict(zip(DIGITS, ("un", "deux", "trois", "quatre"), strict=True))


def pairs(number, seed):
    generator = np.random.default_rng(seed)
    sources = [[str(word) for word in generator.choice(DIGITS, generator.integers(1, 5))] for _ in range(number)]
    return [" ".join(words) for words in sources], [" ".join(UN[word] for word in reversed(words)) for words in sources]


SOURCES, TARGETS = pairs(300, 1)
TEST = pairs(60, 2)
SMALL = {
    "level": "word",
    "min_count": 1,
    "hidden_size": 24,
    "embedding_size": 16,
    "dropout": 0.0,
    "batch_tokens": 200,
    "learning_rate": 0.01,
    "evaluations": 2,
}


def trained(attention="luong"):
    """Return a small trained translator, shared by the tests: do not change it."""
    return _trained(attention)


@cache  # keyed by the arguments as they are written
def _trained(attention):
    return Translator(**SMALL, steps=250, attention=attention).fit(SOURCES, TARGETS, valid=TEST)


def untrained(init_from=None, **changes):
    translator = Translator(**{**SMALL, "steps": 1, "hidden_size": 5, "embedding_size": 4, **changes})
    return translator.fit(SOURCES[:20], TARGETS[:20], init_from=init_from)


def by_hand(translator, source, target):
    """Compute the nats of a target by reading the saved weights in float64, one sentence, one step at a time."""
    weights = {name: tensor.double().numpy() for name, tensor in translator.network_.state_dict().items()}
    cell = reference.cell_named({"rnn": "rnn_tanh"}.get(translator.cell, translator.cell))

    def layer(prefix, x, state, suffix=""):
        own = reference.Weights(
            *(weights[f"{prefix}.{name}_l0{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        )
        outputs, final, _ = reference.forward(cell, x[:, None], own, state)
        return outputs[:, 0], final

    embedding = weights["embedding.weight"]
    read = weights.get("source_embedding.weight", embedding)[translator.source_tokenizer_.encode(source)]
    zeros = reference.zero_state(cell, 1, translator.hidden_size)
    ahead, first = layer("encoder", read, zeros)
    back, second = layer("encoder", read[::-1], zeros, "_reverse")
    outputs = np.concatenate((ahead, back[::-1]), axis=1)
    state = [
        weights[f"bridge.{index}.weight"] @ np.concatenate((one[0], other[0])) + weights[f"bridge.{index}.bias"]
        for index, (one, other) in enumerate(zip(first, second, strict=True))
    ]
    state[0] = np.tanh(state[0])
    state = tuple(part[None] for part in state)
    fed = np.zeros(translator.network_.decoder.fed_size)

    def look_up(query):
        keys = outputs @ weights["decoder.attention.keys.weight"].T
        if translator.attention == "luong":
            scores = keys @ query
        else:
            asked = weights["decoder.attention.queries.weight"] @ query
            scores = np.tanh(keys + asked) @ weights["decoder.attention.score.weight"][0]
        shares = np.exp(scores - scores.max())
        return shares / shares.sum() @ outputs

    nats, ids = 0.0, translator.target_tokenizer_.encode(target).tolist()
    for before, wanted in zip([Tokenizer.begin_id, *ids], [*ids, Tokenizer.end_id], strict=True):
        if translator.attention == "bahdanau":
            context = fed = look_up(state[0][0])
        hidden, state = layer("decoder.rnn", np.concatenate((embedding[before], fed))[None], state)
        output = hidden[0]
        if translator.attention != "none":
            context = context if translator.attention == "bahdanau" else look_up(output)
            output = np.tanh(weights["decoder.combine.weight"] @ np.concatenate((context, output)))
            fed = output if translator.input_feeding else fed
        if "head.projection.weight" in weights:
            output = weights["head.projection.weight"] @ output
        logits = weights["head.weight"] @ output + weights["head.bias"]
        nats += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[wanted]
    return nats


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": "luong"},
        {"attention": "luong", "input_feeding": True, "cell": "gru"},
        {"attention": "bahdanau", "cell": "rnn"},
        {"attention": "bahdanau", "shared_vocabulary": False},
        {"attention": "none", "tie_weights": False, "cell": "gru"},
    ],
    ids=str,
)
def test_its_loss_is_what_float64_loops_over_the_saved_weights_give(changes):
    translator = untrained(**changes)
    sources, targets = SOURCES[:7], TARGETS[:7]
    wanted = sum(by_hand(translator, *pair) for pair in zip(sources, targets, strict=True))
    figures = translator.evaluate(sources, targets)
    assert figures["nats_per_token"] * figures["tokens"] == pytest.approx(wanted, rel=1e-5)  # float32 against float64
    assert figures["perplexity"] == pytest.approx(np.exp(wanted / figures["tokens"]), rel=1e-5)


@pytest.mark.parametrize("attention", ["luong", "bahdanau"])
def test_it_learns_to_reverse_sentences(attention):
    figures = trained(attention=attention).evaluate(*TEST)
    assert figures["bleu"] > 90
    assert figures["rouge1"] > 0.95
    assert figures["perplexity"] < 2.5  # a tenth of the probability is spread by label smoothing


def test_a_beam_is_never_less_likely_than_the_greedy_choice():
    translator = Translator(**{**SMALL, "steps": 40}).fit(SOURCES, TARGETS)  # still uncertain
    sources = TEST[0]
    greedy = [texts[0][1] for texts in translator.set_params(beam_size=1).translate(sources)]
    beam = [texts[0][1] for texts in translator.set_params(beam_size=5).translate(sources)]
    assert all(one >= other - 1e-5 for one, other in zip(beam, greedy, strict=True))
    assert sum(beam) > sum(greedy)


def test_a_translation_does_not_depend_on_the_batch():
    translator = trained()
    together = translator.predict([*TEST[0], ""])
    assert together[-1] == ""
    assert together[:-1] == [translator.predict([source])[0] for source in TEST[0]]


@pytest.mark.parametrize("attention", ["none", "luong"])
def test_a_translation_from_another_state(attention):
    translator = trained(attention)
    sources = ["d a c", "b b e a"]
    texts = translator.translate(sources)
    states = translator.encode(sources)
    assert texts[0] != texts[1]
    assert texts_of(translator.translate(sources, state=states)) == texts_of(texts)
    first, second = (states.select_rows(torch.tensor([row])) for row in (0, 1))
    assert translator.translate(sources, state=first.interpolate(second, 1)) == translator.translate(
        sources, state=second
    )
    other = texts_of(translator.translate(sources[::-1], state=states))
    if attention == "none":  # the decoder knows nothing but the state
        assert other == texts_of(texts)
        assert texts_of(translator.translate(sources, state=first)) == [texts_of(texts)[0]] * 2
    assert texts_of(translator.translate(sources)) == texts_of(texts)
    with pytest.raises(UsageError, match="3 rows, expected 1 or 2"):
        translator.translate(sources, state=states.select_rows(torch.tensor([0, 1, 1])))
    with pytest.raises(UsageError, match="no texts to encode"):
        translator.encode([])


def texts_of(translations):
    return [[text for text, _ in best] for best in translations]


def test_n_best_texts_differ_and_come_best_first():
    translator = trained().set_params(n_best=3)
    try:
        for texts in translator.translate(TEST[0][:10]):
            assert len({text for text, _ in texts}) == 3
            scores = [score for _, score in texts]
            assert scores == sorted(scores, reverse=True)
    finally:
        translator.set_params(n_best=1)


def test_sampled_texts_depend_on_the_seed():
    translator = trained()
    try:
        translator.set_params(temperature=2.0, n_best=4)
        drawn = translator.translate(TEST[0][:8])
        assert drawn == translator.translate(TEST[0][:8])
        assert any(len({text for text, _ in texts}) > 1 for texts in drawn)
        translator.set_params(seed=2)
        assert drawn != translator.translate(TEST[0][:8])
        translator.set_params(temperature=0.01)
        cold = [texts[0][0] for texts in translator.translate(TEST[0])]
        translator.set_params(temperature=0.0, n_best=1, beam_size=1)
        assert cold == translator.predict(TEST[0])
    finally:
        translator.set_params(temperature=0.0, n_best=1, beam_size=5, seed=1)


def test_a_sample_does_not_depend_on_the_batch():
    translator = trained()
    try:
        translator.set_params(temperature=2.0)
        many = translator.translate(TEST[0])
        assert translator.translate(TEST[0][:1])[0][0][0] == many[0][0][0]
        few = list(translator._translate(TEST[0][40:42], first=40))
        assert [[text for text, _ in texts] for texts in few] == [[text for text, _ in texts] for texts in many[40:42]]
    finally:
        translator.set_params(temperature=0.0)


def test_a_text_may_be_much_longer_than_its_source():
    sources, targets = ["a", "b"] * 20, [" ".join(f"word{number}" for number in range(40)), "a short one"] * 20
    translator = Translator(**{**SMALL, "steps": 300}).fit(sources, targets)
    assert translator.predict(["a", "b"]) == targets[:2]


def test_texts_longer_than_the_limits_are_reported_and_have_no_end_token(caplog):
    sources, targets = ["one two three four five"] * 20, ["un deux trois quatre cinq six"] * 20
    with caplog.at_level(logging.WARNING):
        translator = Translator(**{**SMALL, "steps": 60}, max_length=3, source_length=4).fit(sources, targets)
    assert "18 of 18 examples have a text longer than source_length 4 tokens" in caplog.text
    assert caplog.text.count("18 of 18 examples have a text longer than max_length 3 tokens") == 1
    assert translator.predict(sources[:1]) == ["un deux trois"]
    figures = translator.evaluate(sources[:2], targets[:2])
    assert (figures["tokens"], figures["cut"]) == (6, 4)  # no </s> among them
    problems = Problems()
    assert list(answers(translator, Lines("one two\n" + sources[0] + "\n"), problems, "text"))[1] == "un deux trois\n"
    assert problems.first == "text:2: the source has 5 tokens; only the first 4 (source_length) are read"
    (texts,) = translator.set_params(n_best=5).translate(sources[:1])
    assert len({text for text, _ in texts}) == 5


def test_copying_the_first_sentence_is_evaluated_if_sources_are_long():
    sources = [f"{source}. Then {source}." for source in SOURCES[:20]]
    figures = untrained().evaluate(sources, [f"{source}." for source in SOURCES[:20]])
    assert figures["first_sentence_rouge1"] == figures["first_sentence_rougeL"] == 1.0
    assert "first_sentence_rouge1" not in untrained().evaluate(SOURCES[:20], TARGETS[:20])


def test_attention_finds_the_word_that_is_translated():
    read, written, weights = trained().attention_of("one two three four")
    assert (read, written[-1]) == (["one", "two", "three", "four"], "</s>")
    assert weights.shape == (5, 4)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert weights[:4].argmax(axis=1).tolist() == [3, 2, 1, 0]
    picture = trained().attention_picture("one two three four")
    assert picture.count("quatre") == 1
    with pytest.raises(UsageError, match="so there are no weights"):
        untrained(attention="none").attention_of("one")


def test_an_unknown_word_is_replaced_by_the_source_word_attended_to():
    names = [f"Name{number}" for number in range(200)]
    sources = [f"{name} sleeps" for name in names] * 2
    targets = [f"{name} dort" for name in names] * 2
    translator = Translator(**{**SMALL, "min_count": 9, "steps": 200}).fit(sources, targets)
    assert translator.target_tokenizer_.vocab_size == 5
    assert translator.predict(["Ottilie sleeps", "Bo sleeps"]) == ["Ottilie dort", "Bo dort"]


def test_it_does_not_start_from_a_model_with_another_kind_of_vocabulary(tmp_path):
    untrained().save(tmp_path / "m")
    with pytest.raises(UsageError, match="shared_vocabulary is True there and False here"):
        untrained(shared_vocabulary=False, init_from=tmp_path / "m")


def test_it_is_saved_and_loaded_completely(tmp_path):
    for changes in ({}, {"shared_vocabulary": False, "attention": "bahdanau", "level": "bpe", "vocab_size": 300}):
        translator = untrained(**changes)
        translator.save(tmp_path / str(len(changes)))
        again = elman.load(tmp_path / str(len(changes)))
        assert again.get_params() == translator.get_params()
        assert again.translate(TEST[0][:5]) == translator.translate(TEST[0][:5])
        assert again.evaluate(*TEST) == translator.evaluate(*TEST)


def test_it_is_an_estimator():
    assert clone(Translator(hidden_size=7)).hidden_size == 7
    with pytest.raises(UsageError, match='did you mean "beam_size"'):
        Translator().set_params(beam_sise=3)
    assert trained().score(*TEST) == pytest.approx(trained().evaluate(*TEST)["bleu"] / 100)


def test_a_resumed_run_gives_the_same_bits(tmp_path):
    whole = Translator(**{**SMALL, "steps": 30}).fit(SOURCES, TARGETS, out=tmp_path / "a")
    again = Translator(**{**SMALL, "steps": 30}).fit(SOURCES, TARGETS, out=tmp_path / "b")
    for one, other in zip(whole.network_.parameters(), again.network_.parameters(), strict=True):
        assert torch.equal(one, other)


def test_padding_changes_no_loss():
    translator = untrained()
    examples = Examples(SOURCES[:30], TARGETS[:30])
    together = translator.evaluate(*examples[:2])
    alone = [translator.evaluate([source], [target]) for source, target in zip(*examples[:2], strict=True)]
    nats = sum(figures["nats_per_token"] * figures["tokens"] for figures in alone)
    assert together["nats_per_token"] * together["tokens"] == pytest.approx(nats, rel=1e-5)
    batches = translator._batches(examples)
    rows = sum(len(batches.batch(step).inputs) for step in range(len(batches)))
    assert rows == 30


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attention": "luon"}, 'did you mean "luong"'),
        ({"input_feeding": True, "attention": "none"}, 'set attention "luong"'),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0"),
        ({"n_best": 6}, "n_best is 6, but `beam_size` 5"),
        ({"beam_size": 0}, "beam_size is 0"),
        ({"length_penalty": 99.0}, "length_penalty is 99.0; it must be at most 10"),
        ({"temperature": -1.0}, "temperature is -1.0"),
    ],
)
def test_wrong_settings_are_reported(changes, said):
    with pytest.raises(UsageError, match=said):
        Translator(**changes).fit(SOURCES, TARGETS)


@pytest.mark.parametrize(
    ("sources", "targets", "error", "said"),
    [
        (["a"], None, UsageError, "targets are missing"),
        (["a", "b"], ["c"], UsageError, "2 sources, but 1 targets"),
        ([], [], DataError, "no pairs"),
        (["a", 3], ["b", "c"], UsageError, r"X\[1\] is of type int"),
    ],
)
def test_wrong_data_is_reported(sources, targets, error, said):
    with pytest.raises(error, match=said):
        Translator(steps=1).fit(sources, targets)


def annotated(translator, text, **formats):
    return "".join(answers(translator, Lines(io.BytesIO(text.encode())), Problems(), **formats))


def test_a_pipe_is_answered_line_by_line(caplog):
    translator = trained()
    text = "one two\n\nthree\n"
    assert annotated(translator, text) == "deux un\n\ntrois\n"
    found = [json.loads(line) for line in annotated(translator, text, output_format="jsonl").splitlines()]
    assert [one["translations"][0]["text"] for one in found] == ["deux un", "", "trois"]
    with caplog.at_level(logging.WARNING):
        answer = annotated(translator, '{"source": "one"}\n{}\n', input_format="jsonl")
    assert answer == "un\n\n"
    assert 'standard input:2: no "source"' in caplog.text
    with pytest.raises(UsageError, match="no such format"):
        annotated(translator, text, output_format="conllu")
    translator.set_params(n_best=2)
    try:
        lines = annotated(translator, "one two\nthree\n").splitlines()
        assert [line.split(" ||| ")[0] for line in lines] == ["0", "0", "1", "1"]
        assert lines[0].startswith("0 ||| deux un ||| -0.")
    finally:
        translator.set_params(n_best=1)


def test_it_trains_on_files_of_every_kind(tmp_path):
    (tmp_path / "a.en").write_text("\n".join(SOURCES[:30]))
    (tmp_path / "a.fr").write_text("\n".join(TARGETS[:30]))
    (tmp_path / "a.tsv").write_text(
        "".join(f"{one}\t{other}\n" for one, other in zip(SOURCES[:30], TARGETS, strict=False))
    )
    settings = {**SMALL, "steps": 2, "hidden_size": 5, "embedding_size": 4}
    two = Translator(**settings).fit(tmp_path / "a.en", tmp_path / "a.fr", valid=(tmp_path / "a.en", tmp_path / "a.fr"))
    one = Translator(**settings).fit(tmp_path / "a.tsv", valid=tmp_path / "a.tsv")
    given = Translator(**settings).fit(SOURCES[:30], TARGETS[:30], valid=(SOURCES[:30], TARGETS[:30]))
    assert two.metrics_["valid"] == one.metrics_["valid"] == given.metrics_["valid"]
    assert [path.rpartition("/")[2] for path in two.data_["train"]["files"]] == ["a.en", "a.fr"]
