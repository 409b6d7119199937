import io
import wave

import numpy as np
import pytest

from elman.data.music.synthesis import RATE, synthesise


def test_a_sine_of_440_is_heard():
    with wave.open(io.BytesIO(synthesise(np.array([[0.0, 1.0, 69.0, 100.0]])))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    assert len(samples) / RATE == pytest.approx(1.24, abs=0.01)
    spectrum = np.abs(np.fft.rfft(samples[:RATE]))  # a bin is 1 Hz
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert np.abs(samples).max() < 32767
    assert np.abs(samples[-50:]).max() < 50
