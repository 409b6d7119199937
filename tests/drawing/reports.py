"""Made-up reports, with states that the reference cells compute from random weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elman.drawing.report import (
    AttributionPlot,
    ContextPlot,
    GradientCurve,
    GradientPlot,
    Holding,
    LayerStates,
    ModelReport,
    NetworkPlan,
    Outputs,
    ParameterRow,
    StackPlan,
    StackRun,
    Terms,
    UnitScore,
)
from elman.nn.cells import CELLS


def made_up(
    text: Sequence[str] = tuple("the rain in spain falls mainly on the plain\n" * 2),
    *,
    cell: str = "lstm",
    hidden_size: int = 24,
    num_layers: int = 1,
    directions: int = 1,
    name: str = "runs/example",
    pooling: str | None = None,
    crf: bool = False,
    kind: str = "one",
    seed: int = 0,
) -> ModelReport:
    """Return a report with every section, for one stack, an encoder and a decoder (``pair``), or a ``picture``."""
    random = np.random.default_rng(seed)
    names = {"pair": ("encoder", "decoder"), "picture": ("decoder",)}.get(kind, ("rnn",))
    inputs = (
        {"encoder": list(text), "decoder": ["<s>", "eine", "Ausgabe", "aus", "Wörtern"]}
        if kind != "one"
        else {"rnn": list(text)}
    )
    plans, runs = [], {}
    for stack in names:
        double = 1 if stack == "decoder" else directions
        plan = StackPlan(
            name=stack,
            cell=cell,
            input_size=16,
            hidden_size=hidden_size,
            gates=CELLS[cell].gates,
            state=CELLS[cell].state,
            num_layers=num_layers,
            directions=double,
            reads_hidden=CELLS[cell].reads_hidden,
        )
        plans.append(plan)
        runs[stack] = StackRun(tokens=inputs[stack], layers=_layers(plan, inputs[stack], random))
    length = len(runs[names[-1]].tokens)
    vocabulary = sorted(set(text)) if kind == "one" else ["eine", "Ausgabe", "aus", "Wörtern", "</s>"]
    shares = np.sort(random.dirichlet(np.full(min(len(vocabulary), 10), 0.4), size=length))[:, ::-1]
    steps = [length - 1] if pooling else list(range(length))
    picked = [[vocabulary[place] for place in random.permutation(len(vocabulary))[: shares.shape[1]]] for _ in steps]
    lags = np.arange(1, min(length, 48) + 1)
    targets = list(range(length // 4, length, max(1, length // 9))) or [length - 1]
    return ModelReport(
        name=name,
        task="Language model",
        source=f"{length} tokens of made-up.txt",
        network=NetworkPlan(
            stacks=tuple(plans),
            parameters=_parameters(plans, len(vocabulary)),
            num_outputs=len(vocabulary),
            vocabulary=len(vocabulary),
            reads="character",
            pooling=pooling,
            crf=crf,
            attention="luong" if kind != "one" else None,
            regions=(7, 7) if kind == "picture" else None,
            features=512,
        ),
        runs=runs,
        outputs=Outputs(
            steps=steps,
            names=picked,
            probabilities=shares[: len(steps)].tolist(),
            targets=[row[1] if len(row) > 1 else row[0] for row in picked],
            losses=(-np.log(shares[: len(steps), min(1, shares.shape[1] - 1)] + 1e-6)).tolist(),
            target_probabilities=shares[: len(steps), min(1, shares.shape[1] - 1)].tolist(),
        ),
        attention=random.dirichlet(np.ones(len(text) if kind == "pair" else 49), size=length)
        if kind != "one"
        else None,
        gradients=GradientPlot(
            targets=targets,
            curves=[
                _curve(f"layer {layer + 1} · {part}", lags, targets, 0.8 + 0.1 * place, random)
                for layer in range(num_layers)
                for place, part in enumerate("hc" if cell == "lstm" else "h")
            ],
            verdict="vanishing",
            explanation="Gradients fall to 1/e after 9 steps; training goes back 32.",
            remedy="Try --cell lstm, or --forget-bias 2.",
            truncated_at=32,
        ),
        context=ContextPlot(
            lags=[1, 2, 4, 8, 16, 32, 64],
            losses=[2.41, 2.02, 1.71, 1.55, 1.49, 1.47, 1.465],
            ngram_losses=[2.45, 2.05, 1.76, 1.98, 2.4],
            whole=1.463,
        ),
        holding=[Holding(name="last state", shares=_shares(length))] if pooling else [],
        units=[
            UnitScore(
                feature="inside quotes", layer=0, part="hidden", unit=3, score=0.97, bound=0.61, effect="loss +0.08"
            ),
            UnitScore(feature="position in line", layer=0, part="hidden", unit=7, score=0.88, measure="|r|", bound=0.2),
        ],
        attributions=[
            AttributionPlot(
                target="“e” at step 12",
                method="integrated gradients",
                scores=random.normal(size=len(text)) * _shares(len(text)),
                tokens=list(text),
                completeness=0.004,
            )
        ],
        figures={
            "Loss": "1.463 nats per token",
            "Parameters": "17,000",
            "Reach": "9 steps",
            "Cell": f"{cell} × {num_layers}",
        },
    )


def _layers(plan: StackPlan, tokens: Sequence[str], random: np.random.Generator) -> list[LayerStates]:
    """Run every layer and direction with the reference cell."""
    cell, size = CELLS[plan.cell].reference, plan.hidden_size
    vectors = {token: random.normal(size=plan.input_size) for token in dict.fromkeys(tokens)}
    inputs = np.stack([vectors[token] for token in tokens])  # (T, I)
    layers = []
    for layer in range(plan.num_layers):
        outputs = []
        for is_reverse in (False, True)[: plan.directions]:
            W = random.normal(size=(plan.rows, inputs.shape[1])) * 0.4  # noqa: N806
            U = random.normal(size=(plan.rows, size)) * 0.9 / np.sqrt(size) * plan.reads_hidden  # noqa: N806
            biases = random.normal(size=(2, plan.rows)) * 0.2
            if "forget" in plan.gates:
                biases[0, size : 2 * size] += np.linspace(-1, 5, size)
            state = tuple(np.zeros((1, size)) for _ in plan.state)
            kept: dict[str, list[np.ndarray]] = {}
            order = range(len(inputs))[:: -1 if is_reverse else 1]
            for step in order:
                from_input, from_hidden = inputs[step : step + 1] @ W.T, state[0] @ U.T
                state, saved = cell.forward(from_input + biases[0], from_hidden + biases[1], state)
                row = dict(zip(plan.state, state, strict=True)) | {"from_input": from_input, "from_hidden": from_hidden}
                row |= {f"gate {gate}": value for gate, value in zip(plan.gates, saved, strict=False)}
                for part, value in row.items():
                    kept.setdefault(part, []).append(value[0])
            arrays = {part: np.stack(rows)[:: -1 if is_reverse else 1] for part, rows in kept.items()}  # (T, …)
            ins, past = arrays["from_input"], arrays["from_hidden"]
            layers.append(
                LayerStates(
                    layer=layer,
                    is_reverse=is_reverse,
                    hidden=arrays["hidden"],
                    cell=arrays.get("cell"),
                    gates={gate: arrays[f"gate {gate}"] for gate in plan.gates} if len(plan.gates) > 1 else {},
                    sizes=np.stack([np.linalg.norm(ins, axis=1), np.linalg.norm(past, axis=1)], axis=1),
                    terms=Terms(from_input=ins, from_hidden=past, bias_input=biases[0], bias_hidden=biases[1])
                    if size <= 16
                    else None,
                )
            )
            outputs.append(arrays["hidden"])
        inputs = np.concatenate(outputs, axis=1)
    return layers


def _parameters(plans: Sequence[StackPlan], num_outputs: int) -> tuple[ParameterRow, ...]:
    rows = [ParameterRow(name="embedding.weight", symbol="", shape=(num_outputs, 16))]
    for plan in plans:
        for layer in range(plan.num_layers):
            for suffix in ("", "_reverse")[: plan.directions]:
                size = plan.input_size if layer == 0 else plan.output_size
                rows.append(
                    ParameterRow(name=f"{plan.name}.weight_ih_l{layer}{suffix}", symbol="W", shape=(plan.rows, size))
                )
                rows.append(
                    ParameterRow(
                        name=f"{plan.name}.weight_hh_l{layer}{suffix}", symbol="U", shape=(plan.rows, plan.hidden_size)
                    )
                )
                rows.append(ParameterRow(name=f"{plan.name}.bias_ih_l{layer}{suffix}", symbol="b", shape=(plan.rows,)))
    return (*rows, ParameterRow(name="head.weight", symbol="V", shape=(num_outputs, plans[-1].output_size)))


def _curve(
    name: str, lags: np.ndarray, targets: Sequence[int], factor: float, random: np.random.Generator
) -> GradientCurve:
    norms = 0.2 * factor**lags * np.exp(random.normal(size=(len(targets), len(lags))) * 0.4)  # (R, K)
    norms[lags > np.asarray(targets)[:, None] + 1] = np.nan
    mean = np.nanmean(norms, axis=0)
    below = [
        int(np.argmax(mean < mean[0] * share)) + 1 if (mean < mean[0] * share).any() else None
        for share in (1 / np.e, 0.01)
    ]
    lower, upper = np.nanquantile(norms, (0.25, 0.75), axis=0)
    return GradientCurve(
        name=name,
        norms=norms,
        origins=targets,
        mean=mean,
        lower=lower,
        upper=upper,
        reach=below[0],
        reach_percent=below[1],
    )


def _shares(length: int) -> np.ndarray:
    shares = np.exp(-np.arange(length)[::-1] / (length / 4))
    return shares / shares.sum()
