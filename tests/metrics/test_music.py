"""The texture of tunes against a look at every moment."""

import numpy as np

from elman.metrics.music import Texture, count_sounding, texture


def test_notes_are_counted_at_every_moment():
    generator = np.random.default_rng(2)
    for _ in range(20):
        starts, lengths = generator.integers(0, 40, 30) / 10, generator.integers(1, 15, 30) / 10
        notes = np.stack([starts, lengths, generator.integers(40, 80, 30), np.full(30, 80)], axis=1)
        moments = np.arange(0, 60, 0.1) + 0.05
        most = max(int(((starts < moment) & (starts + lengths > moment)).sum()) for moment in moments)
        assert count_sounding(notes) == most


def test_the_texture_is_that_of_all_tunes():
    one = np.array([[0.0, 1.0, 60, 80], [1.0, 3.0, 62, 80]])
    other = np.array([[0.0, 2.0, 60, 80], [1.5, 1.0, 60, 80]])
    assert texture([one, other]) == Texture(2, 1.5, 3.0)
    assert texture([one]).polyphony == 1  # a note that begins when another one ends
    assert texture([]) == texture([np.zeros((0, 4))]) == Texture(0, 0.0, 0.0)
