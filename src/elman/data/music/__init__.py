"""Music: MIDI and ABC files to tunes, tunes to events and back, tunes to sound."""

from elman.data.music.tunes import Tune as Tune
