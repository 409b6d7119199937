"""Speed against the peers, timed in turn in one run, and what this machine is.

machine.py    processor, threads, versions, backends, kernels
timing.py     stopwatches, read in turn; medians
limits.py     what the tile reaches here: arithmetic, and reading weights
rows.py       a row of a table: milliseconds, their ratio, the share of the limit
kernels.py generate.py train.py    the tables
peers.py      JAX and Keras, where they are installed
"""
