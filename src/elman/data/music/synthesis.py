"""Notes to sound: a simple synthesiser, so that a tune can be heard without other software."""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray

RATE = 22_050  # samples per second
_PARTIALS = ((1, 1.0), (2, 0.45), (3, 0.22), (4, 0.11), (5, 0.05))  # multiple of the frequency, loudness
_ATTACK, _RELEASE, _DECAY = 0.008, 0.12, 1.6  # seconds to full loudness, to silence, to a third while held


def synthesise(notes: NDArray[np.float64]) -> bytes:
    """Synthesise notes on a plucked string as the content of a WAV file: 16 bits, one channel.

    Args:
        notes: (N, 4) start and duration in seconds, pitch (69 is the A of 440 Hz), velocity 1 to 127.

    Example:
        >>> synthesise(np.array([[0.0, 0.5, 69.0, 90.0]]))[:4]
        b'RIFF'
    """
    end = float((notes[:, 0] + notes[:, 1]).max(initial=0.0)) + 2 * _RELEASE
    sound = np.zeros(int(end * RATE) + 1, np.float32)
    for start, duration, pitch, velocity in notes.tolist():
        tone = _synthesise_tone(440.0 * 2 ** ((pitch - 69) / 12), duration) * (velocity / 127) ** 1.5
        first = int(start * RATE)
        sound[first : first + len(tone)] += tone[: len(sound) - first]
    loudest = float(np.abs(sound).max(initial=1e-9))
    samples = (sound / max(loudest, 1.0) * (0.9 if loudest > 1 else 0.7) * 32767).astype("<i2")
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return stream.getvalue()


def _synthesise_tone(frequency: float, duration: float) -> NDArray[np.float32]:
    """Synthesise a note from a few partials below half the sampling rate; higher partials fade sooner."""
    time = np.arange(int((duration + _RELEASE) * RATE)) / RATE
    tone = np.zeros(len(time))
    for multiple, loudness in _PARTIALS:
        if multiple * frequency < RATE / 2:
            tone += loudness * np.exp(-time * multiple / _DECAY) * np.sin(2 * np.pi * multiple * frequency * time)
    envelope = np.minimum(time / _ATTACK, 1.0) * np.clip((duration + _RELEASE - time) / _RELEASE, 0.0, 1.0)
    quiet: NDArray[np.float32] = (0.3 * tone * envelope).astype(np.float32)
    return quiet
