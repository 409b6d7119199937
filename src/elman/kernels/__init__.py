"""The fastest recurrent networks on a CPU: compiled by numba, run in torch's threads, seen by torch as operators.

    vector.py       what a kernel computes with: one register of float32
    tile.py         the one matrix product that everything rests on
    activations.py  tanh, sigmoid
    rnn.py gru.py lstm.py   a cell through time, forward and backward side by side
    generate.py     the whole sampling loop in one call, and the draw
    compiler.py     from Python functions to cached machine code
    threads.py      one kernel on several threads
    checks.py       what must hold of a tensor before a kernel gets its address
    ops.py          torch operators

A kernel is a Python function of integers (addresses and sizes). It also runs as Python, slowly: NUMBA_DISABLE_JIT=1.
"""
