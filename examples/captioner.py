"""Train a captioner on pictures of two shapes, then test it on combinations of shapes that it has never seen."""

import csv
from itertools import groupby

import elman
from elman.data.samples import sample_pictures, sample_text


def pictures_and_captions(name: str) -> tuple[list, list[list[str]]]:
    """Return the pictures of a built-in data set, and the captions of each."""
    pictures = sample_pictures(name)
    rows = csv.reader(sample_text(name).splitlines(), delimiter="\t")
    captions = {image: [text for _, text in some] for image, some in groupby(rows, key=lambda row: row[0])}
    shown = [image for image in pictures if image in captions]
    return [pictures[image] for image in shown], [captions[image] for image in shown]


captioner = elman.Captioner(minutes=4)
captioner.fit(*pictures_and_captions("shapes"), out="runs/example-captioner", overwrite=True)

pictures, captions = pictures_and_captions("unseen-shapes")
for text, known in zip(captioner.predict(pictures[:5]), captions, strict=False):
    print(f"{text:<48} ({known[0]})")
print(f"\n{100 * captioner.evaluate(pictures, captions)['exact']:.1f} % exactly right")
