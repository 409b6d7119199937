"""tanh and sigmoid of a vector, and exp of a number.

The largest absolute errors against float64, for every float32, are 4e-7 for ``tanh`` and 3e-7 for ``sigmoid``. The
largest relative error of ``exp``, in float64, is 4e-16. NaN gives NaN. tests/kernels/test_activations.py checks this.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from elman.kernels.compiler import inline
from elman.kernels.vector import SHIFT, at_least, at_most, power_of_two

f = np.float32

# tanh(x) = x · P(x²) / Q(x²), fitted by reweighted least squares to a relative error of 8e-9 on |x| ≤ 8.2. Beyond that
# it exceeds 1 and is clamped to exactly 1, so a fully saturated unit has no gradient.
TANH_LIMIT = f(9)
P = tuple(map(f, (1.0, 0.13432110846042633, 0.003556671319529414, 2.163702083635144e-05, 1.4840189521692082e-08)))
Q = tuple(map(f, (1.0, 0.46765434741973877, 0.026108242571353912, 0.00033864163560792804, 8.370457180717494e-07)))
ONE, HALF = f(1), f(0.5)

LOG2_E, LN2 = math.log2(math.e), math.log(2)
LN2_HIGH = math.ldexp(math.floor(math.ldexp(LN2, 32)), -32)  # few enough bits for an exact product with an exponent
LN2_LOW = 1.9082149292705877e-10  # ln 2 - LN2_HIGH
TAYLOR = tuple(1 / math.factorial(k) for k in range(14))  # the next term is below 5e-18 on |r| ≤ ln(2) / 2
SMALLEST = -708.0  # below this, exp(x) is not a normal float64


@inline
def tanh(x: Any) -> Any:
    """Compute the hyperbolic tangent."""
    x = at_least(at_most(x, TANH_LIMIT), -TANH_LIMIT)
    square = x * x
    p = (((P[4] * square + P[3]) * square + P[2]) * square + P[1]) * square + P[0]
    q = (((Q[4] * square + Q[3]) * square + Q[2]) * square + Q[1]) * square + Q[0]
    return at_least(at_most(x * p / q, ONE), -ONE)


@inline
def sigmoid(x: Any) -> Any:
    """Compute 1 / (1 + exp(-x))."""
    return HALF * tanh(HALF * x) + HALF


@inline
def exp(x: float) -> float:
    """Compute e to the power of x for x ≤ 0; 0 below ``SMALLEST``. LLVM vectorizes a loop over it."""
    shifted = x * LOG2_E + SHIFT
    n = shifted - SHIFT
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = ((((TAYLOR[13] * r + TAYLOR[12]) * r + TAYLOR[11]) * r + TAYLOR[10]) * r + TAYLOR[9]) * r + TAYLOR[8]
    p = ((((p * r + TAYLOR[7]) * r + TAYLOR[6]) * r + TAYLOR[5]) * r + TAYLOR[4]) * r + TAYLOR[3]
    p = ((p * r + TAYLOR[2]) * r + TAYLOR[1]) * r + TAYLOR[0]
    return 0.0 if x < SMALLEST else p * power_of_two(shifted)
