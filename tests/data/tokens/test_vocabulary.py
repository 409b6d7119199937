from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from elman.data.tokens.vocabulary import Vocabulary

ITEMS = st.text(st.sampled_from("abé"), min_size=1, max_size=2)


@given(st.lists(ITEMS), st.integers(1, 3))
def test_learned_items_are_sorted_by_frequency_and_then_by_spelling(items: list[str], min_count: int) -> None:
    counts = Counter(items)
    learned = Vocabulary.learn(counts, min_count=min_count, specials=["<unk>", "a"]).items
    assert learned[:2] == ("<unk>", "a")
    assert set(learned[2:]) == {item for item in counts if counts[item] >= min_count and item != "a"}
    keys = [(-counts[item], item) for item in learned[2:]]
    assert keys == sorted(set(keys))


@given(st.lists(ITEMS, min_size=1, unique=True), st.lists(ITEMS))
def test_ids_are_positions_and_an_unknown_item_is_the_first(items: list[str], wanted: list[str]) -> None:
    vocabulary = Vocabulary(items)
    ids = vocabulary.ids(wanted)
    assert ids.dtype == "int64"
    assert ids.tolist() == [items.index(item) if item in items else 0 for item in wanted]
    assert [vocabulary.items[number] for number in vocabulary.ids(items)] == items
    assert len(vocabulary) == len(items)
