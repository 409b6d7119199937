"""Writing text in one call: draw a token, read it (embedding, stacked cells, head), and so on for a whole stretch.

Nothing is allocated on the way, and the weights are packed once, in ``Writer``. Where it is small enough, the embedding
together with the first layer's W becomes a table with a row for each token.

The draw has two parts, which decoding/sampling.py uses too: ``distribute`` makes probabilities of logits, and
``choose`` picks.
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
    give_way,
    load,
    prefetch,
    put_byte,
    put_double,
    put_integer,
    read_atomically,
    store,
    write_atomically,
)

RELU, GRU, LSTM = 1, 2, 3  # the kernel's names for the modes; 0 is the RNN with tanh
MODES = {"RNN_TANH": 0, "RNN_RELU": RELU, "GRU": GRU, "LSTM": LSTM}
CLOCK = 16  # int64 from one ticket's memory to another's: two cache lines, as processors fetch them in pairs
PATIENCE = 10_000  # how often to look for the others before letting another thread have the core
THREADS_FROM = 1 << 19  # bytes of weights from which on several threads share one step
TABLE_LIMIT = 1 << 23  # numbers in the table of the first layer, 32 MB

# where the options of a draw lie among five float64
TEMPERATURE, TOP_K, TOP_P, PENALTY, GREEDY, OPTIONS = range(6)


# ---------------------------------------------------------------- the draw


@inline
def sift_down(probs: int, order: int, at: int, size: int) -> None:
    """Let a token sink in a heap of ``size`` tokens whose top is the likeliest; of equals, the one of lower number."""
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
    """Move the heap's likeliest token behind the heap, which shrinks to ``size - 1``; return it."""
    token = get_integer(order, 0)
    put_integer(order, 0, get_integer(order, size - 1))
    put_integer(order, size - 1, token)
    sift_down(probs, order, 0, size - 1)
    return token


@inline
def keep_likeliest(probs: int, size: int, top_k: int, top_p: float, total: float, order: int) -> float:
    """Set all weights to zero but those of the ``top_k`` likeliest, and of these the fewest that reach ``top_p``.

    Returns:
        The sum of the weights kept; ``total`` is that of all.
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
        seen: (V,) bytes, 1 for the tokens that the repetition penalty meets; or 0 for none.
        order: (V,) int64, room to work in.

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
        total = keep_likeliest(probs, size, top_k if 0 < top_k < size else size, top_p, total, order)
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
    """Lay out the options of one row's draws as the kernels read them: five float64."""
    return torch.tensor([temperature, top_k, top_p, repetition_penalty, greedy], dtype=torch.float64, device=CPU)


# ---------------------------------------------------------------- a stretch of text

# What the kernel knows of a layer, as int64 in ``plan``: addresses.
W, U, BIAS, FIELDS = range(4)


@kernel
def write(
    ticket: int, tickets: int, clocks: int, streams: int, count: int, mode: int, vocab_size: int, num_layers: int,
    size: int, plan: int, first: int, first_size: int, head: int, head_bias: int,
    hidden: int, new_hidden: int, cell: int, logits: int, uniforms: int, options: int, seen: int,
    gates: int, embedded: int, probs: int, order: int, apart: int, ids: int,
) -> None:  # fmt: skip
    """Draw and read ``count`` tokens in every stream.

    All tickets run at the same time; each computes its share of every layer's units. So each thread reads its share of
    the weights, over and over, from its own cache. What a ticket has computed it announces; before it reads what the
    others have, it waits for them, and until then computes what can be known already: U h of the next layer, and of the
    first one in the next step.

    Args:
        ticket, tickets: which share; where there are several, H must be a multiple of ``WIDTH``.
        clocks: (tickets, CLOCK) int64, 0 on entry; the first of each row counts what its ticket has announced.
        streams, count: N and T.
        mode: 0 to 3, see ``MODES``.
        vocab_size, num_layers, size: V, L and H.
        plan: (L, FIELDS) int64, the layers.
        first, first_size: a row for each token: its W x if W of the first layer is 0, else its embedding.
        head, head_bias: Vᵀ in panels, and (N, V) what is added to the logits.
        hidden, cell: (L, N, H), brought up to date.
        new_hidden: (L, N, H), room for the states that follow.
        logits: (N, V) float32, for the first token on entry, for the one after the last on return.
        uniforms: (N, T) float64 in 0 … 1.
        options: (N, 5) for the draws, see ``distribute``.
        seen: (N, V) bytes, brought up to date; or 0.
        gates: (L, N, 4H) float32, room to work in.
        embedded, probs, order: room for each ticket: (N, E) float32, V float64 and V int64.
        apart: how far the rooms of two tickets lie apart in ``probs`` and ``order``.
        ids: (N, T) int64, the tokens on return; for one stream (tickets, T), the tokens for each ticket.
    """
    low, high = share(size, ticket, tickets), share(size, ticket + 1, tickets)
    embedded += 4 * ticket * streams * first_size
    probs, order = probs + 8 * ticket * apart, order + 8 * ticket * apart
    my_streams = (streams - ticket + tickets - 1) // tickets  # ticket, ticket + tickets, and so on
    is_drawn_by_all = streams == 1  # rather than wait for another's draw, each ticket makes it as well
    if is_drawn_by_all:
        ids += 8 * ticket * count
    now = 0
    recur(plan, streams, mode, size, low, high, tickets, hidden, gates)
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
                recur(fields + 8 * FIELDS, streams, mode, size, low, high, tickets, hidden + at, gates + 4 * at)
            wait(clocks, now, tickets)
            if tickets > 1:  # call for the others' part at once; else the first product comes upon it line by line
                for j in range(0, streams * size, LANES):
                    prefetch(new_hidden, layer * streams * size + j)

        if seen != 0:  # not before all have drawn
            for row in range(my_streams):
                stream = ticket + row * tickets
                put_byte(seen + stream * vocab_size, get_integer(ids, stream * count + position), 1)
        top = new_hidden + 4 * (num_layers - 1) * streams * size
        say(ticket, tickets, streams, vocab_size, size, top, head, head_bias, logits)
        now = announce(clocks, now, ticket, tickets)
        hidden, new_hidden = new_hidden, hidden
        if position + 1 < count:
            recur(plan, streams, mode, size, low, high, tickets, hidden, gates)


@kernel
def say_next(
    ticket: int, tickets: int, streams: int, vocab_size: int, size: int, top: int, head: int, head_bias: int,
    logits: int,
) -> None:  # fmt: skip
    """Compute the logits that ``write`` begins with; the arguments are those of ``say``."""
    say(ticket, tickets, streams, vocab_size, size, top, head, head_bias, logits)


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
def say(
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
    """Say where a ticket's columns begin: at a panel's beginning, or at the end."""
    panels = -(-total // WIDTH)
    return min(total, panels * ticket // tickets * WIDTH)


@inline
def announce(clocks: int, now: int, ticket: int, tickets: int) -> int:
    """Let the other tickets know that what was to be computed until now is there; return the time that begins."""
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
                    give_way()  # the others may be waiting for this very core


# What follows computes the units ``low`` to ``high`` of one layer. A stream's gates lie side by side, (4, H); those
# of a GRU in the order n, r, z, m: n has no U h in it, and m no W x.


@inline
def add_product(
    streams: int, mode: int, size: int, low: int, high: int, tickets: int,
    start: int, start_stride: int, x: int, depth: int, panels: int, gates: int,
) -> None:  # fmt: skip
    """Set as many gates as the cell has, from the first given one on, to start + A x, where A lies in panels."""
    num_gates = 4 if mode == LSTM else (3 if mode == GRU else 1)
    for gate in range(num_gates if tickets > 1 else 1):  # one ticket computes all gates at once
        column, columns = gate * size + low, high - low if tickets > 1 else num_gates * size
        a, c = panels + 4 * column * depth, gates + 4 * column
        multiply_in_order(streams, columns, depth, start + 4 * column, start_stride, x, depth, a, c, 4 * size)


@inline
def recur(
    fields: int, streams: int, mode: int, size: int, low: int, high: int, tickets: int, h: int, gates: int
) -> None:
    """Begin a layer's step with what its past says: the gates become b + U h."""
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
    """Add W x of the first layer to the gates: from a table if W is 0, else by looking up the embeddings x."""
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
    """Refuse a language model's weights that do not fit together."""
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
    """A language model's weights, packed for writing.

    Args:
        mode: ``RNN_TANH``, ``RNN_RELU``, ``GRU`` or ``LSTM``.
        embedding: (V, E) float32 on the CPU, as all here.
        layers: for each layer weight_ih, weight_hh, bias_ih, bias_hh, as in torch.nn.
        head_weight: (V, H).
        head_bias: (V,), added to the logits; minus infinity for what no stream must write.

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
        self._kept: list[Tensor] = []  # what the plan's addresses point at
        rows = []
        for layer, (weight_ih, weight_hh, bias_ih, bias_hh) in enumerate(layers):
            w, u, b, b_m = (tensor.detach() for tensor in (weight_ih, weight_hh, bias_ih, bias_hh))
            if mode == "GRU":  # torch's order is r, z, n; and the last of b_m stands inside the product with r
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
        """The bytes of weights that are read for each token."""
        panels = sum(tensor.numel() for tensor in self._kept) + self._head.numel()
        return 4 * panels

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        return tensor.data_ptr()

    def next_logits(self, state: Sequence[Tensor]) -> Tensor:
        """Return the logits (N, V) of the token after what the state has read, to the bit as ``write`` computes them.

        Args:
            state: hidden (L, N, H) float32, and for the LSTM the cell.

        Raises:
            UsageError: a shape or a dtype does not fit.
        """
        streams = self._check_state(state)
        logits = torch.empty(streams, self._vocab_size, dtype=torch.float32, device=CPU)
        top, bias, tickets = state[0][-1].contiguous(), self._bias(streams, None), self._num_threads()
        addresses = (tensor.data_ptr() for tensor in (top, self._head, bias, logits))
        run(say_next, tickets, streams, self._vocab_size, self._size, *addresses, tickets=tickets)
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
        """Write a stretch of text in N streams: draw a token, read it, and so on.

        What a stream draws, its logits and its state are the same to the bit whichever streams are written beside it,
        and into however many calls a stretch is cut.

        Args:
            logits: (N, V) float32 for the first token; brought up to date.
            state: hidden (L, N, H) float32, and for the LSTM the cell; brought up to date.
            uniforms: (N, T) float64 in 0 … 1, one for each draw.
            options: (N, 5), each row as ``draw_options`` lays it out.
            seen: (N, V) booleans, brought up to date; only the repetition penalty asks.
            forbidden: (N, V) booleans, the tokens that each stream must not write after the first one.

        Returns:
            (N, T) int64 ids; the state has read all of them.

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
        """Refuse a state that is not this network's; return of how many streams it is."""
        names = ("hidden", "cell") if self._mode == "LSTM" else ("hidden",)
        if len(state) != len(names):
            raise UsageError(f"the state has {len(state)} parts, expected {' and '.join(names)} of {self._mode}")
        for name, part in zip(names, state, strict=True):
            check(name, part, (len(self._plan), "N" if streams is None else streams, self._size), device=CPU)
            streams = part.shape[1]
        assert streams is not None
        return streams

    def _bias(self, streams: int, forbidden: Tensor | None) -> Tensor:
        """Return what is added to each stream's logits (N, V)."""
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
        tickets, apart = self._num_threads(), -(-self._vocab_size // CLOCK) * CLOCK
        rooms = (
            logits.new_empty(len(self._plan), streams, 4 * self._size),
            logits.new_empty(tickets, streams, self._first.shape[1]),
            uniforms.new_empty(tickets, apart),
            self._plan.new_empty(tickets, apart),
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
            *(room.data_ptr() for room in rooms), apart, ids.data_ptr(), tickets=tickets,
        )  # fmt: skip
        if count % 2:
            state[0].copy_(new_hidden)
        return ids[:streams]

    def _num_threads(self) -> int:
        """Take several threads where waiting for each other costs less than they save."""
        if IS_JIT_OFF or self._size % WIDTH or self.num_bytes < THREADS_FROM:  # Python's tickets do not run together
            return 1
        return min(torch.get_num_threads(), self._size // WIDTH)
