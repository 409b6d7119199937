"""Music: reading MIDI and ABC files as tunes, tunes to events and back, tunes to sound."""

from elman.data.music.tunes import Tune as Tune
