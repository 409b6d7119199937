"""Word vectors: word dropout, and that a word's vector does not depend on the others in the batch."""

import torch

from elman.data.tokens.lexicon import LONGEST, Lexicon
from elman.nn.inputs.words import WordEncoder


def test_rare_words_become_unknown_more_often():
    torch.manual_seed(0)
    lexicon = Lexicon({"often": 9, "once": 1})
    encoder = WordEncoder(lexicon.counts, 4, word_dropout=1.0)
    words = lexicon.look_up(["often", "once"] * 20_000)
    unknown = encoder.embedding.weight[0]
    dropped = (encoder(words) == unknown).all(dim=1).view(-1, 2).float().mean(dim=0)
    # 1 / (1 + count), give or take four standard deviations of 20,000 draws
    assert abs(dropped[0] - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5
    assert abs(dropped[1] - 0.5) < 4 * (0.5 * 0.5 / 20_000) ** 0.5
    assert not (encoder.eval()(words) == unknown).all(dim=1).any()


def test_a_words_vector_is_its_own():
    lexicon = Lexicon({"a": 1, "bears": 2, "Teddy": 3}, vector_words=["zebra", "bears"], vector_size=5)
    encoder = WordEncoder(lexicon.counts, 5, len(lexicon.characters), 6, num_vectors=2).eval()
    torch.nn.init.normal_(encoder.vectors[1:])
    words = ["Teddy", "zebra", "x" * 200, "a", "Bears"]
    together = encoder(lexicon.look_up(words))
    for word, vector in zip(words, together, strict=True):
        torch.testing.assert_close(encoder(lexicon.look_up([word]))[0], vector)
    expected = encoder.embedding.weight[lexicon.vocabulary.ids(["bears"])[0]] + encoder.vectors[2]
    torch.testing.assert_close(together[4, :5], expected)
    torch.testing.assert_close(together[1, :5], encoder.embedding.weight[0] + encoder.vectors[1])


def test_the_start_and_the_end_of_a_long_word_are_read():
    lexicon = Lexicon({"ab": 1})
    word = "a" * 5000 + "b" * 5000
    words = lexicon.look_up([word, "ab"])
    a, b = lexicon.characters.ids(["a", "b"])
    assert words.lengths.tolist() == [LONGEST, 2]
    assert words.characters[0].tolist() == [a] * (LONGEST // 2) + [b] * (LONGEST // 2)


def test_the_pretrained_vectors_are_not_trained():
    lexicon = Lexicon({"bears": 2}, vector_words=["bears"], vector_size=3)
    encoder = WordEncoder(lexicon.counts, 3, num_vectors=1)
    assert {name for name, _ in encoder.named_parameters()} == {"embedding.weight"}
    assert "vectors" in encoder.state_dict()
    assert "dropped" not in encoder.state_dict()


def test_the_offset_to_a_pretrained_vector_starts_at_zero():
    lexicon = Lexicon({"Bears": 2, "Teddy": 1}, vector_words=["zebra", "Bears"], vector_size=3)
    encoder = WordEncoder(lexicon.counts, 3, num_vectors=2).eval()
    vectors = torch.arange(6.0).reshape(2, 3)
    encoder.load_vectors(vectors.numpy(), lexicon)
    encoded = encoder(lexicon.look_up(["zebra", "Bears", "Teddy", "unheard"]))
    torch.testing.assert_close(encoded[:2], vectors)
    assert encoded[2].abs().sum() > 0  # a word without a vector begins somewhere of its own
    assert not encoded[3].any()


def test_lower_case_is_that_of_the_language():
    turkish = Lexicon({"Işık": 2, "istanbul": 1}, vector_words=["ısı", "izmir"], vector_size=3, dotless_i=True)
    words = ["ışık", "IŞIK", "işik", "İSTANBUL", "ISTANBUL", "ISI", "İzmir", "Izmir"]
    found = turkish.look_up(words)
    assert found.ids.tolist() == [1, 1, 0, 2, 0, 0, 0, 0]
    assert found.rows.tolist() == [0, 0, 0, 0, 0, 1, 2, 0]
    again = Lexicon.from_json(turkish.to_json()).look_up(words)
    assert (again.ids.tolist(), again.rows.tolist()) == (found.ids.tolist(), found.rows.tolist())
    english = Lexicon({"It": 2, "Işık": 1})
    assert english.look_up(["IT", "ıt", "Işık", "ışık"]).ids.tolist() == [1, 0, 2, 0]
    earlier = english.to_json().replace(', "dotless_i": false', "")
    assert "dotless" not in earlier
    assert Lexicon.from_json(earlier).look_up(["IT", "ışık"]).ids.tolist() == [1, 0]
