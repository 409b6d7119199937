"""Every Python block on the pages runs, in order, beside the files that it names."""

import re
from itertools import islice

import pytest

from elman.data.samples import sample_pictures

from .pages import PAGES, python_blocks_of

WITH_BLOCKS = [page for page in PAGES if python_blocks_of(page)]

SMALL = "steps=2, evaluations=1, hidden_size=8, embedding_size=8"


def shorten(block):
    """Return the same block with tiny networks and two steps of training."""
    return re.sub(r"minutes=[\d.]+", SMALL, re.sub(r"hidden_size=\d+, ", "", block))


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_the_blocks_of_a_page_run(page, beside_the_files):
    pictures = list(islice(sample_pictures("unseen-shapes").values(), 20))
    names = {  # what the blocks use without defining it
        "texts": ["all is well", "it never came"] * 10,
        "labels": ["happy", "sad"] * 10,
        "sentences": [["all", "is", "well"], ["it", "never", "came"]] * 10,
        "tags": [["DET", "VERB", "ADV"], ["PRON", "ADV", "VERB"]] * 10,
        "sources": ["a dog runs", "it rains"] * 10,
        "targets": ["ein Hund läuft", "es regnet"] * 10,
        "pictures": pictures,
        "captions": [["a shape"]] * len(pictures),
    }
    for number, block in enumerate(python_blocks_of(page), start=1):
        exec(compile(shorten(block), f"{page}, block {number}", "exec"), names)


def test_every_task_has_a_block():
    assert len(WITH_BLOCKS) >= 7
