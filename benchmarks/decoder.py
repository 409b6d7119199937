"""Where a translator's training step spends its time, for each kind of attention: medians of forward and backward.

python benchmarks/decoder.py [--batch 64] [--source 14] [--target 15] [--vocab 8000] [--repeats 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from elman.data.tokens.pairs import PairBatch
from elman.models.translator import Translator, TranslatorNetwork

KINDS = {"none": {}, "luong": {}, "luong, input feeding": {"input_feeding": True}, "bahdanau": {}}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, value in {"batch": 64, "source": 14, "target": 15, "vocab": 8000, "repeats": 15}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    sizes = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, ms forward and backward, of which:")
    print(f"{'attention':<22}{'whole step':>12}{'encoder':>10}{'decoder':>10}{'output':>10}{'targets/s':>12}")
    for name, changes in KINDS.items():
        settings = Translator(attention=name.partition(",")[0], **changes)
        names = ("cell", "embedding_size", "hidden_size", "num_layers", "bidirectional", "merge", "shared_vocabulary")
        names += ("attention", "input_feeding", "tie_weights", "dropout", "backend")
        made = {name: getattr(settings, name) for name in names}
        network = TranslatorNetwork(sizes.vocab, sizes.vocab, **made).train()
        ids = torch.randint(3, sizes.vocab, (sizes.batch, max(sizes.source, sizes.target)))
        lengths = torch.randint(sizes.source // 2, sizes.source + 1, (sizes.batch,))
        lengths[0] = sizes.source
        inputs = ids[:, : sizes.target].contiguous()
        batch = PairBatch(ids[:, : sizes.source].contiguous(), lengths, inputs, inputs)
        encoder, decoder, output = parts(network, batch)
        steps = [whole(network, batch), encoder, decoder, output]
        times = [seconds(step, network, sizes.repeats) for step in steps]
        targets = inputs.numel() / times[0]
        print(
            f"{name:<22}"
            + "".join(f"{1000 * t:>{w}.1f}" for t, w in zip(times, (12, 10, 10, 10), strict=True))
            + f"{targets:>12,.0f}"
        )


def whole(network: TranslatorNetwork, batch: PairBatch) -> Callable[[], Tensor]:
    return lambda: network.head.loss_sum(network(batch), batch.targets.flatten()) / batch.targets.numel()


def parts(network: TranslatorNetwork, batch: PairBatch) -> list[Callable[[], Tensor]]:
    state = network.encode_batch(batch)
    embedded = network.embedding(batch.inputs).detach()
    hidden = network.decoder(embedded, state)[0].detach().requires_grad_()
    fixed = type(state)(*(_detach(part) for part in state))

    def encoder() -> Tensor:
        read = network.encode_batch(batch)
        return sum((part.sum() for part in read.hidden), read.memory.keys.sum() if read.memory else torch.zeros(()))

    return [
        encoder,
        lambda: network.decoder(embedded, fixed)[0].sum(),
        lambda: network.head.loss_sum(hidden, batch.targets) / batch.targets.numel(),
    ]


def _detach(part: object) -> object:
    if isinstance(part, Tensor):
        return part.detach().requires_grad_(part.is_floating_point())
    if isinstance(part, tuple):
        made = [_detach(one) for one in part]
        return type(part)(*made) if hasattr(part, "_fields") else tuple(made)
    return part


def seconds(step: Callable[[], Tensor], network: TranslatorNetwork, repeats: int) -> float:
    times = []
    for _ in range(repeats + 3):
        network.zero_grad()
        began = time.perf_counter()
        step().backward()
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:])


if __name__ == "__main__":
    main()
