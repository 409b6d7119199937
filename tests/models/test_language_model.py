"""The language model against handwritten loops: its figures, its state, what it generates and what it saves."""

import dataclasses
import math
import random
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

import elman
from elman.data.tokens.tokenizer import Tokenizer
from elman.decoding.options import Sampling
from elman.errors import DataError, UsageError
from elman.families.writing import Request
from elman.models.language_model import LanguageModel
from elman.nn import reference
from elman.nn.state import State

CELLS = {
    "rnn": {"cell": "rnn"},
    "gru": {"cell": "gru", "num_layers": 2},
    "lstm": {"cell": "lstm", "num_layers": 2, "initial_state": "learned"},
    "mingru": {"cell": "mingru", "num_layers": 2},
    "window": {"cell": "window", "window": 3, "num_layers": 2},
}
EASY = "the quick brown fox jumps over the lazy dog .\n" * 30
OTHER = "a dog over the fox\njumps quick ; jumps <unk>\n\nthe lazy €uro"


@cache
def trained(cell="lstm", lines=False, level="char", **changes):
    """Return a small trained model, shared by the tests: do not change it."""
    sizes = {"hidden_size": 12, "embedding_size": 5, "batch_size": 4, "bptt_length": 16, "min_count": 1}
    settings = {**sizes, "steps": 30, "evaluations": 1, "learning_rate": 0.03, "dropout": 0.0, **CELLS[cell], **changes}
    return LanguageModel(**settings, lines=lines, level=level).fit(EASY)


class ByHand:
    """The network as float64 loops over `elman.nn.reference`, from the saved weights alone."""

    def __init__(self, model):
        self.weights = {name: tensor.double().numpy() for name, tensor in model.network_.state_dict().items()}
        self.model = model
        names = {"rnn": "rnn_tanh", "gru": "gru", "lstm": "lstm", "mingru": "mingru"}
        self.cell = reference.cell_named(names[model.cell]) if model.cell in names else None

    def start(self):
        model, weights = self.model, self.weights
        if model.cell == "window":
            return [np.zeros(weights["embedding.weight"].shape[1])] * model.window
        layers = []
        for layer in range(model.num_layers):
            state = reference.zero_state(self.cell, 1, model.hidden_size)
            if model.initial_state == "learned":
                parts = [weights["rnn.initial_hidden"], weights.get("rnn.initial_cell")]
                state = tuple(part[layer][None] for part in parts[: self.cell.num_states])
            layers.append(state)
        return layers

    def step(self, token_id, state):
        """Read one token; return the log-probabilities of the next and the new state."""
        weights = self.weights
        x = weights["embedding.weight"][token_id]
        if self.model.cell == "window":
            state = [*state[1:], x]
            hidden = np.concatenate(state)
            for layer in range(self.model.num_layers):
                hidden = np.tanh(weights[f"rnn.layers.{layer}.weight"] @ hidden + weights[f"rnn.layers.{layer}.bias"])
        else:
            hidden, new = x, []
            for layer, part in enumerate(state):
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                absent = {"weight_hh": np.zeros((0, self.model.hidden_size)), "bias_hh": np.zeros(0)}  # of the minGRU
                layer_weights = reference.Weights(*[weights.get(f"rnn.{n}_l{layer}", absent.get(n)) for n in names])
                part, _ = reference.step(self.cell, hidden[None], part, layer_weights)
                hidden = part[0][0]
                new.append(part)
            state = new
        if "head.projection.weight" in weights:
            hidden = weights["head.projection.weight"] @ hidden
        logits = weights["head.weight"] @ hidden + weights["head.bias"]
        return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum()), state

    def surprisals(self, text):
        """Return the nats of every predicted token, in order, reading one token at a time."""
        tokenizer = self.model.tokenizer_
        if self.model.lines:
            lines = [tokenizer.encode(line).tolist() for line in text.split("\n")]
            sequences = [[tokenizer.begin_id, *line, tokenizer.end_id] for line in lines if line]
        else:
            sequences = [tokenizer.encode(text).tolist()]
        nats = []
        for sequence in sequences:
            state = self.start()
            for token_id, following in pairwise(sequence):
                log_probs, state = self.step(token_id, state)
                nats.append(-log_probs[following])
        return nats


# ---------------------------------------------------------------- learning


def test_it_learns_more_than_character_frequencies():
    model = trained("gru", steps=80, learning_rate=0.05)
    valid = EASY[int(len(EASY) * 0.9) :]
    counts = Counter(EASY[: int(len(EASY) * 0.9)])
    unigram = -sum(math.log(counts[character] / counts.total()) for character in valid[1:]) / (len(valid) - 1)
    assert model.metrics_["valid"]["nats_per_token"] < unigram - 0.5
    assert model.history_[-1]["nats_per_token"] < model.history_[0]["nats_per_token"]


def test_the_held_out_part_is_exactly_the_last_tenth(tiny, easy):
    text = easy[:1003]
    model = tiny().fit(text)
    cut = int(1003 * 0.9)
    assert model.data_["train"]["characters"] == [0, cut]
    assert model.data_["valid"]["characters"] == [cut, 1003]
    assert model._valid.ids.tolist() == model.tokenizer_.encode(text[cut:]).tolist()
    assert model.metrics_["valid"]["tokens"] == 1003 - cut - 1
    assert model.data_["train_tokens"] == cut
    assert model.metrics_["valid"] == model.evaluate(text[cut:])


def test_lines_are_held_out_whole(tiny):
    text = "".join(f"line {number}\n" for number in range(100))
    model = tiny(lines=True).fit(text)
    start = model.data_["valid"]["characters"][0]
    assert text[start - 1] == "\n"
    assert int(len(text) * 0.9) <= start < int(len(text) * 0.9) + len("line 99\n")


def test_a_validation_file_leaves_the_whole_text_for_training(tiny, easy, tmp_path):
    path = tmp_path / "valid.txt"
    path.write_text("the lazy fox\n")
    model = tiny().fit(easy, valid=path)
    assert model.data_["train"]["characters"] == [0, len(easy)]
    assert model.data_["valid"]["files"] == [str(path)]
    assert model.metrics_["valid"] == model.evaluate(path)


def test_the_vocabulary_is_that_of_the_training_part_alone(tiny, easy):
    text = easy + "ß" * 5 + "\n"
    model = tiny().fit(text)
    assert "ß" not in model.tokenizer_.tokens(range(model.tokenizer_.vocab_size))
    assert model.metrics_["valid"]["unknown"] == 5
    words = tiny(level="word", bptt_length=4, min_count=1).fit(easy + "neverbefore " * 3)
    assert "neverbefore" not in words.tokenizer_.tokens(range(words.tokenizer_.vocab_size))
    assert words.metrics_["valid"]["unknown"] == 3


def test_fit_evaluates_only_the_first_part_of_a_long_validation_text(tiny, easy):
    model = tiny(valid_characters=50).fit(easy)
    cut = int(len(easy) * 0.9)
    assert model.data_["valid"]["characters"] == [cut, cut + 50]
    assert model.metrics_["valid"]["tokens"] == 49
    assert model.evaluate(easy)["tokens"] == len(easy) - 1


def test_a_model_can_start_from_another(tiny, easy, tmp_path):
    former = tiny().fit(easy)
    former.save(tmp_path / "former")
    still = {"learning_rate": 1e-30, "weight_decay": 0.0, "steps": 1}
    model = tiny(**still).fit("the fox met a ÿ here\n" * 20, init_from=tmp_path / "former")
    for name, tensor in model.network_.state_dict().items():
        assert torch.equal(tensor, former.network_.state_dict()[name]), name
    assert model.tokenizer_.to_json() == former.tokenizer_.to_json()
    assert model.metrics_["valid"]["unknown"] > 0
    with pytest.raises(UsageError, match="hidden_size is 8 there and 9 here"):
        tiny(hidden_size=9).fit(easy, init_from=tmp_path / "former")


def test_tied_weights_are_one_matrix(tiny, easy, tmp_path):
    for embedding_size in (8, 5):  # as wide as the hidden state; and narrower, with a projection between
        model = tiny(tie_weights=True, embedding_size=embedding_size).fit(easy)
        assert model.network_.head.weight is model.network_.embedding.weight
        vocab_size = model.tokenizer_.vocab_size
        recurrent = 4 * 8 * (embedding_size + 8 + 2)
        projection = 0 if embedding_size == 8 else 8 * embedding_size
        expected = vocab_size * embedding_size + recurrent + projection + vocab_size
        assert model.metrics_["parameters"] == expected
        model.save(tmp_path / str(embedding_size))
        loaded = elman.load(tmp_path / str(embedding_size))
        assert loaded.network_.head.weight is loaded.network_.embedding.weight
        # 1e-5: float32 sums of some 20 terms, against float64
        assert sum(ByHand(loaded).surprisals("the dog")) == pytest.approx(
            loaded.evaluate("the dog")["nats_per_token"] * 6, rel=1e-5
        )


def test_pretrained_vectors_initialize_the_embedding(tiny, easy, tmp_path):
    path = tmp_path / "words.vec"
    path.write_text("3 4\nfox 1 2 3 4\ndog -1 0.5 0 9\naxolotl 7 7 7 7\n")
    still = {"learning_rate": 1e-30, "weight_decay": 0.0, "steps": 1, "level": "word", "bptt_length": 4}
    model, plain = tiny(**still, vectors=path).fit(easy), tiny(**still).fit(easy)
    embedding, without = model.network_.embedding.weight, plain.network_.embedding.weight
    tokens = model.tokenizer_.tokens(range(model.tokenizer_.vocab_size))
    given = {"fox": [1, 2, 3, 4], "dog": [-1, 0.5, 0, 9]}
    for token_id, token in enumerate(tokens):
        assert embedding[token_id].tolist() == given.get(token, without[token_id].tolist()), token
    assert model.data_["vectors"]["found"] == 2
    with pytest.raises(UsageError, match=r"vectors of 4 numbers, but embedding_size is 5.*`embedding_size` 4"):
        tiny(**{**still, "embedding_size": 5}, vectors=path).fit(easy)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("level", ["char", "word", "space"])
def test_a_loaded_model_computes_the_same_bits(tmp_path, quick, cell, level):
    model = trained(cell, level=level)
    model.save(tmp_path / "m")
    loaded = elman.load(tmp_path / "m")
    assert torch.equal(loaded.read(OTHER)[0], model.read(OTHER)[0])
    assert loaded.evaluate(OTHER) == model.evaluate(OTHER)
    assert loaded.generate("the ", max_tokens=20, seed=3) == model.generate("the ", max_tokens=20, seed=3)
    assert loaded.get_params() == model.get_params()
    assert loaded.metrics_ == model.metrics_
    assert not loaded.network_.training


# ---------------------------------------------------------------- evaluating


@pytest.mark.parametrize("level", ["char", "word", "space"])
@pytest.mark.parametrize("lines", [False, True], ids=["stream", "lines"])
@pytest.mark.parametrize("cell", CELLS)
def test_evaluation_equals_a_loop_token_by_token(cell, lines, level):
    model = trained(cell, lines, level)
    nats = ByHand(model).surprisals(OTHER)
    figures = model.evaluate(OTHER)
    assert figures["tokens"] == len(nats)
    # 1e-5: the network computes in float32 (seven digits), the loop in float64
    assert figures["nats_per_token"] == pytest.approx(sum(nats) / len(nats), rel=1e-5)
    predicted = list(model.predict(OTHER))
    assert [surprisal for _, surprisal in predicted if surprisal is not None] == pytest.approx(nats, rel=1e-4, abs=1e-5)
    # 1e-6: the same numbers, summed in another order
    total = math.fsum(surprisal for _, surprisal in predicted if surprisal is not None)
    assert total == pytest.approx(figures["nats_per_token"] * figures["tokens"], rel=1e-6)


@pytest.mark.parametrize("lines", [False, True])
def test_the_figures_agree_with_each_other(lines):
    figures = trained(lines=lines).evaluate("the fox\nover a dog\n")
    nats = figures["nats_per_token"]
    # 1e-12: float64 arithmetic
    assert figures["perplexity"] == pytest.approx(math.exp(nats), rel=1e-12)
    assert figures["bits_per_token"] == pytest.approx(nats / math.log(2), rel=1e-12)
    total_bits = nats * figures["tokens"] / math.log(2)
    assert figures["bits_per_character"] == pytest.approx(total_bits / figures["characters"], rel=1e-12)
    assert figures["characters"] == (19 if lines else 18)  # a stream's first is given, not predicted
    assert figures["tokens"] == (7 + 1 + 10 + 1 if lines else 18)


@pytest.mark.parametrize("level", ["char", "word", "space", "bpe"])
@pytest.mark.parametrize("lines", [False, True], ids=["stream", "lines"])
def test_perplexity_per_word_is_a_papers(level, lines):
    model = trained(lines=lines, level=level)
    figures = model.evaluate("fox , <unk> (dog)\n\nit's over .\n\njumps")
    # words: 4 + 3 + 1; line ends: 4, or 3 of lines with tokens; a stream's first word is given
    counted = 8 + 3 if lines else 8 + 4 - (0 if level in ("char", "bpe") else 1)
    assert figures["words"] == counted
    total = sum(nats for _, nats in model.predict("fox , <unk> (dog)\n\nit's over .\n\njumps") if nats is not None)
    # 1e-5: sums of the same float32 losses, rounded to six digits
    assert math.log(figures["perplexity_per_word"]) == pytest.approx(total / counted, rel=1e-5)
    if level == "space":
        assert figures["perplexity_per_word"] == figures["perplexity"]
    assert 0 < model.metrics_["valid"]["words"] <= EASY.count(" ")
    assert model.metrics_["valid"]["perplexity_per_word"] > 1


def test_lines_are_evaluated_independently():
    model = trained(lines=True)
    lines = ["the fox", "dog", "a quick brown dog jumps"]
    together = model.evaluate("\n".join(lines))
    alone = [model.evaluate(line) for line in lines]
    assert together["tokens"] == sum(figures["tokens"] for figures in alone)
    total = sum(figures["nats_per_token"] * figures["tokens"] for figures in alone)
    assert together["nats_per_token"] * together["tokens"] == pytest.approx(total, rel=1e-6)  # float32, padded or not
    assert [token for token, _ in model.predict("\n".join(lines))].count("</s>") == 3


def test_a_stream_carries_its_state_across_lines():
    model = trained()
    both, second = model.evaluate("the fox\nthe dog"), model.evaluate("\nthe dog")
    first = model.evaluate("the fox\n")
    separately = first["nats_per_token"] * 7 + second["nats_per_token"] * 7
    assert abs(both["nats_per_token"] * 14 - separately) > 1e-3


@pytest.mark.parametrize(
    ("cell", "num_tokens"), [*((cell, 4098) for cell in CELLS), *(("lstm", size) for size in (4096, 4097, 8193, 8195))]
)
def test_long_texts_are_read_in_pieces_that_change_nothing(cell, num_tokens):
    model = trained(cell)
    text = (EASY * 7)[:num_tokens]
    ids = torch.from_numpy(model.tokenizer_.encode(text).astype("int64"))
    with torch.inference_mode():
        whole, _ = model.network_(ids[None])
    losses = torch.nn.functional.cross_entropy(whole[0, :-1].double(), ids[1:])
    figures = model.evaluate(text)
    assert figures["tokens"] == num_tokens - 1
    assert figures["nats_per_token"] == pytest.approx(losses.item(), rel=1e-5)  # float32 against float64 sums
    logits, _ = model.read(text)
    # 1e-4: float32, where kernels for other lengths round otherwise, carried on through the state
    torch.testing.assert_close(logits, whole[0], rtol=1e-4, atol=1e-4)


def test_unknown_characters_count_in_the_loss_and_are_counted():
    model = trained()
    figures = model.evaluate("the €uro and <unk>")
    assert figures["unknown"] == 2  # the € and the <unk>, which is one token
    assert figures["tokens"] == len("the €uro and ?") - 1
    assert [token for token, _ in model.predict("the €uro and <unk>")].count("<unk>") == 2
    nats = ByHand(model).surprisals("the €uro and <unk>")
    assert figures["nats_per_token"] == pytest.approx(sum(nats) / len(nats), rel=1e-5)


def test_an_unknown_first_character_is_one_character():
    figures = trained().evaluate("€the")
    assert (figures["tokens"], figures["characters"], figures["unknown"]) == (3, 3, 0)


def test_predictions_name_every_token():
    assert "".join(token for token, _ in trained().predict("the dog\n")) == "the dog\n"
    assert next(iter(trained().predict("the dog"))) == ("t", None)
    words = [token for token, _ in trained(lines=True, level="word").predict("the  dog\nfox")]
    assert words == ["the", "dog", "</s>", "fox", "</s>"]


@pytest.mark.parametrize("text", ["", "t"])
def test_too_little_text_is_refused(text):
    with pytest.raises(DataError):
        trained().evaluate(text)
    with pytest.raises(DataError):
        list(trained().predict(text))


def test_white_space_has_no_words():
    for judge in (trained(level="word").evaluate, lambda text: list(trained(level="word").predict(text))):
        with pytest.raises(DataError):
            judge("   ")


# ---------------------------------------------------------------- the state


def shapes(state):
    return tuple(tuple(part.shape) for part in state) if isinstance(state, tuple) else tuple(state.shape)


def test_the_state_has_the_documented_shape():
    assert shapes(trained("rnn").read("the")[1]) == (1, 1, 12)
    assert shapes(trained("gru").read("the")[1]) == (2, 1, 12)
    assert shapes(trained("lstm").read("the")[1]) == ((2, 1, 12), (2, 1, 12))
    assert shapes(trained("window").read("the")[1]) == (1, 1, 3 * 5)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_read_in_two_pieces_is_the_same_as_at_once(cell, lines):
    model = trained(cell, lines)
    whole, last = model.read("the quick dog")
    assert whole.shape == (13 + lines, model.tokenizer_.vocab_size)
    for cut in (1, 5, 12):
        first, state = model.read("the quick dog"[:cut])
        kept = [part.clone() for part in (state if isinstance(state, tuple) else (state,))]
        second, state_after = model.read("the quick dog"[cut:], state)
        # 1e-5: the same float32 steps, in two calls
        torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(state_after, last, rtol=1e-5, atol=1e-5)
        for part, before in zip(state if isinstance(state, tuple) else (state,), kept, strict=True):
            assert torch.equal(part, before)  # a state is a value: reading more does not change it


def test_row_t_is_for_the_token_after_token_t():
    model = trained()
    log_probs = model.read("the fox")[0].log_softmax(-1)
    ids = torch.from_numpy(model.tokenizer_.encode("the fox").astype("int64"))
    surprisals = [surprisal for _, surprisal in model.predict("the fox")][1:]
    # 1e-4: float32 logits
    assert (-log_probs[:-1].gather(1, ids[1:, None])[:, 0]).tolist() == pytest.approx(surprisals, abs=1e-4)


def test_an_empty_text_is_refused():
    with pytest.raises(UsageError, match="no tokens to read"):
        trained().read("")


# ---------------------------------------------------------------- generating


def greedy_by_hand(model, prompt, num_tokens):
    """Read everything again for each token and take the most likely token that is text."""
    tokenizer = model.tokenizer_
    ids = [tokenizer.begin_id] * model.lines + tokenizer.encode(prompt).tolist()
    written = []
    for _ in range(num_tokens):
        with torch.inference_mode():
            logits = model.network_(torch.tensor([ids + written]))[0][0, -1].tolist()
        logits[tokenizer.unknown_id] = logits[tokenizer.begin_id] = -math.inf
        if not model.lines:
            logits[tokenizer.end_id] = -math.inf
        best = logits.index(max(logits))
        if best == tokenizer.end_id:
            break
        written.append(best)
    return tokenizer.decode(written)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_greedy_always_takes_the_most_likely_token(cell, lines):
    model = trained(cell, lines)
    expected = greedy_by_hand(model, "the q", 30)
    assert model.generate("the q", max_tokens=30, greedy=True) == expected
    assert model.generate("the q", max_tokens=30, top_k=1, seed=4) == expected
    assert model.generate("the q", max_tokens=30, greedy=True, temperature=50.0, seed=9) == expected


def test_the_same_seed_writes_the_same_text():
    model = trained()
    texts = [model.generate("the ", max_tokens=40, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    unseeded = [model.generate("the ", max_tokens=40, temperature=1.5) for _ in range(2)]
    assert unseeded[0] != unseeded[1]


def test_the_same_seed_draws_the_same_initial_state(tiny, easy):
    model = tiny(initial_state="random").fit(easy)
    options = {"max_tokens": 1, "greedy": True, "return_state": True}
    states = [model.generate("the ", **options, seed=seed)[1] for seed in (1, 1, 2)]
    assert all(map(torch.equal, states[0], states[1]))
    assert not torch.equal(states[0][0], states[2][0])


@pytest.mark.parametrize("seed", [None, 3])
def test_generation_leaves_the_random_state_of_the_caller_unchanged(seed):
    torch.manual_seed(8)
    expected = torch.rand(2)
    torch.manual_seed(8)
    trained().generate("the ", max_tokens=3, seed=seed)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("cell", CELLS)
def test_a_sample_does_not_depend_on_the_others(cell):
    model = trained(cell)
    texts = model.generate("the ", max_tokens=40, num_samples=4, seed=10, temperature=1.2)
    alone = [model.generate("the ", max_tokens=40, seed=10 + index, temperature=1.2) for index in range(4)]
    assert texts == alone
    assert len(set(texts)) > 1


@pytest.mark.parametrize("cell", CELLS)
def test_continuing_from_a_state_equals_generating_at_once(cell):
    model = trained(cell)
    whole = model.generate("the q", max_tokens=30, greedy=True)
    first, state = model.generate("the q", max_tokens=11, greedy=True, return_state=True)
    second, state = model.generate(max_tokens=9, greedy=True, state=state, return_state=True)
    third = model.generate(max_tokens=10, greedy=True, state=state)
    assert first + second + third == whole
    _, read = model.read("the ")
    assert model.generate("q", max_tokens=30, greedy=True, state=read) == whole
    _, read = model.read("the q")
    assert model.generate(max_tokens=30, greedy=True, state=read) == whole


@pytest.mark.parametrize("cell", CELLS)
def test_generation_from_states_that_are_averaged_interpolated_and_patched(cell):
    model = trained(cell)
    ends = [model.network_.rnn.check_state(model.read(text)[1]) for text in ("the quick", "lazy dog .")]

    def generate(state):
        return model.generate(state=state, max_tokens=30, temperature=2.0, seed=1)

    texts = [generate(state) for state in ends]
    assert texts[0] != texts[1]
    assert [generate(ends[0].interpolate(ends[1], weight)) for weight in (0, 1)] == texts
    assert generate(State.mean([ends[1], ends[1]])) == texts[1]
    patched = ends[0]
    for part, values in ends[1].items():
        for layer in range(len(values)):
            patched = patched.patch(ends[1], range(values.shape[-1]), part, layer)
    assert generate(patched) == texts[1]
    halfway = ends[0].interpolate(ends[1], 0.5)
    logits, _ = model.read("q", halfway)
    assert torch.equal(model.read("q", halfway.public())[0], logits)
    between = [model.read("q", state)[0] for state in ends]
    assert not any(torch.allclose(logits, other) for other in between)
    assert [generate(state) for state in ends] == texts


def test_several_samples_continue_from_their_states():
    model = trained()
    _, states = model.generate("the ", max_tokens=3, num_samples=3, seed=1, temperature=2.0, return_state=True)
    assert shapes(states) == ((2, 3, 12), (2, 3, 12))
    texts = model.generate(max_tokens=8, num_samples=3, state=states, greedy=True)
    alone = [
        model.generate(max_tokens=8, state=tuple(part[:, row : row + 1] for part in states), greedy=True)
        for row in range(3)
    ]
    assert texts == alone


def test_zero_tokens_give_an_empty_text():
    model = trained()
    text, state = model.generate("the q", max_tokens=0, return_state=True)
    assert text == ""
    for part, expected in zip(state, model.read("the q")[1], strict=True):
        assert torch.equal(part, expected)


def test_a_long_prompt_is_never_cut(tmp_path):
    model = trained("rnn")
    prompt = (EASY * 4)[:5000]
    (tmp_path / "prompt.txt").write_text(prompt)
    _, state = model.read(prompt)
    expected = model.generate(max_tokens=20, greedy=True, state=state)
    assert model.generate(prompt, max_tokens=20, greedy=True) == expected
    assert model.generate(tmp_path / "prompt.txt", max_tokens=20, greedy=True) == expected
    hand = ByHand(model)
    by_hand = hand.start()
    for token_id in model.tokenizer_.encode(prompt):
        log_probs, by_hand = hand.step(token_id, by_hand)
    # 1e-3: 5,000 float32 steps against float64
    np.testing.assert_allclose(model.read(prompt)[0][-1].log_softmax(-1).numpy(), log_probs, atol=1e-3)


@pytest.mark.parametrize("stop", [["x"], ["ump"], ["zzz"], ["ver", "o", "lazy"], ["dog .\nthe"]])
@pytest.mark.parametrize("level", ["char", "word", "space"])
def test_generation_ends_before_a_stop_string(stop, level):
    model = trained(level=level)
    text = model.generate("the", max_tokens=60, greedy=True)
    places = [text.find(part) for part in stop if part in text]
    expected = text[: min(places)] if places else text
    assert model.generate("the", max_tokens=60, greedy=True, stop=stop) == expected
    assert "".join(model.stream("the", max_tokens=60, stop=stop, sampling=Sampling(greedy=True))) == expected


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_kernels_generate_what_torch_generates(cell):
    model = trained(cell)
    options = {"max_tokens": 150, "num_samples": 2, "seed": 3, "top_p": 0.9, "repetition_penalty": 1.1}
    assert model.network_.is_fused
    fused = model.generate("the ", return_state=True, **options)
    rnn = model.network_.rnn
    try:
        rnn.backend = "torch"
        assert not model.network_.is_fused
        text, state = model.generate("the ", return_state=True, **options)
    finally:
        rnn.backend = "auto"
    assert fused[0] == text
    for part, expected in zip(parts(fused[1]), parts(state), strict=True):
        np.testing.assert_allclose(part.numpy(), expected.numpy(), atol=1e-4)  # 150 float32 steps, rounded otherwise


def parts(state):
    return state if isinstance(state, tuple) else (state,)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_state_after_a_stop_has_read_exactly_the_generated_tokens(cell):
    model = trained(cell)
    whole = model.generate("the", max_tokens=60, greedy=True)
    stop = whole[20:23]
    text, state = model.generate("the", max_tokens=60, greedy=True, stop=[stop], return_state=True)
    end = whole.index(stop)
    assert text == whole[:end]
    _, expected = model.read("the" + whole[: end + len(stop)])
    for part, expected_part in zip(parts(state), parts(expected), strict=True):
        np.testing.assert_allclose(part.numpy(), expected_part.numpy(), atol=1e-4)  # float32 steps, rounded otherwise


@pytest.mark.parametrize("backend", ["fused", "torch", "reference"])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_every_backend_learns_the_same(cell, backend):
    settings = {"initial_state": "zeros", "steps": 5, "learning_rate": 0.01}
    expected = trained(cell, backend="auto", **settings).evaluate(OTHER)["nats_per_token"]
    # 1e-3: five steps of AdamW, which amplifies rounding errors of small gradients
    assert trained(cell, backend=backend, **settings).evaluate(OTHER)["nats_per_token"] == pytest.approx(
        expected, rel=1e-3
    )


def test_a_window_has_no_backend(tiny, easy):
    with pytest.raises(UsageError, match="no recurrent layer"):
        tiny(cell="window", backend="fused").fit(easy)


def test_each_sample_stops_by_itself():
    model = trained()
    whole = model.generate("the ", max_tokens=60, num_samples=3, seed=2, temperature=1.5)
    stopped = model.generate("the ", max_tokens=60, num_samples=3, seed=2, temperature=1.5, stop=["o"])
    assert stopped == [text.split("o")[0] for text in whole]


@pytest.mark.parametrize("level", ["char", "word", "space", "bpe"])
@pytest.mark.parametrize("lines", [False, True])
def test_what_is_streamed_joins_to_the_same_text(level, lines):
    model = trained(lines=lines, level=level)
    whole = model.generate("the quick", max_tokens=50, seed=6)
    assert "".join(model.stream("the quick", max_tokens=50, seed=6)) == whole
    if not lines:
        assert whole


def test_a_line_ends_where_the_model_ends_it():
    model = trained("gru", lines=True, steps=80, learning_rate=0.05)
    line, state = model.generate("the quick", max_tokens=1000, greedy=True, return_state=True)
    assert len(line) < 1000
    assert line == greedy_by_hand(model, "the quick", 1000)
    # the state has read the </s> as well
    ids = [1, *model.tokenizer_.encode("the quick" + line), 2]
    # 1e-5: the same float32 steps, one by one
    torch.testing.assert_close(state, model.network_(torch.tensor([ids]))[1].public(), rtol=1e-5, atol=1e-5)
    assert "</s>" not in line
    assert "<s>" not in line
    assert "\n" not in line


def test_the_unknown_token_is_never_generated():
    model = trained(level="word")
    text = model.generate(max_tokens=300, temperature=50.0, seed=1)
    assert "<unk>" not in text
    assert "<s>" not in text
    assert "</s>" not in text


def test_prompt_and_text_join_to_words():
    model = trained(level="word")
    words = ("the quick" + model.generate("the quick", max_tokens=12, greedy=True)).split()
    assert {word.rstrip(".") for word in words} <= set(EASY.split())  # "the quickbrown" is not in the text
    assert not model.generate("the quick ", max_tokens=2, greedy=True).startswith(" ")


def test_byte_pairs_come_back_as_text():
    text = "naïve café, 東京 🎉 wins!\n" * 60
    model = LanguageModel(
        level="bpe", vocab_size=320, hidden_size=8, embedding_size=4, batch_size=2, bptt_length=8, steps=2
    ).fit(text)
    tokenizer = Tokenizer.from_json(model.tokenizer_.to_json())
    for sentence in (text, "unseen ñandú 🦤\n"):
        assert tokenizer.decode(tokenizer.encode(sentence)) == sentence
    assert model.evaluate("unseen ñandú 🦤\n")["unknown"] == 0
    written = model.generate(max_tokens=50, temperature=5.0, seed=1)
    assert written == "".join(model.stream(max_tokens=50, seed=1, sampling=Sampling(temperature=5.0)))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"temperature": 0}, "temperature is 0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"stop": [""]}, "empty"),
    ],
)
def test_an_argument_outside_its_limits_is_refused(argument, message):
    with pytest.raises(UsageError, match=message):
        trained().generate("the", **argument)


# ---------------------------------------------------------------- several texts at once


def requests():
    """Return requests that all differ in options, prompt and end."""
    return [
        Request(prompt="the ", seed=1, max_tokens=70),
        Request(prompt="dog", sampling=Sampling(greedy=True), max_tokens=90, stop=["ov", "um"]),
        Request(prompt="jumps over", sampling=Sampling(temperature=2.0, top_k=5), seed=3, max_tokens=9),
        Request(sampling=Sampling(top_p=0.8, repetition_penalty=1.3), seed=4, max_tokens=40, stop="q"),
        Request(prompt="a fox\n", sampling=Sampling(temperature=0.5), seed=1, max_tokens=0),
    ]


def alone(model, request, **more):
    options = dataclasses.asdict(request.sampling) | {"max_tokens": request.max_tokens, "seed": request.seed} | more
    return model.generate(request.prompt, stop=request.stop, state=request.state, **options)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_texts_generated_together_equal_those_generated_alone(cell, lines):
    model = trained(cell, lines)
    written = model.generate_many(requests())
    for one, request in zip(written, requests(), strict=True):
        text, state = alone(model, request, return_state=True)
        assert one.text == text
        for part, expected in zip(parts(one.state), parts(state), strict=True):
            if model.network_.is_fused:  # the kernels compute the same bits in any batch
                assert torch.equal(part, expected)
            else:
                torch.testing.assert_close(part, expected, rtol=0, atol=1e-6)
    assert model.generate_many([]) == []


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_text_that_was_interrupted_continues_as_if_it_had_not_been(cell):
    model = trained(cell)
    whole = model.generate("the ", max_tokens=60, temperature=1.5, seed=5)
    hot = Sampling(temperature=1.5)
    (first,) = model.generate_many([Request(prompt="the ", sampling=hot, seed=5, max_tokens=23)])
    rest = Request(state=first.state, position=first.position, sampling=hot, seed=5, max_tokens=37)
    _, second = model.generate_many([Request(prompt="dog"), rest])
    assert (first.position, second.position) == (23, 60)
    assert first.text + second.text == whole


def test_a_request_outside_its_limits_is_refused():
    model = trained()
    _, state = model.generate("the", num_samples=2, max_tokens=2, return_state=True)
    _, other = trained("gru").read("the")
    for request, message in (
        (Request(position=-1), "position is -1"),
        (Request(position=1.5), "position is of type float"),
        (Request(seed="a"), "seed is of type str"),
        (Request(sampling=Sampling(top_p=2.0)), "top_p is 2.0"),
        (Request(stop=[""]), "empty"),
        (Request(state=state), "2 rows, expected 1$"),
        (Request(state=other), "pair"),
        (Request(prompt="a", state=other), "pair"),
    ):
        with pytest.raises(UsageError, match=message):
            model.generate_many([Request(prompt="the"), request])


@pytest.mark.parametrize("seed", [-1, 2**70])
def test_every_whole_number_is_a_seed(seed):
    model = trained()
    assert model.generate("the", seed=seed, max_tokens=30) == model.generate("the", seed=seed, max_tokens=30)
    assert model.generate("the", seed=seed, max_tokens=30) != model.generate("the", seed=seed % 2**64, max_tokens=30)


# ---------------------------------------------------------------- scikit-learn


def test_every_field_is_a_parameter():
    model = LanguageModel(hidden_size=7)
    assert set(model.get_params()) == {field.name for field in dataclasses.fields(LanguageModel)}
    assert model.set_params(hidden_size=9, cell="gru") is model
    assert (model.hidden_size, model.cell) == (9, "gru")
    with pytest.raises(UsageError, match='did you mean "hidden_size"'):
        model.set_params(hiden_size=3)
    with pytest.raises(TypeError):
        LanguageModel(hiden_size=3)


def test_a_clone_has_the_settings_and_is_not_fitted(tiny, easy):
    model = tiny(cell="gru", vectors=None, minutes=None).fit(easy)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "network_")
    with pytest.raises(UsageError, match="is not fitted"):
        copy.generate("a")


def test_cross_validation_over_texts(quick, tiny, easy, tmp_path):
    texts = [easy[:400], easy[100:500].upper(), easy[200:600]]
    scores = cross_val_score(tiny(), texts, cv=3)
    held_out = tiny().fit([texts[0], texts[1]]).evaluate([texts[2]])
    assert scores[2] == -held_out["nats_per_token"]
    assert np.isfinite(scores).all()
    search = GridSearchCV(tiny(steps=2), {"cell": ["rnn", "gru"], "hidden_size": [3, np.int64(4)]}, cv=2).fit(texts)
    assert search.best_params_["cell"] in ("rnn", "gru")
    tiny(hidden_size=np.int64(4), learning_rate=np.float64(1e-3)).fit(easy, out=tmp_path / "m")
    assert elman.load(tmp_path / "m").hidden_size == 4


def test_a_setting_of_the_wrong_type_is_refused(easy):
    for setting, wanted in (
        ({"hidden_size": "64"}, "hidden_size is '64'; it must be a whole number"),
        ({"hidden_size": 6.5}, "hidden_size is 6.5; it must be a whole number"),
        ({"lines": "yes"}, "lines is 'yes'; it must be true or false"),
        ({"learning_rate": None}, "learning_rate is None; it must be a number"),
        ({"steps": True}, "steps is True; it must be a whole number"),
    ):
        with pytest.raises(UsageError, match=wanted):
            LanguageModel(**setting).fit(easy)


def test_random_texts_have_the_loss_of_the_loop():
    """The texts have known and unknown characters, blank lines, and carriage returns at their ends."""
    letters = random.Random(1)
    for lines in (False, True):
        model = trained("gru", lines)
        for _ in range(5):
            text = "".join(letters.choices("the qz€\n", k=30)) + "the"
            nats = ByHand(model).surprisals(text)
            assert model.evaluate(text)["nats_per_token"] == pytest.approx(sum(nats) / len(nats), rel=1e-5)  # float32


# ---------------------------------------------------------------- further cases


def test_training_works_while_surprisals_are_being_read(tiny, easy):
    surprisals = tiny().fit(easy).predict(easy)
    next(surprisals)
    next(surprisals)
    assert not torch.is_inference_mode_enabled()
    tiny(seed=2).fit(easy)


def test_a_prompt_from_a_file_is_the_prompt(tiny, easy, tmp_path):
    (tmp_path / "prompt.txt").write_bytes(b"the quick\r\nbrown")
    for level in ("char", "word", "space"):
        model = tiny(level=level).fit(easy)
        options = {"max_tokens": 12, "seed": 3, "repetition_penalty": 1.5}
        written = model.generate("the quick\nbrown", **options)
        assert model.generate("the quick\r\nbrown", **options) == written
        assert model.generate(tmp_path / "prompt.txt", **options) == written


def test_a_dry_run_leaves_the_model_unfitted(tiny, easy):
    model = tiny()
    assert model.dry_run(easy)["steps"] == model.steps
    with pytest.raises(UsageError, match="is not fitted"):
        model.generate("the")


def drop_empty(row):
    return {name: value for name, value in row.items() if value is not None}


def test_the_log_survives_loading_and_saving_elsewhere(tiny, easy, tmp_path):
    model = tiny().fit(easy)
    model.save(tmp_path / "first")
    loaded = elman.load(tmp_path / "first")
    assert [drop_empty(row) for row in loaded.history_] == [drop_empty(row) for row in model.history_]
    loaded.save(tmp_path / "second")
    assert (tmp_path / "second" / "log.csv").read_bytes() == (tmp_path / "first" / "log.csv").read_bytes()


def test_saving_a_loaded_unfinished_run_keeps_its_checkpoint(tiny, easy, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    folder = tmp_path / "run"
    broken = tiny(steps=8, evaluations=4)
    broken._final_metrics = stop
    with pytest.raises(KeyboardInterrupt):
        broken.fit(easy, out=folder)
    elman.load(folder).save(folder)
    assert (folder / "checkpoint.safetensors").exists()
    assert tiny(steps=8, evaluations=4).fit(easy, out=folder, resume=True).metrics_["train"]["steps"] == 8
    assert not (folder / "checkpoint.safetensors").exists()


def test_a_state_of_other_streams_and_settings_of_other_cells_are_refused(tiny, easy):
    model = tiny().fit(easy)
    _, state = model.generate("the", num_samples=3, max_tokens=2, return_state=True)
    with pytest.raises(UsageError, match="3 rows, expected 1 or 2"):
        model.generate(state=state, num_samples=2)
    with pytest.raises(UsageError, match="only an LSTM has forget gates"):
        tiny(cell="gru", forget_bias=1.0).fit(easy)
    with pytest.raises(UsageError, match="bytes"):
        tiny().fit(b"some bytes")
