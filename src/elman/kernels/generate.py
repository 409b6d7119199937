"""The whole sampling loop in one call: draw a token, feed it to the network (embedding, stacked cells, head), repeat.

The loop allocates nothing, and ``Writer`` packs the weights once. If it is small enough, the product of the embedding
and the first layer's W is stored as a table with a row for each token.

A draw has two parts, which decoding/sampling.py also uses: ``distribute`` turns logits into probabilities, and
``choose`` picks a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from elman.errors import UsageError, suggest
from elman.kernels.activations import exp
from elman.kernels.checks import CPU, check
from elman.kernels.compiler import IS_JIT_OFF, inline, kernel, linked
from elman.kernels.gru import gru
from elman.kernels.lstm import lstm
from elman.kernels.ops import GATES
from elman.kernels.rnn import rnn
from elman.kernels.threads import run, run_together
from elman.kernels.tile import WIDTH, multiply_in_order, pack_panels
from elman.kernels.vector import (
    LANES,
    get,
    get_byte,
    get_double,
    get_integer,
    load,
    prefetch,
    put_byte,
    put_double,
    put_integer,
    read_atomically,
    store,
    write_atomically,
    yield_thread,
)

RELU, GRU, LSTM = 1, 2, 3  # the modes in the kernel; 0 is the RNN with tanh
MODES = {"RNN_TANH": 0, "RNN_RELU": RELU, "GRU": GRU, "LSTM": LSTM}
CLOCK = 16  # int64 between the clocks of two tickets: two cache lines, since processors fetch pairs of them
PATIENCE = 10_000  # polls of another ticket's clock before yielding the core
THREADS_FROM = 1 << 19  # bytes of weights from which several threads share each step
TABLE_LIMIT = 1 << 23  # numbers in the table of the first layer, 32 MB

# the indices of a draw's options, five float64
TEMPERATURE, TOP_K, TOP_P, PENALTY, GREEDY, OPTIONS = range(6)


# ---------------------------------------------------------------- the draw


@inline
def sift_down(probs: int, order: int, at: int, size: int) -> None:
    """Sift a token down in a heap of ``size`` tokens with the most likely on top; ties go to the lower id."""
    token = get_integer(order, at)
    weight = get_double(probs, token)
    while 2 * at + 1 < size:
        child = 2 * at + 1
        below = get_integer(order, child)
        if child + 1 < size:
            other = get_integer(order, child + 1)
            weights = get_double(probs, other), get_double(probs, below)
            if weights[0] > weights[1] or (weights[0] == weights[1] and other < below):
                child, below = child + 1, other
        if not (get_double(probs, below) > weight or (get_double(probs, below) == weight and below < token)):
            break
        put_integer(order, at, below)
        at = child
    put_integer(order, at, token)


@inline
def pop(probs: int, order: int, size: int) -> int:
    """Move the heap's most likely token behind the heap, which shrinks to ``size - 1``; return the token."""
    token = get_integer(order, 0)
    put_integer(order, 0, get_integer(order, size - 1))
    put_integer(order, size - 1, token)
    sift_down(probs, order, 0, size - 1)
    return token


@inline
def keep_most_probable(probs: int, size: int, top_k: int, top_p: float, total: float, order: int) -> float:
    """Keep the weights of the ``top_k`` most likely tokens, of these the fewest that reach ``top_p``; zero the rest.

    Returns:
        The sum of the weights kept; ``total`` is the sum of all.
    """
    for i in range(size):
        put_integer(order, i, i)
    for i in range(size // 2 - 1, -1, -1):
        sift_down(probs, order, i, size)
    if top_k < size:
        total = 0.0
        for popped in range(top_k):
            total += get_double(probs, pop(probs, order, size - popped))
    kept, reached = 0, 0.0
    while kept < top_k and reached < top_p * total:
        token = get_integer(order, size - 1 - kept) if top_k < size else pop(probs, order, size - kept)
        reached += get_double(probs, token)
        kept += 1
    for i in range(size - kept):
        put_double(probs, get_integer(order, i), 0.0)
    return reached


@linked
def distribute(probs: int, size: int, options: int, seen: int, order: int) -> None:
    """Turn logits into the probabilities that a token is drawn with, in place.

    Args:
        probs: (V,) float64, logits on entry, probabilities on return; they sum to 1.
        size: V.
        options: five float64: temperature, top-k (0 for all), top-p, repetition penalty, greedy (0 or 1).
        seen: (V,) bytes, 1 for the tokens that the repetition penalty applies to; or 0 for none.
        order: (V,) int64, scratch space.

    Source: see decoding/sampling.py.
    """
    penalty = get_double(options, PENALTY)
    if seen != 0 and penalty != 1.0:
        for i in range(size):
            if get_byte(seen, i) != 0:
                logit = get_double(probs, i)
                put_double(probs, i, logit / penalty if logit > 0.0 else logit * penalty)
    best = 0
    for i in range(1, size):
        if get_double(probs, i) > get_double(probs, best):
            best = i
    if get_double(options, GREEDY) != 0.0:
        for i in range(size):
            put_double(probs, i, 0.0)
        put_double(probs, best, 1.0)
        return

    highest, temperature, total = get_double(probs, best), get_double(options, TEMPERATURE), 0.0
    for i in range(size):
        put_double(probs, i, exp((get_double(probs, i) - highest) / temperature))  # at most 1: nothing overflows
    for i in range(size):
        total += get_double(probs, i)
    top_k, top_p = int(get_double(options, TOP_K)), get_double(options, TOP_P)
    if 0 < top_k < size or top_p < 1.0:
        total = keep_most_probable(probs, size, top_k if 0 < top_k < size else size, top_p, total, order)
    for i in range(size):
        put_double(probs, i, get_double(probs, i) / total)


@linked
def choose(probs: int, size: int, uniform: int, chosen: int) -> None:
    """Pick a token by inverting the cumulative distribution.

    Args:
        probs: (V,) float64 probabilities; they sum to 1.
        size: V.
        uniform: one float64 in 0 … 1, below 1.
        chosen: one int64, the token on return; never one of probability 0.
    """
    limit, reached, last = get_double(uniform, 0), 0.0, 0
    for i in range(size):
        prob = get_double(probs, i)
        if prob > 0.0:
            last = i
        reached += prob
        if reached > limit:
            break
    put_integer(chosen, 0, last)


@kernel
def distribute_rows(ticket: int, size: int, options: int, probs: int, seen: int, order: int) -> None:
    """Turn the logits of one row of (N, V) into probabilities; the arguments are those of ``distribute``."""
    row = ticket * size
    distribute(probs + 8 * row, size, options + 8 * OPTIONS * ticket, seen + row if seen != 0 else 0, order + 8 * row)


@kernel
def choose_rows(ticket: int, size: int, probs: int, uniform: int, chosen: int) -> None:
    """Pick a token for one row of (N, V)."""
    choose(probs + 8 * ticket * size, size, uniform + 8 * ticket, chosen + 8 * ticket)


def draw_options(
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    greedy: bool = False,
) -> Tensor:
    """Return the options of one row's draws in the layout of the kernels: five float64."""
    return torch.tensor([temperature, top_k, top_p, repetition_penalty, greedy], dtype=torch.float64, device=CPU)


# ---------------------------------------------------------------- the sampling loop

# the fields of a layer in ``plan``: addresses as int64
W, U, BIAS, FIELDS = range(4)


@kernel
def write(
    ticket: int, tickets: int, clocks: int, streams: int, count: int, mode: int, vocab_size: int, num_layers: int,
    size: int, plan: int, first: int, first_size: int, head: int, head_bias: int,
    hidden: int, new_hidden: int, cell: int, logits: int, uniforms: int, options: int, seen: int,
    gates: int, embedded: int, probs: int, order: int, scratch_stride: int, ids: int,
) -> None:  # fmt: skip
    """Draw and read ``count`` tokens in every stream.

    All tickets run at the same time, and each computes its share of every layer's units. So each thread reads its share
    of the weights over and over from its own cache. A ticket announces its results, and waits for the others before it
    reads theirs. Before it waits, it computes what it can already: U h of the next layer, or of the first layer in the
    next step.

    Args:
        ticket, tickets: which share; with several tickets, H must be a multiple of ``WIDTH``.
        clocks: (tickets, CLOCK) int64, 0 on entry; the first number of each row counts its ticket's announcements.
        streams, count: N and T.
        mode: 0 to 3, see ``MODES``.
        vocab_size, num_layers, size: V, L and H.
        plan: (L, FIELDS) int64, the layers.
        first, first_size: a row for each token: W x if the first layer's W is 0, else the embedding.
        head, head_bias: Vᵀ in panels, and the bias of the logits (N, V).
        hidden, cell: (L, N, H), updated.
        new_hidden: (L, N, H), space for the next states.
        logits: (N, V) float32, for the first token on entry, for the token after the last on return.
        uniforms: (N, T) float64 in 0 … 1.
        options: (N, 5) for the draws, see ``distribute``.
        seen: (N, V) bytes, updated; or 0.
        gates: (L, N, 4H) float32, scratch space.
        embedded, probs, order: scratch space for each ticket: (N, E) float32, V float64 and V int64.
        scratch_stride: the distance between the scratch space of two tickets in ``probs`` and ``order``.
        ids: (N, T) int64, the tokens on return; for one stream (tickets, T), the tokens of each ticket.
    """
    low, high = share(size, ticket, tickets), share(size, ticket + 1, tickets)
    embedded += 4 * ticket * streams * first_size
    probs, order = probs + 8 * ticket * scratch_stride, order + 8 * ticket * scratch_stride
    my_streams = (streams - ticket + tickets - 1) // tickets  # ticket, ticket + tickets and so on
    is_drawn_by_all = streams == 1  # instead of waiting for another ticket's draw, each ticket draws too
    if is_drawn_by_all:
        ids += 8 * ticket * count
    now = 0
    start_gates(plan, streams, mode, size, low, high, tickets, hidden, gates)
    for position in range(count):
        wait(clocks, now, tickets)
        for row in range(1 if is_drawn_by_all else my_streams):
            stream = 0 if is_drawn_by_all else ticket + row * tickets
            at = 8 * (stream * count + position)
            draw_token(stream, vocab_size, logits, uniforms + at, options, seen, probs, order, ids + at)
        if not is_drawn_by_all:
            now = announce(clocks, now, ticket, tickets)
            wait(clocks, now, tickets)

        for layer in range(num_layers):
            fields, at = plan + 8 * FIELDS * layer, 4 * layer * streams * size
            a = gates + 4 * at
            if layer > 0:
                below = new_hidden + at - 4 * streams * size
                w = get_integer(fields, W)
                add_product(streams, mode, size, low, high, tickets, a, 4 * size, below, size, w, a)
            else:
                look_up(
                    streams, count, mode, size, low, high, tickets, get_integer(fields, W), first, first_size,
                    embedded, ids + 8 * position, a,
                )  # fmt: skip
            activate(streams, mode, size, low, high, a, hidden + at, new_hidden + at, cell + at)
            now = announce(clocks, now, ticket, tickets)
            if layer + 1 < num_layers:
                at += 4 * streams * size
                start_gates(fields + 8 * FIELDS, streams, mode, size, low, high, tickets, hidden + at, gates + 4 * at)
            wait(clocks, now, tickets)
            if tickets > 1:  # prefetch the others' part at once instead of line by line in the first product
                for j in range(0, streams * size, LANES):
                    prefetch(new_hidden, layer * streams * size + j)

        if seen != 0:  # after all tickets have drawn
            for row in range(my_streams):
                stream = ticket + row * tickets
                put_byte(seen + stream * vocab_size, get_integer(ids, stream * count + position), 1)
        top = new_hidden + 4 * (num_layers - 1) * streams * size
        compute_logits(ticket, tickets, streams, vocab_size, size, top, head, head_bias, logits)
        now = announce(clocks, now, ticket, tickets)
        hidden, new_hidden = new_hidden, hidden
        if position + 1 < count:
            start_gates(plan, streams, mode, size, low, high, tickets, hidden, gates)


@kernel
def compute_next_logits(
    ticket: int, tickets: int, streams: int, vocab_size: int, size: int, top: int, head: int, head_bias: int,
    logits: int,
) -> None:  # fmt: skip
    """Compute the logits that ``write`` begins with; the arguments are those of ``compute_logits``."""
    compute_logits(ticket, tickets, streams, vocab_size, size, top, head, head_bias, logits)


@inline
def draw_token(
    stream: int,
    vocab_size: int,
    logits: int,
    uniform: int,
    options: int,
    seen: int,
    probs: int,
    order: int,
    chosen: int,
) -> None:
    """Draw a stream's next token from its logits."""
    for i in range(vocab_size):
        put_double(probs, i, get(logits, stream * vocab_size + i))
    seen_here = seen + stream * vocab_size if seen != 0 else 0
    distribute(probs, vocab_size, options + 8 * OPTIONS * stream, seen_here, order)
    choose(probs, vocab_size, uniform, chosen)


@inline
def compute_logits(
    ticket: int,
    tickets: int,
    streams: int,
    vocab_size: int,
    size: int,
    top: int,
    head: int,
    head_bias: int,
    logits: int,
) -> None:
    """Compute a ticket's share of the logits (N, V) from the hidden values of the top layer (N, H)."""
    low, high = share(vocab_size, ticket, tickets), share(vocab_size, ticket + 1, tickets)
    if low < high:
        bias, panels, out = head_bias + 4 * low, head + 4 * low * size, logits + 4 * low
        multiply_in_order(streams, high - low, size, bias, vocab_size, top, size, panels, out, vocab_size)


@inline
def share(total: int, ticket: int, tickets: int) -> int:
    """Return where a ticket's columns start, which is the start of a panel, or the end."""
    panels = -(-total // WIDTH)
    return min(total, panels * ticket // tickets * WIDTH)


@inline
def announce(clocks: int, now: int, ticket: int, tickets: int) -> int:
    """Announce to the other tickets that everything up to now is computed; return the next time."""
    if tickets > 1:
        write_atomically(clocks + 8 * CLOCK * ticket, now + 1)
    return now + 1


@inline
def wait(clocks: int, now: int, tickets: int) -> None:
    """Wait until all tickets have announced as much as this one."""
    if tickets > 1:
        for other in range(tickets):
            waited = 0
            while read_atomically(clocks + 8 * CLOCK * other) < now:
                waited += 1
                if waited % PATIENCE == 0:
                    yield_thread()  # the other ticket may need this core


# The functions below compute the units ``low`` to ``high`` of one layer. The gates of a stream are (4, H); those of a
# GRU are in the order n, r, z, m: n does not include U h, and m does not include W x.


@inline
def add_product(
    streams: int, mode: int, size: int, low: int, high: int, tickets: int,
    start: int, start_stride: int, x: int, depth: int, panels: int, gates: int,
) -> None:  # fmt: skip
    """Set the gates to start + A x, with A in panels; ``gates`` points at the first one."""
    num_gates = 4 if mode == LSTM else (3 if mode == GRU else 1)
    for gate in range(num_gates if tickets > 1 else 1):  # one ticket computes all gates at once
        column, columns = gate * size + low, high - low if tickets > 1 else num_gates * size
        a, c = panels + 4 * column * depth, gates + 4 * column
        multiply_in_order(streams, columns, depth, start + 4 * column, start_stride, x, depth, a, c, 4 * size)


@inline
def start_gates(
    fields: int, streams: int, mode: int, size: int, low: int, high: int, tickets: int, h: int, gates: int
) -> None:
    """Start a layer's step: set the gates to b + U h."""
    u, bias = get_integer(fields, U), get_integer(fields, BIAS)
    if mode == GRU:
        for stream in range(streams):
            for j in range(low, high, LANES):
                store(gates + 16 * stream * size, j, high - j, load(bias, j, high - j))
        bias, gates = bias + 4 * size, gates + 4 * size
    add_product(streams, mode, size, low, high, tickets, bias, 0, h, size, u, gates)


@inline
def look_up(
    streams: int, count: int, mode: int, size: int, low: int, high: int, tickets: int, w: int, first: int,
    first_size: int, embedded: int, ids: int, gates: int,
) -> None:  # fmt: skip
    """Add the first layer's W x to the gates: from the table if W is 0, otherwise from the embeddings x."""
    for stream in range(streams):
        row, a = first + 4 * get_integer(ids, stream * count) * first_size, gates + 16 * stream * size
        if w == 0:
            for gate in range(first_size // size):
                for j in range(gate * size + low, gate * size + high, LANES):
                    left = gate * size + high - j
                    store(a, j, left, load(a, j, left) + load(row, j, left))
        else:
            for j in range(0, first_size, LANES):
                store(embedded + 4 * stream * first_size, j, first_size - j, load(row, j, first_size - j))
    if w != 0:
        add_product(streams, mode, size, low, high, tickets, gates, 4 * size, embedded, first_size, w, gates)


@inline
def activate(
    streams: int, mode: int, size: int, low: int, high: int, gates: int, h: int, new_h: int, cell: int
) -> None:
    """Compute the layer's next state from its gates."""
    for stream in range(streams):
        a, at = gates + 16 * stream * size, 4 * stream * size
        for j in range(low, high, LANES):
            left = high - j
            if mode == LSTM:
                if_ = load(a, j, left), load(a, size + j, left)
                go = load(a, 2 * size + j, left), load(a, 3 * size + j, left)
                _, _, _, _, c_t, h_t = lstm(*if_, *go, load(cell + at, j, left))
                store(cell + at, j, left, c_t)
            elif mode == GRU:
                n, m = load(a, j, left), load(a, 3 * size + j, left)
                rz = load(a, size + j, left), load(a, 2 * size + j, left)
                _, _, _, h_t = gru(*rz, n, m, load(h + at, j, left))
            else:
                h_t = rnn(load(a, j, left), mode)
            store(new_h + at, j, left, h_t)


def _check_weights(
    mode: str, embedding: Tensor, layers: Sequence[Sequence[Tensor]], head_weight: Tensor, head_bias: Tensor
) -> None:
    """Check that the weights of a language model fit together."""
    if mode not in MODES:
        raise UsageError(f'mode="{mode}", expected one of {", ".join(MODES)}{suggest(mode, MODES)}')
    check("head_weight", head_weight, ("V", "H"), device=CPU)
    vocab_size, size = head_weight.shape
    if min(vocab_size, size, len(layers)) < 1:
        raise UsageError(f"{vocab_size} tokens, {size} units, {len(layers)} layers: expected at least one of each")
    check("head_bias", head_bias, (vocab_size,), device=CPU)
    check("embedding", embedding, (vocab_size, "E"), device=CPU)
    rows = GATES[mode] * size
    for layer, weights in enumerate(layers):
        if len(weights) != 4:
            raise UsageError(f"layer {layer} has {len(weights)} weights, expected W, U and two biases")
        columns = size if layer else embedding.shape[1]
        for name, weight, shape in zip(
            ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
            weights,
            ((rows, columns), (rows, size), (rows,), (rows,)),
            strict=True,
        ):
            check(f"{name}_l{layer}", weight, shape, device=CPU)


class Writer:
    """A language model's weights, packed for sampling.

    Args:
        mode: ``RNN_TANH``, ``RNN_RELU``, ``GRU`` or ``LSTM``.
        embedding: (V, E) float32 on the CPU, like all tensors here.
        layers: weight_ih, weight_hh, bias_ih and bias_hh of each layer, as in torch.nn.
        head_weight: (V, H).
        head_bias: (V,), added to the logits; minus infinity for tokens that no stream may write.

    Raises:
        UsageError: the weights do not fit together.
    """

    def __init__(
        self,
        mode: str,
        embedding: Tensor,
        layers: Sequence[Sequence[Tensor]],
        head_weight: Tensor,
        head_bias: Tensor,
    ) -> None:
        _check_weights(mode, embedding, layers, head_weight, head_bias)
        self._mode = mode
        self._vocab_size, size = head_weight.shape
        self._size = size
        self._kept: list[Tensor] = []  # the tensors that the plan points to
        rows = []
        for layer, (weight_ih, weight_hh, bias_ih, bias_hh) in enumerate(layers):
            w, u, b, b_m = (tensor.detach() for tensor in (weight_ih, weight_hh, bias_ih, bias_hh))
            if mode == "GRU":  # torch's order is r, z, n; the last part of b_m is inside the product with r
                w, b = (torch.cat([tensor[2 * size :], tensor[: 2 * size]]) for tensor in (w, b))
                bias = torch.cat([b, b_m[2 * size :]])
                bias[size : 3 * size] += b_m[: 2 * size]
            else:
                bias = b + b_m
            is_table = layer == 0 and len(embedding) * len(w) <= TABLE_LIMIT
            if layer == 0:
                with torch.autocast("cpu", enabled=False):
                    self._first = (embedding @ w.T if is_table else embedding).detach().contiguous()
            fields = {
                W: 0 if is_table else self._keep(pack_panels(w, transposed=True)),
                U: self._keep(pack_panels(u, transposed=True)),
                BIAS: self._keep(bias),
            }
            rows.append([fields[field] for field in range(FIELDS)])
        self._plan = torch.tensor(rows, dtype=torch.int64, device=CPU)
        self._head = pack_panels(head_weight.detach(), transposed=True)
        self._head_bias = head_bias.detach().contiguous()

    @property
    def num_bytes(self) -> int:
        """The number of bytes of weights read for each token."""
        panels = sum(tensor.numel() for tensor in self._kept) + self._head.numel()
        return 4 * panels

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        return tensor.data_ptr()

    def next_logits(self, state: Sequence[Tensor]) -> Tensor:
        """Return the logits (N, V) of the next token after a state, with the same bits as in ``write``.

        Args:
            state: hidden (L, N, H) float32, and the cell for the LSTM.

        Raises:
            UsageError: a shape or a dtype does not fit.
        """
        streams = self._check_state(state)
        logits = torch.empty(streams, self._vocab_size, dtype=torch.float32, device=CPU)
        top, bias, tickets = state[0][-1].contiguous(), self._bias(streams, None), self._num_threads()
        addresses = (tensor.data_ptr() for tensor in (top, self._head, bias, logits))
        run(compute_next_logits, tickets, streams, self._vocab_size, self._size, *addresses, tickets=tickets)
        return logits

    def write(
        self,
        logits: Tensor,
        state: Sequence[Tensor],
        uniforms: Tensor,
        options: Tensor,
        seen: Tensor | None = None,
        forbidden: Tensor | None = None,
    ) -> Tensor:
        """Write T tokens in N streams: draw a token, feed it to the network, and so on.

        The ids, logits and state of a stream have the same bits whichever streams are in the batch, and into however
        many calls the tokens are split.

        Args:
            logits: (N, V) float32 for the first token; updated.
            state: hidden (L, N, H) float32, and the cell for the LSTM; updated.
            uniforms: (N, T) float64 in 0 … 1, one for each draw.
            options: (N, 5), each row from ``draw_options``.
            seen: (N, V) booleans, updated; used by the repetition penalty only.
            forbidden: (N, V) booleans, the tokens that each stream must not write after the first one.

        Returns:
            (N, T) int64 ids; the state includes all of them.

        Raises:
            UsageError: a shape or a dtype does not fit.
        """
        check("uniforms", uniforms, ("N", "T"), torch.float64, CPU)
        streams = self._check_state(state, len(uniforms))
        check("logits", logits, (streams, self._vocab_size), device=CPU)
        if seen is not None:
            check("seen", seen, (streams, self._vocab_size), torch.bool, CPU)
        check("options", options, (streams, OPTIONS), torch.float64, CPU)
        bias = self._bias(streams, forbidden)
        given = [tensor for tensor in (logits, *state, seen) if tensor is not None]
        worked_on = [tensor.contiguous() for tensor in given]
        parts = worked_on[1 : 1 + len(state)]
        mask = None if seen is None else worked_on[-1]
        ids = self._write(worked_on[0], parts, uniforms.contiguous(), options.contiguous(), mask, bias)
        for tensor, copy in zip(given, worked_on, strict=True):
            if copy is not tensor:
                tensor.copy_(copy)
        return ids

    def _check_state(self, state: Sequence[Tensor], streams: int | None = None) -> int:
        """Check that a state fits this network; return its number of streams."""
        names = ("hidden", "cell") if self._mode == "LSTM" else ("hidden",)
        if len(state) != len(names):
            raise UsageError(f"the state has {len(state)} parts, expected {' and '.join(names)} of {self._mode}")
        for name, part in zip(names, state, strict=True):
            check(name, part, (len(self._plan), "N" if streams is None else streams, self._size), device=CPU)
            streams = part.shape[1]
        assert streams is not None
        return streams

    def _bias(self, streams: int, forbidden: Tensor | None) -> Tensor:
        """Return the bias of each stream's logits (N, V)."""
        bias = self._head_bias.expand(streams, -1)
        if forbidden is not None:
            check("forbidden", forbidden, (streams, self._vocab_size), torch.bool, CPU)
            bias = bias.masked_fill(forbidden, -torch.inf)
        return bias.contiguous()

    def _write(
        self,
        logits: Tensor,
        state: Sequence[Tensor],
        uniforms: Tensor,
        options: Tensor,
        seen: Tensor | None,
        bias: Tensor,
    ) -> Tensor:
        streams, count = uniforms.shape
        tickets, scratch_stride = self._num_threads(), -(-self._vocab_size // CLOCK) * CLOCK
        buffers = (
            logits.new_empty(len(self._plan), streams, 4 * self._size),
            logits.new_empty(tickets, streams, self._first.shape[1]),
            uniforms.new_empty(tickets, scratch_stride),
            self._plan.new_empty(tickets, scratch_stride),
        )
        ids = self._plan.new_empty(tickets if streams == 1 else streams, count)
        clocks = self._plan.new_zeros(tickets, CLOCK)
        new_hidden = torch.empty_like(state[0])
        plan, first, head = (tensor.data_ptr() for tensor in (self._plan, self._first, self._head))
        run_together(
            write, tickets, clocks.data_ptr(), streams, count, MODES[self._mode], self._vocab_size, len(self._plan),
            self._size, plan, first, self._first.shape[1], head, bias.data_ptr(),
            state[0].data_ptr(), new_hidden.data_ptr(), state[-1].data_ptr(),
            logits.data_ptr(), uniforms.data_ptr(), options.data_ptr(), 0 if seen is None else seen.data_ptr(),
            *(buffer.data_ptr() for buffer in buffers), scratch_stride, ids.data_ptr(), tickets=tickets,
        )  # fmt: skip
        if count % 2:
            state[0].copy_(new_hidden)
        return ids[:streams]

    def _num_threads(self) -> int:
        """Return how many threads to use: several if they save more than waiting for each other costs."""
        if IS_JIT_OFF or self._size % WIDTH or self.num_bytes < THREADS_FROM:  # in Python, tickets cannot run together
            return 1
        return min(torch.get_num_threads(), self._size // WIDTH)
