"""MIDI files built by hand, byte by byte."""


def midi(events, ticks_per_quarter=480, channel=0):
    """Build a MIDI file from events: (ticks since the previous event, bytes) each."""

    def variable(number):
        groups = [number & 127]
        while number := number >> 7:
            groups.append(number & 127 | 128)
        return bytes(reversed(groups))

    track = b"".join(variable(delta) + data for delta, data in [*events, (0, b"\xff\x2f\x00")])
    head = b"MThd" + (6).to_bytes(4, "big") + (0).to_bytes(2, "big") + (1).to_bytes(2, "big")
    return head + ticks_per_quarter.to_bytes(2, "big") + b"MTrk" + len(track).to_bytes(4, "big") + track


def tempo(quarters_a_minute):
    return b"\xff\x51\x03" + round(60e6 / quarters_a_minute).to_bytes(3, "big")


def on(pitch, velocity=80, channel=0):
    return bytes([0x90 | channel, pitch, velocity])


def off(pitch, channel=0):
    return bytes([0x80 | channel, pitch, 0])


TUNE = midi(  # 60 quarter notes per minute, one second each; then 120, half a second each
    [
        (0, tempo(60)),
        (0, on(60, 64)),
        (480, off(60)),
        (240, on(64, 100)),
        (0, on(67, 30)),
        (240, off(64)),
        (0, tempo(120)),
        (480, off(67)),
    ]
)
NOTES = [(0.0, 1.0, 60, 64), (1.5, 0.5, 64, 100), (1.5, 1.0, 67, 30)]
