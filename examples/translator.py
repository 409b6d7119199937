"""Train a translator to summarise short reports, then inspect its attention."""

import elman
from elman.data.samples import sample_text

reports = sample_text("reports")
translator = elman.Translator(minutes=3).fit(reports, out="runs/example-translator", overwrite=True)
print(f"chrF {translator.metrics_['valid']['chrf']:.1f} on held-out reports\n")

source = reports.splitlines()[1].split("\t")[0]
print(source)
for text, score in translator.set_params(n_best=3).translate([source])[0]:
    print(f"{score:8.3f}  {text}")

read, written, weights = translator.attention_of(source)  # weights (len(written), len(read)); each row sums to 1
for token, row in zip(written, weights, strict=True):
    print(f"{token!r:<16} attended most to {read[int(row.argmax())]!r}")
