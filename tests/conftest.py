"""What many tests share: one thread, a short text, the shell command in this process, and in a process of its own."""

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
import torch

from elman.cli.main import main
from elman.models.language_model import LanguageModel

hypothesis.settings.register_profile("untimed", deadline=None)  # a busy machine fails no test
hypothesis.settings.load_profile("untimed")

EASY = "the quick brown fox jumps over the lazy dog .\n" * 30


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def easy():
    """An easy text of 1,380 characters in 30 lines."""
    return EASY


@pytest.fixture
def easy_file(tmp_path, easy):
    path = tmp_path / "easy.txt"
    path.write_text(easy)
    return path


def tiny_settings(**changes):
    sizes = {"hidden_size": 8, "embedding_size": 4, "batch_size": 2, "bptt_length": 8}
    return {**sizes, "steps": 4, "evaluations": 2, **changes}


@pytest.fixture(scope="session")
def tiny():
    """Make an unfitted language model that learns next to nothing in next to no time."""
    return lambda **changes: LanguageModel(**tiny_settings(**changes))


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny, easy):
    """Save a small model and, beside it, the text that it was validated on; tests that change it work on copies."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "valid.txt").write_text(easy[:300])
    tiny().fit(easy, valid=folder / "valid.txt", out=folder / "m")
    return folder / "m"


@pytest.fixture(scope="session")
def tiny_flags():
    """The same settings as words on a command line."""
    return [word for name, value in tiny_settings().items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture
def quick(monkeypatch):
    """Draw no curves and write short samples along the way: most of the time that a tiny model needs."""
    monkeypatch.setattr("elman.drawing.curves.loss_curves", lambda history: "<svg/>")
    monkeypatch.setattr(
        "elman.families.next_token.NextTokenTask.sample", lambda self: self._model.generate(max_tokens=3, seed=0)
    )


@dataclass
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def shell(capsys):
    """Run ``elman WORDS`` in this process."""

    def run(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Answer(code, *capsys.readouterr())

    return run


class ElmanProcess:
    """``elman WORDS`` in a process of its own; ``before`` is Python code that it runs first, to stage an accident."""

    def __init__(self, words, folder, before=""):
        self._out, self._err = folder / "stdout.txt", folder / "stderr.txt"
        given = {"words": [str(word) for word in words], "folder": str(folder), "before": before}
        given |= {"out": str(self._out), "err": str(self._err)}
        self._process = _SERVER.Process(target=exec, args=(_CHILD, given))
        self._process.start()

    def wait_for(self, text):
        self._wait_until(lambda: self._err.exists() and text in self._err.read_text(), repr(text))

    def wait_for_output(self):
        self._wait_until(lambda: self._out.exists() and self._out.stat().st_size > 0, "output")

    def _wait_until(self, happened, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, f"waited for {what} in vain"
            assert self._process.is_alive(), self._err.read_text()
            time.sleep(0.005)

    def send(self, number):
        os.kill(self._process.pid, number)

    def wait(self):
        self._process.join(60)
        code = self._process.exitcode
        assert code is not None
        self._process.close()
        return Answer(code, self._out.read_text(), self._err.read_text())


_SERVER = multiprocessing.get_context("forkserver")  # it imports once, then each process starts in milliseconds
_SERVER.set_forkserver_preload(
    ["elman.cli.train", "elman.cli.generate", "elman.models.language_model", "lightning_fabric", "matplotlib.figure"]
)
_CHILD = """
import os, signal, sys
os.chdir(folder)
for name, number in ((out, 1), (err, 2)):
    os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
sys.stdout = open(1, "w", buffering=1, closefd=False)
sys.stderr = open(2, "w", buffering=1, closefd=False)
signal.signal(signal.SIGINT, signal.default_int_handler)
from elman.cli.main import main
def at_step(wanted, action):
    from elman.data.batching import LineBatches, StreamBatches
    for kind in (LineBatches, StreamBatches):
        def batch(self, step, kind=kind, plain=kind.batch):
            if step == wanted:
                action()
            return plain(self, step)
        kind.batch = batch
def die():
    os.kill(os.getpid(), signal.SIGKILL)
exec(before)
sys.exit(main(words))
"""


@pytest.fixture
def start_elman(tmp_path):
    """Start ``elman WORDS`` as a process; see `ElmanProcess`."""
    return lambda *words, before="", folder=tmp_path: ElmanProcess(words, Path(folder), before)


@pytest.fixture(autouse=True)
def signals_as_they_were():
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert handlers == {number: signal.getsignal(number) for number in handlers}
