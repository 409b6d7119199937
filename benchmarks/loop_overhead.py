"""Overhead of the training loop: tokens per second against a bare torch.nn loop with the same model and batch.

Both train the same network on the same random text, in turn, round after round in one process. Reports medians.

    python benchmarks/loop_overhead.py [--rounds 7] [--steps 60] [--hidden-size 384] [--json]
"""

import argparse
import json
import platform
import statistics
import time

import torch
from torch import nn

import elman
from elman.nn.dropout import LockedDropout


class Bare(nn.Module):
    """The default language model around torch.nn's own LSTM."""

    def __init__(self, vocab_size: int, embedding_size: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.dropout = LockedDropout(dropout)
        self.rnn = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, inputs, state):
        """Compute logits and the next state."""
        hidden, state = self.rnn(self.embedding(inputs), state)
        return self.head(self.dropout(hidden)), state


def bare_tokens_per_second(ids: torch.Tensor, vocab_size: int, model: elman.LanguageModel) -> float:
    """Train for ``model.steps`` steps with a loop of a dozen lines."""
    torch.manual_seed(1)
    network = Bare(vocab_size, 64, model.hidden_size, model.dropout).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=model.learning_rate, betas=(0.9, 0.99), fused=True)
    stream = (len(ids) - 1) // model.batch_size
    inputs = ids[: stream * model.batch_size].view(model.batch_size, stream)  # (B, N)
    targets = ids[1 : stream * model.batch_size + 1].view(model.batch_size, stream)
    state, seconds = None, 0.0
    for step in range(model.steps):
        began = time.perf_counter()
        start = step * model.bptt_length
        chunk = slice(start, start + model.bptt_length)
        logits, state = network(inputs[:, chunk], state)
        state = tuple(part.detach() for part in state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, chunk].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), model.clip_norm)
        optimizer.step()
        seconds += time.perf_counter() - began
    return model.steps * model.batch_size * model.bptt_length / seconds


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--hidden-size", type=int, default=elman.LanguageModel().hidden_size)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    characters = [chr(code) for code in range(33, 98)]
    tokens = (given.steps + 2) * 64 * 16
    picks = torch.randint(len(characters), (tokens,), generator=torch.Generator().manual_seed(0))
    text = "".join(characters[pick] for pick in picks.tolist())
    valid = text[:200]
    ours, bare = [], []
    for _ in range(given.rounds):
        model = elman.LanguageModel(hidden_size=given.hidden_size, steps=given.steps, evaluations=1, dropout=0.1)
        model.fit(text, valid=valid)
        ours.append(model.metrics_["train"]["tokens_per_second"])
        ids = torch.from_numpy(model.tokenizer_.encode(text).astype("int64"))
        bare.append(bare_tokens_per_second(ids, model.tokenizer_.vocab_size, model))
    row = {
        "hidden_size": given.hidden_size,
        "threads": torch.get_num_threads(),
        "elman_tokens_per_second": statistics.median(ours),
        "torch_tokens_per_second": statistics.median(bare),
        "ratio": statistics.median(ours) / statistics.median(bare),
    }
    if given.json:
        print(json.dumps(row))
        return
    print(f"{platform.processor() or platform.machine()}, {row['threads']} threads, torch {torch.__version__}")
    print(
        f"LSTM {given.hidden_size}, batch 16, bptt 64, {given.rounds} rounds of {given.steps} steps, medians: "
        f"elman {row['elman_tokens_per_second']:,.0f} tokens/s, bare torch.nn loop "
        f"{row['torch_tokens_per_second']:,.0f}, ratio {row['ratio']:.3f}"
    )


if __name__ == "__main__":
    main()
