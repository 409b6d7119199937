"""Train a part-of-speech tagger, and see how the context decides what a word is."""

import elman
from elman.data.samples import sample_text

tagger = elman.Tagger(minutes=0.5).fit(sample_text("sentences"), out="runs/example-tagger", overwrite=True)
print(f"accuracy {tagger.metrics_['valid']['accuracy']:.3f} on held-out sentences\n")

texts = ["Teddy bears are on sale .", "Teddy Roosevelt was a great president ."]
sentences = [text.split(" ") for text in texts]
for words, tags in zip(sentences, tagger.predict(sentences), strict=True):
    print(" ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True)))
