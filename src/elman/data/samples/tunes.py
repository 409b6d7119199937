"""Generated short tunes in the style of country dances, in ABC.

Each has two repeated parts of eight bars: a phrase, a second phrase, the first phrase again, and an ending. The melody
has a tone of the chord on each beat and moves by steps between them; the chords are written above it, so that programs
for ABC play an accompaniment.
"""

from __future__ import annotations

import random
from functools import cache
from typing import NamedTuple

from elman.data.samples.lot import pick

_ADJECTIVES = ("Merry", "Crooked", "Old", "Silver", "Windy", "Lazy", "Northern", "Little", "Golden", "Foggy")
_NOUNS = ("Miller", "Lantern", "Ferry", "Heron", "Kettle", "Orchard", "Weaver", "Harbour", "Fiddle", "Meadow")

_KEYS = {
    "G": (67, 1),
    "D": (62, 2),
    "C": (60, 0),
    "A": (69, 3),
    "F": (65, -1),
    "Em": (64, 1),
    "Am": (69, 0),
    "Dm": (62, -1),
}
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_LETTERS = "CDEFGAB"


class Metre(NamedTuple):
    """A kind of dance."""

    name: str
    signature: str
    tempo: str
    beats: tuple[int, ...]
    """The length of each beat of a bar, in eighth notes."""
    rhythms: tuple[tuple[int, ...], ...]
    """The ways to divide a beat into notes, in eighth notes."""


_METRES = (
    Metre("reel", "4/4", "1/4=184", (2, 2, 2, 2), ((1, 1), (1, 1), (2,))),
    Metre("waltz", "3/4", "1/4=150", (2, 2, 2), ((2,), (2,), (1, 1))),
    Metre("jig", "6/8", "3/8=112", (3, 3), ((1, 1, 1), (2, 1), (3,))),
    Metre("march", "2/4", "1/4=108", (2, 2), ((1, 1), (2,), (2,))),
)

_PROGRESSIONS = (
    (0, 0, 3, 4, 0, 3, 4, 0),
    (0, 3, 0, 4, 0, 3, 4, 0),
    (0, 5, 3, 4, 0, 5, 4, 0),
    (0, 4, 0, 4, 3, 0, 4, 0),
    (0, 0, 4, 4, 3, 3, 4, 0),
    (5, 3, 0, 4, 5, 3, 4, 0),
)


@cache
def compose_tunes(number: int = 60) -> str:
    """Return tunes in ABC, separated by blank lines; they are always the same.

    Example:
        >>> compose_tunes(1).splitlines()[0]
        'X:1'
    """
    generator = random.Random(1990)
    return "\n".join(_compose_tune(index + 1, generator) for index in range(number))


def _compose_tune(number: int, generator: random.Random) -> str:
    metre = _METRES[(number - 1) % len(_METRES)]
    key = pick(tuple(_KEYS), generator)
    title = f"The {pick(_ADJECTIVES, generator)} {pick(_NOUNS, generator)}"
    head = [
        f"X:{number}",
        f"T:{title}",
        f"R:{metre.name}",
        f"M:{metre.signature}",
        "L:1/8",
        f"Q:{metre.tempo}",
        f"K:{key}",
    ]
    parts = []
    for lift in (0, 2):
        chords = pick(_PROGRESSIONS, generator)
        phrase = [_compose_bar(metre, chord, lift, generator) for chord in chords[:2]]
        sequel = [_compose_bar(metre, chord, lift, generator) for chord in chords[2:4]]
        turn = [_compose_bar(metre, chord, lift, generator) for chord in chords[6:7]]
        bars = [*phrase, *sequel, *phrase, *turn]
        written = [
            _write_bar(bar, chord, key) for bar, chord in zip(bars, (*chords[:4], *chords[:2], chords[6]), strict=True)
        ]
        last = f'"{_name_chord(0, key)}"{_spell_pitch(0, key)}{sum(metre.beats)}'
        parts.append("|:" + "|".join([*written, last]) + ":|")
    return "\n".join([*head, *parts, ""])


def _compose_bar(metre: Metre, chord: int, lift: int, generator: random.Random) -> list[tuple[int, int]]:
    """Compose a bar: (step of the scale, eighth notes) for each note."""
    notes: list[tuple[int, int]] = []
    step = chord + pick((0, 2, 4), generator) + lift
    for beat in metre.beats:
        rhythm = pick(tuple(cut for cut in metre.rhythms if sum(cut) == beat), generator)
        for place, length in enumerate(rhythm):
            if place == 0:  # on the beat: the nearest tone of the chord
                step = min(
                    (chord + tone + octave for tone in (0, 2, 4) for octave in (-7, 0, 7)),
                    key=lambda tone: abs(tone - step),
                )
            else:
                step += pick((-1, 1, 1, 2, -2), generator)
            step = min(max(step, -2), 10)
            notes.append((step, length))
        step += pick((-2, -1, 1, 2), generator)
    return notes


def _write_bar(bar: list[tuple[int, int]], chord: int, key: str) -> str:
    notes = "".join(f"{_spell_pitch(step, key)}{length if length > 1 else ''}" for step, length in bar)
    return f'"{_name_chord(chord, key)}"{notes}'


def _spell_pitch(step: int, key: str) -> str:
    """Spell a step of the key's scale in ABC: C, D, ..., B, c, d, ..., b, c' and so on; the key has the accidentals."""
    letter = _LETTERS.index(key[0]) + step + (0 if key[0] in "CDEFG" else -7)
    octave, place = divmod(letter, 7)
    name = _LETTERS[place]
    if octave == 0:
        return name
    return name + "," * -octave if octave < 0 else name.lower() + "'" * (octave - 1)


def _name_chord(step: int, key: str) -> str:
    """Name the chord on a step of the key's scale."""
    scale = _MINOR if key.endswith("m") else _MAJOR
    third = (scale[(step + 2) % 7] - scale[step % 7]) % 12
    root = (_KEYS[key][0] + scale[step % 7]) % 12
    sharps = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    flats = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
    return (flats if _KEYS[key][1] < 0 else sharps)[root] + ("m" if third == 3 else "")
