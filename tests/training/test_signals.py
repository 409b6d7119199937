import signal
import threading

import pytest

from elman.training.signals import stop_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
    """Install the same handlers wherever the tests run, and restore the previous ones."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield {**before, signal.SIGHUP: signal.SIG_DFL}
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_deferred_and_the_second_is_not(number):
    heard = []
    signal.signal(number, lambda *_: heard.append(number))
    with stop_signals() as stop:
        assert stop.signal_number == 0
        signal.raise_signal(number)
        assert (stop.signal_number, heard) == (number, [])
        signal.raise_signal(number)
        assert heard == [number]


def test_the_handlers_are_restored(handlers):
    with stop_signals():
        assert all(signal.getsignal(number) != handlers[number] for number in NUMBERS)
    assert {number: signal.getsignal(number) for number in NUMBERS} == handlers


def test_sighup_stays_ignored_under_nohup():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_signals() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop.signal_number == 0
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_another_thread_leaves_the_handlers_alone(handlers):
    seen = []

    def look():
        with stop_signals() as stop:
            seen.append(({number: signal.getsignal(number) for number in NUMBERS}, stop.signal_number))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(handlers, 0)]
