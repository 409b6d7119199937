"""Train a classifier on messages to a shop, and see which labels it confuses."""

import elman
from elman.data.samples import sample_text

messages = sample_text("messages")
classifier = elman.Classifier(minutes=0.5).fit(messages, out="runs/example-classifier", overwrite=True)
print(f"accuracy {classifier.metrics_['valid']['accuracy']:.3f} on held-out messages\n")

texts = ["not bad at all, thank you", "where is my parcel?"]
for text, shares in zip(texts, classifier.predict_proba(texts), strict=True):
    likely = sorted(zip(shares, classifier.classes_, strict=True), reverse=True)
    print(f"{text:<28}", *(f"{label} {share:.2f}" for share, label in likely))

print(f"\n{classifier.report(messages).confusion_text()}")
