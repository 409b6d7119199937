"""Train a composer on country dances, and let it write one. Needs the extra music."""

from pathlib import Path

import elman
from elman.data.samples import sample_text

composer = elman.Composer(minutes=2).fit(sample_text("tunes"), out="runs/example-composer", overwrite=True)
print(f"{composer.metrics_['valid']['nats_per_event']:.3f} nats per event on held-out tunes")

tune = composer.compose(seconds=20, seed=1)
folder = Path("runs/example-composer")
(folder / "tune.mid").write_bytes(tune.midi())
(folder / "tune.wav").write_bytes(tune.wav())
print(f"{folder / 'tune.wav'}: {tune.seconds:.0f} seconds")
