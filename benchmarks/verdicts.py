"""Follow the verdicts on small tasks whose dependencies are known: networks made faulty on purpose, and healthy ones.

    python benchmarks/verdicts.py [--tasks test|chosen|all] [--seeds 3] [--steps 250] [--only NAME]

Each network of ``benchmarks/verdict_trials.py`` is trained for the same number of steps and judged on held-out data.
Then the flags that the verdict names are set, all of them, and the network is trained again for as many steps. The
figures are held-out nats per target, means over the seeds. The thresholds were chosen on the tasks "chosen"; the tasks
"test" had no say in them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from verdict_trials import TASKS, Data, Task, Way, starting, ways

from elman.errors import DivergedError
from elman.families.verdicts import Verdict
from elman.inspection import gradient_by_lag

BETTER = 0.01  # a figure that is lower by this share has improved
JUDGED = 300  # examples, or
JUDGED_STEPS = 1000  # steps of a text


@dataclass
class Result:
    """What became of one network."""

    truth: str
    kind: str
    flags: str
    before: float
    after: float | None

    @property
    def has_improved(self) -> bool:
        """Whether following the verdict lowered the loss."""
        return self.after is not None and self.after < (1 - BETTER) * self.before


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", choices=("test", "chosen", "all"), default="all")
    parser.add_argument("--only", default="", help="tasks or networks whose name contains this")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=250)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results: list[Result] = []
    print("| task | network | made to be | verdict | change | before | after | seeds improved |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for task in TASKS:
        if options.tasks not in ("all", "test" if task.is_test else "chosen"):
            continue
        data = task.data()
        for way in ways(task):
            if options.only in f"{task.name}: {way.name}":
                own = [follow(task, way, data, options.steps, seed) for seed in range(1, options.seeds + 1)]
                print(describe(task, way, own), flush=True)
                results += own
    print()
    print("| made to be | networks | found | verdict with a change | of these improved | left alone |")
    print("|---|---|---|---|---|---|")
    for truth in dict.fromkeys(result.truth for result in results):
        own = [result for result in results if result.truth == truth]
        changed = [result for result in own if result.after is not None]
        found = sum(result.kind == truth for result in own)
        improved = sum(result.has_improved for result in changed)
        print(f"| {truth} | {len(own)} | {found} | {len(changed)} | {improved} | {len(own) - len(changed)} |")


def follow(task: Task, way: Way, data: Data, steps: int, seed: int) -> Result:
    """Train a network, judge it, and train it again as the verdict says."""
    settings = {**task.settings, **way.settings, "seed": seed, "steps": max(int(steps * way.share), 1)}
    before, verdict = train(task, way, data, settings)
    after = None
    if verdict.remedies:
        changed = {**settings, **{remedy.setting: remedy.value for remedy in verdict.remedies}}
        after, _ = train(task, way, data, changed, is_judged=False)
    return Result(way.truth, verdict.kind, " ".join(remedy.flag for remedy in verdict.remedies), before, after)


def train(task: Task, way: Way, data: Data, settings: dict[str, Any], is_judged: bool = True) -> tuple[float, Verdict]:
    """Return the held-out loss of a network, and the verdict on it."""
    targets, held_out_targets = data.train_targets, data.held_out_targets
    has_targets = targets is not None
    try:
        with starting(way.start):
            model = task.make(**settings).fit(
                data.train,
                *([targets] if has_targets else []),
                valid=(data.held_out, held_out_targets) if has_targets else data.held_out,
            )
    except DivergedError as error:
        return float("inf"), Verdict("diverged", str(error))
    figure = next(value for name, value in model.metrics_["valid"].items() if name.startswith("nats_per_"))
    if not is_judged:
        return figure, Verdict("", "")
    some = (data.held_out[:JUDGED], held_out_targets[:JUDGED]) if has_targets else (data.held_out,)
    steps = None if has_targets else JUDGED_STEPS
    return figure, gradient_by_lag(model, *some, losses=32, lags=48, steps=steps).verdict


def describe(task: Task, way: Way, results: list[Result]) -> str:
    """Return a row of the table."""
    kinds = Counter(result.kind for result in results)
    verdict = ", ".join(kind if number == len(results) else f"{kind} ({number})" for kind, number in kinds.items())
    flags = " or ".join(dict.fromkeys(f"`{result.flags}`" for result in results if result.flags)) or "none"
    changed = [result for result in results if result.after is not None]
    before = sum(result.before for result in results) / len(results)
    after = f"{sum(result.after or 0 for result in changed) / len(changed):.3f}" if changed else ""
    improved = f"{sum(result.has_improved for result in changed)} of {len(changed)}" if changed else ""
    row = [task.name, way.name, way.truth, verdict, flags, f"{before:.3f}", after, improved]
    return f"| {' | '.join(row)} |"


if __name__ == "__main__":
    main()
