"""tanh and sigmoid against numpy's in float64, at a million float32; exp against numpy's; NaN and infinity."""

import numpy as np
import pytest

from elman.kernels.activations import exp, sigmoid, tanh
from elman.kernels.compiler import IS_JIT_OFF, kernel
from elman.kernels.threads import run
from elman.kernels.vector import LANES, get_double, load, put_double, store

GUARD = 12345.0


@kernel
def apply_tanh(ticket: int, x: int, y: int, count: int) -> None:
    for j in range(0, count, LANES):
        store(y, j, count - j, tanh(load(x, j, count - j)))


@kernel
def apply_sigmoid(ticket: int, x: int, y: int, count: int) -> None:
    for j in range(0, count, LANES):
        store(y, j, count - j, sigmoid(load(x, j, count - j)))


@kernel
def apply_exp(ticket: int, x: int, count: int) -> None:
    for i in range(count):
        put_double(x, i, exp(get_double(x, i)))


@pytest.fixture
def call_exp(load):
    def call_exp(numbers):
        x = np.array(numbers, np.float64)
        run(load(apply_exp), x.ctypes.data, len(x), tickets=1)
        return x

    return call_exp


@pytest.fixture
def call(load):
    def call(function, numbers):
        x = np.array(numbers, np.float32)
        y = np.full(len(x) + 1, GUARD, np.float32)
        run(load(function), x.ctypes.data, y.ctypes.data, len(x), tickets=1)
        assert y[-1] == GUARD
        return y[:-1]

    return call


def float32s(low=-np.inf, high=np.inf):
    """A million float32, evenly spread over their bit patterns: denormals, the smallest, the largest; both signs."""
    step = 400_009 if IS_JIT_OFF else 4_093  # prime, so that all last bits occur
    x = np.arange(0, 1 << 32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    finest = np.arange(-20, 20, 1 / 4 if IS_JIT_OFF else 1 / 4096, dtype=np.float32)  # where everything happens
    x = np.concatenate((x[np.isfinite(x)], finest, np.float32([0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38])))
    return x[(low <= x) & (x <= high)]


def exact_sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


# The bounds are those that activations.py states: a handful of roundings of 2^-24 = 6e-8 in each numerator and
# denominator, which come to 3.04e-7 and 1.73e-7 over all float32.


def test_tanh_over_all_float32(call):
    x = float32s()
    error = call(apply_tanh, x) - np.tanh(x.astype(np.float64))
    assert np.abs(error).max() <= 4e-7


def test_sigmoid_over_all_float32(call):
    x = float32s()
    error = call(apply_sigmoid, x) - exact_sigmoid(x.astype(np.float64))
    assert np.abs(error).max() <= 3e-7


def test_tanh_near_zero_has_full_precision(call):
    x = float32s(-1e-4, 1e-4)
    # tanh(x) = x - x³/3 …: below 1e-4 the rest is less than 3.4e-9 of x; one rounding of a division is 2^-23 of it.
    assert np.all(np.abs(call(apply_tanh, x) - x) <= 2e-7 * np.abs(x))
    assert np.signbit(call(apply_tanh, [-0.0]))[0]


def test_infinity_and_nan(call):
    x = [np.inf, -np.inf, np.nan, -np.nan]
    np.testing.assert_array_equal(call(apply_tanh, x), np.float32([1, -1, np.nan, np.nan]))
    np.testing.assert_array_equal(call(apply_sigmoid, x), np.float32([1, 0, np.nan, np.nan]))


def test_one_nan_stays_in_its_lane(call):
    for function in (apply_tanh, apply_sigmoid):
        x = np.linspace(-2, 2, 2 * LANES, dtype=np.float32)
        clean = call(function, x)
        x[3] = np.nan
        assert np.flatnonzero(np.isnan(call(function, x))).tolist() == [3]
        np.testing.assert_array_equal(np.delete(call(function, x), 3), np.delete(clean, 3))


def test_values_stay_in_range(call):
    x = float32s()
    assert np.abs(call(apply_tanh, x)).max() == 1
    one_half = call(apply_sigmoid, x)
    assert one_half.min() == 0
    assert one_half.max() == 1


def test_tanh_is_odd_to_the_last_bit(call):
    x = float32s(0)
    np.testing.assert_array_equal(call(apply_tanh, -x), -call(apply_tanh, x))


@pytest.mark.parametrize("count", [1, LANES - 1, LANES, LANES + 1, 3 * LANES - 2])
def test_a_partial_vector_equals_a_whole_one(call, count):
    x = np.linspace(-9, 9, 4 * LANES, dtype=np.float32)
    for function in (apply_tanh, apply_sigmoid):
        np.testing.assert_array_equal(call(function, x[:count]), call(function, x)[:count])


def test_exp_of_numbers_up_to_zero(call_exp):
    x = -np.concatenate([np.linspace(0, 2, 100_003)[:: 100 if IS_JIT_OFF else 1], np.geomspace(1e-300, 707, 10_007)])
    exact = np.exp(x.astype(np.longdouble))  # 64 bits of mantissa, where the processor has them
    assert np.abs((call_exp(x) - exact) / exact).max() <= 4e-16


def test_exp_of_minus_infinity_and_nan(call_exp):
    found = call_exp([0.0, -0.0, -709.0, -1e300, -np.inf, np.nan])
    np.testing.assert_array_equal(found, [1, 1, 0, 0, 0, np.nan])
