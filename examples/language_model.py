"""Train a character model on Python's own help pages, generate text, and find what surprises it."""

import elman
from elman.data.samples import sample_text

lm = elman.LanguageModel(minutes=1).fit(sample_text("topics"), out="runs/example-lm", overwrite=True)
print(f"{lm.metrics_['valid']['bits_per_character']:.3f} bits per character on the held-out part\n")
print(lm.generate("The with statement", max_tokens=300, temperature=0.7, seed=1))

logits, state = lm.read("A list is a mutable ")  # the state is a value: keep it, and continue from it twice
for seed in (1, 2):
    print("\nA list is a mutable " + lm.generate(state=state, max_tokens=40, temperature=0.5, seed=seed))

surprisals = [(nats, token) for token, nats in lm.predict("Pythons are snakes.") if nats is not None]
print("\nleast expected:", *(f"{token!r} ({nats:.1f} nats)" for nats, token in sorted(surprisals, reverse=True)[:3]))
