"""Texts for the tests of all levels, which are easily split or joined wrongly."""

from hypothesis import strategies as st

TEXT = (
    "The cat's hat, the <unk> and <s> the dog's </s>: don't (the cat) hinder;\n"
    "\n  und der Hund sah die Katze: schön!\nहिन्दी में हिन्दी में\n"
) * 3


def texts_of(*parts: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(parts)).map("".join)


LIKELY = texts_of("the", "cat", "'s", "<unk>", "<s>", "</s>", " ", "\n", "\t", ".", "(", "é", "हि", "𝄞")
PLAIN = st.text().filter(lambda text: "<unk>" not in text)  # <unk> in a text is one token
