"""Benchmarks against other libraries, timed alternately in one run, and a description of this machine.

machine.py    processor, threads, versions, backends, kernels
timing.py     stopwatches, run alternately; medians
limits.py     the speed of the tile on this machine: arithmetic, and reading weights
rows.py       a row of a table: milliseconds, their ratio, the share of the limit
kernels.py generate.py train.py    the tables
peers.py      JAX and Keras, where they are installed
"""
