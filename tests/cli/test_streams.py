"""Standard streams that are full, closed or abandoned by their reader, and libraries that print."""

import ctypes
import io
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

import elman
from elman.cli.main import VERBS, main
from elman.data.samples import sample_text

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")

FULL, CLOSED, GONE = "full", "closed", "gone"


@pytest.fixture
def run(tmp_path, capfd, monkeypatch):
    """Run ``elman WORDS`` in this process, with the descriptors and streams of a process that is started this way."""
    paths = [tmp_path / name for name in ("stdin", "stdout", "stderr")]

    def descriptor(number, what):
        if what == FULL:
            return os.open("/dev/full", os.O_WRONLY)
        if what == GONE:
            reading, writing = os.pipe()
            os.close(reading)
            return writing
        return what if isinstance(what, int) else os.open(paths[number], os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def run(*words, stdin=None, stdout=None, stderr=None, encoding="utf-8"):
        kept = [os.dup(number) for number in range(3)]
        streams = []
        try:
            for number, what in enumerate((stdin, stdout, stderr)):
                if what == CLOSED:
                    os.close(number)
                    streams.append(None)
                    continue
                opened = descriptor(number, what)
                os.dup2(opened, number)
                os.close(opened)
                streams.append(os.fdopen(number, "w" if number else "r", encoding=encoding, closefd=False))
            with monkeypatch.context() as patch:
                for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                    patch.setattr(sys, name, stream)
                try:
                    code = main([str(word) for word in words])
                except SystemExit as stop:
                    code = stop.code
                assert [sys.stdin, sys.stdout, sys.stderr] == streams
            for stream in streams[1:]:
                if stream is not None:
                    stream.close()  # as Python does at exit: nothing may be left to write
            ctypes.CDLL(None).fflush(None)
        finally:
            for number, descriptor_before in enumerate(kept):
                os.dup2(descriptor_before, number)
                os.close(descriptor_before)
        out, err = (path.read_bytes().decode() if path.exists() else "" for path in paths[1:])
        for path in paths:
            path.unlink(missing_ok=True)
        return code, out, err

    return run


@pytest.fixture
def commands(saved, tmp_path, tiny_flags, monkeypatch, quick):
    """Return a quick command for every verb."""
    monkeypatch.setattr("elman.bench.kernels.bench_kernels", lambda *_: iter(()))
    monkeypatch.chdir(tmp_path)
    text = str(saved.parent / "valid.txt")
    return {
        "train": ["train", "lm", text, "--out", "m", *tiny_flags],
        "generate": ["generate", saved, "--max-tokens", "9"],
        "predict": ["predict", saved, text],
        "evaluate": ["evaluate", saved, text],
        "inspect": ["inspect", saved, text, "--json", "--steps", "20"],
        "compare": ["compare", "lm", text, "--models", "ngram:2", *tiny_flags],
        "info": ["info", saved],
        "data": ["data", "show", "sentences"],
        "bench": ["bench", "kernels", "--json"],
        "doctor": ["doctor"],
        "lecture": ["lecture"],
        "help": ["--help"],
        "version": ["--version"],
        "generate --help": ["generate", "--help"],
    }


NAMES = [*(verb for verb in VERBS if verb != "demo"), "help", "version", "generate --help"]


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_cannot_be_written_is_an_error(run, commands, name):
    for stdout, reason in {FULL: "No space left on device", CLOSED: "it is closed"}.items():
        code, _, err = run(*commands[name], stdout=stdout)
        assert code == 6, err
        last = err.splitlines()[-1]
        assert last.startswith(f"elman: standard output: cannot be written ({reason})")
        assert "Traceback" not in err
        if name == "train":
            assert last.endswith("The model is saved in m")
            assert elman.load("m").hidden_size == 8
            commands[name].append("--overwrite")


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_that_goes_away_is_not_an_error(run, commands, name):
    code, _, err = run(*commands[name], stdout=GONE)
    assert code == 0
    assert "elman: standard" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("stderr", [FULL, CLOSED, GONE])
def test_messages_that_cannot_be_written_stop_nothing(run, commands, tmp_path, stderr):
    assert run(*commands["train"], stderr=stderr)[0] == 0
    assert elman.load("m").hidden_size == 8
    Path("bad.txt").write_bytes(b"the quick \xff fox\n" * 9)
    assert run("evaluate", "m", "bad.txt", stderr=stderr) == (3, "", "")
    assert run("trian", stderr=stderr) == (2, "", "")
    assert run("--version", stderr=stderr, stdout=FULL) == (6, "", "")


def test_nothing_is_left_to_write_at_exit():
    program = [sys.executable, "-c", "import sys; from elman.cli.main import main; sys.exit(main())"]
    for shell, code, message in [
        ("--help >/dev/full", 6, b"elman: standard output: cannot be written (No space left on device)"),
        ("--help >&-", 6, b"elman: standard output: cannot be written (it is closed)"),
        ("--help 2>/dev/full >/dev/null", 0, b""),
        ("trian 2>/dev/full", 2, b""),
        ("trian 2>&-", 2, b""),
        ("--help <&- >&- 2>&-", 6, b""),
    ]:
        done = subprocess.run(["sh", "-c", f'"$0" "$@" {shell}', *program], capture_output=True)
        assert (done.returncode, done.stdout) == (code, b""), shell
        assert done.stderr.startswith(message)
        assert done.stderr.count(b"\n") == bool(message)


def test_a_standard_input_that_cannot_be_read_is_reported(run, saved, tmp_path):
    assert run("predict", saved, "-", stdin=CLOSED) == (
        3,
        "",
        "elman: standard input: is closed; name a file in place of -\n",
    )
    code, out, err = run("predict", saved, "-", stdin=os.open(tmp_path / "new", os.O_WRONLY | os.O_CREAT))
    assert (code, out) == (3, "")
    assert err.startswith("elman: standard input: cannot be read (Bad file descriptor)")
    assert run("evaluate", saved, saved.parent / "valid.txt", stdin=CLOSED)[0] == 0


def test_a_pipe_that_does_not_block_is_read_to_its_end(run, saved, tmp_path):
    (tmp_path / "all").write_text("the quick\nbrown fox\n")
    expected = run("predict", saved, tmp_path / "all")
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    kept = os.dup(reading)

    def write():
        for line in ("the quick\n", "brown fox\n"):
            time.sleep(0.05)
            os.write(writing, line.encode())
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    assert run("predict", saved, "-", stdin=reading) == expected
    writer.join()
    assert not os.get_blocking(kept)  # as it was
    os.close(kept)


def test_a_pipe_that_does_not_block_is_written_to_the_end(run):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    received = []

    def read():
        while block := os.read(reading, 1 << 14):
            received.append(block)
            time.sleep(0.001)
        os.close(reading)

    reader = threading.Thread(target=read)
    reader.start()
    assert run("data", "show", "topics", stdout=writing) == (0, "", "")
    reader.join()
    assert b"".join(received).decode() == sample_text("topics")


def test_characters_that_the_encoding_lacks_are_replaced(run, monkeypatch):
    monkeypatch.setattr("elman.data.samples.sample_text", lambda name: "caf\xe9 \u2192 \U0001d11e\n")
    assert run("data", "show", "x", encoding="ascii") == (0, "caf\xe9 \u2192 \U0001d11e\n", "")
    code, _, err = run("caf\xe9-\udcff", encoding="ascii")
    assert code == 2
    assert err.startswith("elman: no such command: caf\\xe9-\\udcff;")


@pytest.mark.parametrize("stderr", [None, FULL, CLOSED])
def test_only_the_answer_goes_to_standard_output(run, monkeypatch, stderr):
    symusic = pytest.importorskip("symusic")
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    buffer = ctypes.c_void_p(libc.malloc(4096))  # PYTHONUNBUFFERED removes the C library's buffer, too
    assert libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), buffer, 0, ctypes.c_size_t(4096)) == 0
    libc.printf(b"from before, ")

    def noisy(*_):
        libc.printf(b"noise in a buffer, ")
        with suppress(OSError):
            os.write(1, b"noise, ")
        symusic.Score.from_abc("X:1\nK:C\nCDEF GABc|\n")  # abc2midi warns that there is no M:
        return {"problems": []}

    monkeypatch.setattr("elman.bench.machine.diagnose", lambda compile_now: noisy())
    code, out, err = run("doctor", "--json", stderr=stderr)
    assert code == 0
    assert out.startswith("from before, {")
    assert json.loads(out.removeprefix("from before, ")) == {"problems": []}
    if stderr is None:
        for part in ("noise in a buffer, ", "noise, ", "No M: in header"):
            assert part in err


def test_streams_without_a_descriptor_are_used_as_they_are(monkeypatch):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert main(["--version"]) == 0
    assert main(["trian"]) == 2
    assert (sys.stdout, sys.stderr) == (out, err)
    assert out.getvalue() == f"elman {elman.__version__}\n"
    assert err.getvalue().startswith("elman: no such command: trian")
