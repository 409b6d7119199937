"""A checkpoint is restored exactly, and a failed write leaves the previous one in place."""

import errno
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elman.errors import ModelError, StorageError
from elman.files import replacing, write_files
from elman.training.checkpoint import flatten, load_checkpoint, save_checkpoint, unflatten

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool),
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
]


def same(one, other):
    """Equal in value and in every type, tensors bit for bit, NaN equal to NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        bits = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (one, other)]
        return one.dtype == other.dtype and one.shape == other.shape and torch.equal(*bits)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.floats(width=32), max_size=4).map(lambda numbers: torch.tensor(numbers, dtype=torch.float32)),
)
nested = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text("ab.1", max_size=3), inner, max_size=3),
        st.dictionaries(st.integers(0, 3), inner, max_size=3),
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(state=nested)
def test_any_nested_value_is_restored(state, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save_checkpoint(path, {"state": state})
    assert same(load_checkpoint(path), {"state": state})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_every_dtype_are_restored_bit_for_bit(tmp_path, dtype):
    tensor = torch.randint(0, 2, (3, 4), generator=torch.Generator().manual_seed(1)).to(dtype)
    state = {"whole": tensor, "part": tensor[:, ::2], "scalar": tensor[0, 0], "empty": tensor[:0]}
    save_checkpoint(tmp_path / "c", state)
    assert same(load_checkpoint(tmp_path / "c"), {name: part.contiguous() for name, part in state.items()})


def test_nan_and_infinity_are_restored(tmp_path):
    tensor = torch.tensor([math.nan, math.inf, -math.inf, -0.0])
    state = {"numbers": (math.nan, math.inf, -math.inf, 5e-324), "tensor": tensor}
    save_checkpoint(tmp_path / "c", state)
    assert same(load_checkpoint(tmp_path / "c"), state)


def test_an_optimizer_is_restored(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    parameter.sum().backward()
    optimizer.step()
    save_checkpoint(tmp_path / "c", optimizer.state_dict())
    assert same(load_checkpoint(tmp_path / "c"), optimizer.state_dict())


def test_ambiguous_names_do_not_collide():
    one, other = torch.zeros(1), torch.ones(1)
    state = {"a.b": one, "a": {"b": other}, "c": {1: one, "1": other}}
    tensors = {}
    assert same(unflatten(flatten(state, tensors), tensors), state)


def test_what_is_saved_is_a_copy():
    tensor = torch.zeros(2)
    tensors = {}
    flatten({"t": tensor}, tensors)
    tensor += 1
    assert tensors["t"].tolist() == [0, 0]


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c"
    save_checkpoint(path, {"step": 1})

    def half_written(tensors, file, metadata):
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(safetensors.torch, "save_file", half_written)
    with pytest.raises(StorageError, match="No space left") as caught:
        save_checkpoint(path, {"step": 2})
    assert str(path) in str(caught.value)
    assert load_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "c"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(KeyboardInterrupt), replacing(path) as beside:  # noqa: PT012 (the block is what is tested)
        beside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert load_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_reported(tmp_path):
    with pytest.raises(StorageError, match="no-such-folder"):
        save_checkpoint(tmp_path / "no-such-folder" / "c", {"step": 1, "tensor": torch.zeros(1)})


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_real_limit_on_the_size_of_files(tmp_path):
    """The kernel itself refuses the write, in the middle of the file (the process may write no file above 64 KiB)."""
    program = """
import resource, signal, sys, torch
from pathlib import Path
from elman.errors import StorageError
from elman.training.checkpoint import load_checkpoint, save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"step": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    save_checkpoint(path, {"step": 2, "large": torch.zeros(1 << 16)})
except StorageError as error:
    assert str(path) in str(error), error
    assert load_checkpoint(path) == {"step": 1}
    sys.exit(StorageError.exit_code)
"""
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "c"], capture_output=True, text=True)
    assert done.returncode == StorageError.exit_code, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_several_files_are_written_all_or_none(tmp_path, monkeypatch):
    old = {tmp_path / name: b"old" for name in "abc"}
    write_files(old)
    new = {tmp_path / name: b"new" for name in "abc"}
    plain, calls = os.fsync, []

    def failing(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError, match=r"/b: cannot be written \(No space left"):
        write_files(new)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == old
    monkeypatch.undo()
    write_files(new)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == new


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 0.5, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, kept):
    path = tmp_path / "c"
    save_checkpoint(path, {"step": 1, "tensor": torch.zeros(1000)})
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(ModelError, match="not a complete Elman checkpoint") as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)


def test_a_file_of_another_program_is_refused(tmp_path):
    safetensors.torch.save_file({"w": torch.zeros(1)}, tmp_path / "c")
    with pytest.raises(ModelError, match="not a complete Elman checkpoint"):
        load_checkpoint(tmp_path / "c")
