"""Fast recurrent networks on a CPU: kernels compiled by numba, run on torch's threads, registered as torch operators.

    vector.py       vectors of float32, one register at a time
    tile.py         the matrix product that everything is built on
    activations.py  tanh, sigmoid, exp
    rnn.py gru.py lstm.py   a cell through time, forward and backward side by side
    chain.py        sums over and searches for paths of labels, for the CRF
    generate.py     the whole sampling loop in one call
    compiler.py     from Python functions to cached machine code
    threads.py      one kernel on several threads
    checks.py       the checks that every tensor passes before a kernel gets its address
    ops.py          torch operators

A kernel is a Python function of integers (addresses and sizes). It also runs as Python, slowly: NUMBA_DISABLE_JIT=1.
"""
