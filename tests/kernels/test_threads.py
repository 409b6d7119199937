"""Each ticket is taken once, by torch's threads or Python's, with the same results."""

import ctypes
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from elman.kernels import threads
from elman.kernels.compiler import kernel
from elman.kernels.threads import MASK_VARIABLE, layer, run, run_together
from elman.kernels.vector import add_atomically, get_integer, put_integer


@kernel
def count_tickets(ticket: int, counts: int, add: int) -> None:
    put_integer(counts, ticket, get_integer(counts, ticket) + add)


@kernel
def meet_and_part(ticket: int, arrived: int, slow: int, done: int) -> None:
    """Wait for the other of two tickets, then be done at once, or, if ``slow``, after a million turns."""
    add_atomically(arrived, 1)
    turns = 0
    while add_atomically(arrived, 0) < 2 and turns < 100_000_000:  # not for ever
        turns += 1
    if ticket == slow:
        for _ in range(1_000_000):
            add_atomically(arrived, 1)
    put_integer(done, ticket, 1 if turns < 100_000_000 else 2)


@pytest.fixture(params=["openmp", "python"])
def either_layer(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif layer() != "openmp":
        pytest.skip("torch's OpenMP library is not to be found")
    assert layer() == request.param


@pytest.mark.usefixtures("either_layer")
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("tickets", [0, 1, 2, 3, 7, 1000])
def test_each_ticket_is_taken_once(load, num_threads, tickets, count):
    num_threads(count)
    counts = np.zeros(tickets + 1, np.int64)
    for _ in range(3):
        run(load(count_tickets), counts.ctypes.data, 5, tickets=tickets)
    assert counts.tolist() == [15] * tickets + [0]


@pytest.mark.usefixtures("machine_code", "either_layer")
def test_tickets_run_at_the_same_time_and_all_are_done_when_run_returns(load, num_threads):
    num_threads(2)
    load(meet_and_part)
    for turn in range(10):  # the caller's own thread takes the quick ticket in some of them
        arrived, done = np.zeros(1, np.int64), np.zeros(2, np.int64)
        run(meet_and_part, arrived.ctypes.data, turn % 2, done.ctypes.data, tickets=2)
        assert done.tolist() == [1, 1]
        assert arrived[0] == 1_000_002


@pytest.mark.usefixtures("machine_code", "either_layer")
@pytest.mark.parametrize("count", [1, 2])
def test_tickets_that_wait_for_each_other_run_together_with_any_number_of_torch_threads(load, num_threads, count):
    num_threads(count)
    load(meet_and_part)
    arrived, done = np.zeros(1, np.int64), np.zeros(2, np.int64)
    run_together(meet_and_part, arrived.ctypes.data, 2, done.ctypes.data, tickets=2)
    assert done.tolist() == [1, 1]


@pytest.mark.usefixtures("machine_code")
@pytest.mark.parametrize("limit", [{"thread_limit": 7}, {"dynamic": 1}, {"in_parallel": 1}, {"max_active_levels": 0}])
def test_openmp_is_not_used_if_it_may_start_fewer_threads(load, limit, monkeypatch):
    asked = {"thread_limit": threads.UNLIMITED, "dynamic": 0, "in_parallel": 0, "max_active_levels": 1, **limit}
    answers = {name if name == "in_parallel" else f"get_{name}": answer for name, answer in asked.items()}
    openmp = SimpleNamespace(**{f"omp_{name}": lambda answer=answer: answer for name, answer in answers.items()})
    monkeypatch.setattr(threads, "_openmp", lambda: openmp)  # which has no GOMP_parallel
    arrived, done = np.zeros(1, np.int64), np.zeros(2, np.int64)
    run_together(load(meet_and_part), arrived.ctypes.data, 2, done.ctypes.data, tickets=2)
    assert done.tolist() == [1, 1]


TOGETHER = """
import torch
from elman.kernels.generate import Writer, draw_options
from elman.kernels import generate

generate.THREADS_FROM = 0
torch.set_num_threads(2)
layer = torch.nn.GRU(4, 64)
writer = Writer("GRU", torch.zeros(5, 4), layer.all_weights, torch.zeros(5, 64), torch.zeros(5))
state, uniforms = (torch.zeros(1, 1, 64),), torch.rand(1, 9, dtype=torch.float64)
print(writer.write(torch.zeros(1, 5), state, uniforms, draw_options()[None]).shape)
"""


@pytest.mark.usefixtures("machine_code")
@pytest.mark.parametrize("limit", [{"OMP_THREAD_LIMIT": 1}, {"OMP_DYNAMIC": "true"}, {"OMP_MAX_ACTIVE_LEVELS": 0}])
def test_no_thread_waits_forever_if_openmp_may_start_fewer(python, limit):
    assert python(TOGETHER, **limit) == "torch.Size([1, 9])\n"


@pytest.mark.usefixtures("either_layer")
@pytest.mark.parametrize("count", [1, 2])
def test_python_threads_at_once_do_not_take_each_others_tickets(load, num_threads, count):
    num_threads(count)
    load(count_tickets)

    def work(number):
        counts = np.zeros(50 + number, np.int64)
        for _ in range(20):
            run(count_tickets, counts.ctypes.data, number, tickets=len(counts))
        return counts

    with ThreadPoolExecutor(8) as pool:
        for number, counts in enumerate(pool.map(work, range(8))):
            assert counts.tolist() == [20 * number] * (50 + number)


@kernel
def wait_for_a_million_million(ticket: int, number: int) -> None:
    while add_atomically(number, 1) < 10**12:  # which adds 1; an atomic operation, so that each iteration really reads
        pass


@pytest.mark.usefixtures("machine_code", "either_layer")
def test_other_python_threads_run_meanwhile(load, num_threads):
    """A kernel does not hold the GIL: this one waits for a value that only another Python thread writes."""
    num_threads(1)
    load(wait_for_a_million_million)
    number = np.zeros(1, np.int64)
    waiting = threading.Thread(
        target=run, args=(wait_for_a_million_million, number.ctypes.data), kwargs={"tickets": 1}, daemon=True
    )
    waiting.start()
    deadline = time.monotonic() + 60
    while number[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert 0 < number[0] < 10**12
    number[0] = 10**12
    waiting.join(60)
    assert not waiting.is_alive()


@pytest.mark.usefixtures("machine_code")
def test_the_threads_are_those_of_torch(num_threads, monkeypatch, load):
    """As many as torch has, but no more than there are tickets; none where there is one."""
    asked_for = []

    def parallel(address, block, count, flags):
        asked_for.append(count)
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)(block)

    monkeypatch.setattr(threads, "_openmp", lambda: SimpleNamespace(GOMP_parallel=parallel))
    counts = np.zeros(9, np.int64)
    for count, tickets in ((1, 9), (2, 9), (3, 9), (3, 2), (3, 1), (3, 0)):
        num_threads(count)
        run(load(count_tickets), counts.ctypes.data, 1, tickets=tickets)
    assert asked_for == [2, 3, 2]
    assert counts.tolist() == [5, 4, *[3] * 7]


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2, 3)])
def test_a_wrong_number_of_arguments_is_refused(arguments):
    with pytest.raises(TypeError, match=r"count_tickets.* argument"):
        run(count_tickets, *arguments, tickets=1)


TRAIN = """
import torch
from elman.nn.recurrent import GRU, LSTM, RNN

def train(make):
    torch.manual_seed(0)
    network = make(3, 33, 2, bidirectional=True, backend="fused")
    outputs, _ = network(torch.randn(6, 9, 3), lengths=torch.tensor([6, 0, 3, 6, 1, 2, 6, 5, 4]))
    outputs.square().sum().backward()
    return [outputs.detach(), *(weight.grad for weight in network.parameters())]

found = [tensor for make in (RNN, GRU, LSTM) for tensor in train(make)]
"""
MASKED = f"""
import os
import signal
import torch
from elman.kernels.threads import layer

torch.set_num_threads(2)
print(layer())
{TRAIN}
torch.save(found, os.environ["RESULTS"])
"""
FORKED = f"""
import os
import signal
import torch

torch.set_num_threads(2)
{TRAIN}
if hasattr(os, "fork"):  # the child starts threads of its own
    process = os.fork()
    if process == 0:
        signal.alarm(60)
        os._exit(0 if all(map(torch.equal, train(LSTM), found[-17:])) else 1)
    assert os.waitpid(process, 0)[1] == 0
"""


@pytest.mark.usefixtures("machine_code")
def test_without_openmp_python_threads_give_the_same_bits(python, tmp_path, num_threads):
    num_threads(2)
    scope = {}
    exec(TRAIN, scope)
    assert python(MASKED, RESULTS=tmp_path / "results", **{MASK_VARIABLE: "1"}) == "python\n"
    # The same tickets on the same machine code, whoever runs them: to the bit.
    masked = torch.load(tmp_path / "results")
    assert len(masked) == len(scope["found"])
    assert all(map(torch.equal, masked, scope["found"]))


@pytest.mark.usefixtures("machine_code")
@pytest.mark.parametrize("mask", [None, "1"])
def test_a_forked_process_starts_its_own_threads(python, mask):
    python(FORKED, **{MASK_VARIABLE: mask})
