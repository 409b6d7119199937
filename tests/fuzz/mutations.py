"""Ways to damage a file: any bytes, or parts of JSON, archives, weights, music and pictures, with valid checksums."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import safetensors.torch
import torch

CANARY = "ELMAN_FUZZ_CANARY"  # the environment variable with the path of a file that must never be created
LARGEST = 1 << 20  # bytes; larger files are not damaged further

TOKENS = (
    *(b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\r\n", b"\n\n", b"\xff", b"\xed\xa0\x80", b"\x1b[2J", b"\x85"),
    *("\u2028".encode(), "e\u0301".encode(), "\U0010ffff".encode(), "İ".encode(), b"\\ud800", b"\\u0000", b"%s{0}"),
    *(b"-1", b"0", b"1e39", b"1e999", b"nan", b"-inf", b"9" * 25, b"9" * 5000, b"0x10", "٣".encode(), b"1_0", b"1.5"),
    *(b"\t", b",", b" ", b'"', b'""', b"'", b"#", b"\\", b"_", b"|", b"-DOCSTART-", b"<unk>", b"</s>", b"X:1\n"),
    *(b"[" * 100_000, b'{"a":' * 100_000, b"a" * 200_000, b"a " * 50_000, b"a\n" * 20_000, b"\t" * 50_000),
    b'!!python/object/apply:os.system ["false"]',
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "\ud800", "a\nb", "../x", "/dev/zero", "9" * 30, [], {}, [[]], [None], {"x": {}}),
    *(0, -1, 1, 2, 3, 7, 0.5, 1.5, -0.0, 1e308, float("nan"), float("inf"), 1000, 20_000, 10**6, 2**31, 2**63, 10**12),
)
UNWRITABLE = {"@deep": "[" * 100_000 + "]" * 100_000, "@digits": "9" * 5000, "@exponent": "1e400", "@huge": "9" * 400}


class Payload:
    """An object whose unpickling writes the canary."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (os.environ[CANARY], "w")


def mutate(content: bytes, kind: str, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Damage a file, in one to four ways.

    Args:
        content: the content of the file.
        kind: its ending, which decides what may be changed within it.
        rng: the generator.
        others: contents of similar files, of which one may take its place.
    """
    chance = rng.random()
    if chance < 0.02:
        return rng.choice(_pickled())
    if chance < 0.04 and others:
        content = rng.choice(others)[: rng.randrange(100)] + content
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        change = CHANGES[kind] if kind in CHANGES and rng.random() < 0.75 and len(content) < LARGEST else any_bytes
        try:
            content = change(content, rng)
        except Exception:  # an earlier change has left nothing to change
            content = any_bytes(content, rng)
    return content


@cache
def _pickled() -> tuple[bytes, bytes]:
    stream = io.BytesIO()
    torch.save({"weight": Payload()}, stream)
    return pickle.dumps(Payload()), stream.getvalue()


def any_bytes(content: bytes, rng: random.Random) -> bytes:
    """Truncate, delete, repeat, flip, insert or shuffle bytes, words or lines."""
    start = rng.randrange(len(content) + 1)
    stop = start + rng.choice((0, 1, 8, 64, 512))
    before, piece, after = content[:start], content[start:stop], content[stop:]
    words = list(re.finditer(rb"[^\s,\"\t:{}\[\]]+", content[:10_000])) or [re.match(b"", b"")]
    word = rng.choice(words)
    lines = content.split(b"\n")
    token, newline = rng.choice(TOKENS), rng.choice((b"\r", b"\r\n", b"\n\n", b" ", b""))
    encoding = rng.choice(("utf-16", "utf-16-be", "utf-32", "cp1252", "utf-8-sig"))
    ways: list[Callable[[], bytes]] = [
        lambda: before,
        lambda: before + after,
        lambda: before + piece * rng.choice((2, 50)) + after,
        lambda: before + bytes(byte ^ 1 << rng.randrange(8) for byte in piece[:32]) + piece[32:] + after,
        lambda: before + token + after,
        lambda: before + token + piece + after,
        *[lambda: content[: word.start()] + token + content[word.end() :]] * 3,
        lambda: b"\n".join(rng.sample(lines, len(lines))),
        lambda: b"\n".join(rng.sample(lines, len(lines) - 1)),
        lambda: content.replace(b"\n", newline),
        lambda: content.decode("utf-8", "replace").encode(encoding, "replace"),
    ]
    return rng.choice(ways)()


# JSON.


def change_json(content: bytes, rng: random.Random) -> bytes:
    root = [json.loads(content)]
    _change_value(root, rng)
    text = json.dumps(root[0])
    for name, written in UNWRITABLE.items():
        text = text.replace(f'"{name}"', written)
    return text.encode()


def change_json_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    number = rng.randrange(len(lines))
    lines[number] = change_json(lines[number], rng)
    return b"\n".join(lines)


def _change_value(root: list[Any], rng: random.Random) -> None:
    """Change a value somewhere within the only item of a list, at any depth with equal probability."""
    holder: Any = root
    key: Any = 0
    while isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.85:
        holder = holder[key]
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    value, way = holder[key], rng.randrange(10)
    if way == 0 and holder is not root:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[rng.choice(("", "x", f"{key}x", "\ud800"))] = holder.pop(key)
    elif way == 2 and isinstance(holder, list):
        holder += rng.choice(([value] * 100, [None], [0, "x"]))
    elif way == 3:
        holder[key] = rng.choice(([value], {"x": value}, str(value), [value] * 3))
    elif way == 4 and isinstance(value, int | float):
        holder[key] = rng.choice((value + 1, value - 1, -value, value * 1000, float(value)))
    elif way == 4 and isinstance(value, str):
        holder[key] = any_bytes(value.encode("utf-8", "replace"), rng).decode("utf-8", "replace")
    else:
        holder[key] = rng.choice((*VALUES, *UNWRITABLE))


# Archives.


def change_npz(content: bytes, rng: random.Random) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if sum(array.size for array in arrays.values()) > LARGEST:
        raise ValueError("arrays of no bytes an item")
    name = rng.choice(list(arrays))
    shapes = ("(10**9,)", "(1000000000000,)", "(-1,)", "(2,)", "()", "((", "(800000000,)")
    kinds = ("<f4", "|O", "<U999999999", "|V0", "object", "<f4', **")
    ways: list[Callable[[], Any]] = [
        lambda: arrays.pop(name),
        lambda: arrays.update({rng.choice((*arrays, "", "x", "../x", "a/b")): arrays.pop(name)}),
        *[lambda: arrays.update({name: _changed(arrays[name], rng)})] * 4,
        lambda: arrays.update({name: _npy(rng.choice(shapes), rng.choice(kinds))}),
        lambda: arrays.update({name: mutate(_saved(arrays[name]), "npy", rng)}),
    ]
    rng.choice(ways)()
    if rng.random() < 0.01:
        return bomb(_npy("(800000000,)", "<f4"), "inputs.npy")
    return _zipped({f"{name}.npy": _saved(array) for name, array in arrays.items()}, zipfile.ZIP_STORED)


def _changed(array: Any, rng: random.Random) -> Any:
    """Return an array with another number, shape or type, including Python objects."""
    extremes = (0, -1, 1e39, np.nan, np.inf, 2**63, 1e308, -(2**40), 255, 10**6)
    shapes = (array.T, array[None], array[..., None], array.ravel(), array[:0], array[:-1], np.array(3), array[..., :0])
    kinds = ("U4", "S4", "f2", ">f8", "g", "c8", "?", "i1", "u8", "M8[s]", "m8[s]", "V4", "i4,f4", "i8")
    way, kind = rng.randrange(7), rng.choice(kinds)
    with np.errstate(all="ignore"):
        if way < 3:
            changed = array.copy()
            changed.flat[rng.randrange(array.size)] = np.array(rng.choice(extremes)).astype(array.dtype)
            return changed
        if way < 5:
            return rng.choice(shapes)
        if way == 5:
            return np.zeros(array.shape, kind) if kind[0] in "VMm" or "," in kind else array.astype(kind)
        return np.array([Payload()] * max(len(array), 1), object)


def _saved(array: Any) -> bytes:
    if isinstance(array, bytes):
        return array
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _npy(shape: str, kind: str) -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + b"\0" * 8


def _zipped(members: dict[str, bytes], method: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


@cache
def bomb(begin: bytes, name: str) -> bytes:
    """Return a zip of three megabytes that unpacks to three gigabytes; its wrong checksum is found only at the end."""

    def deflated(content: bytes) -> bytes:
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        return compressor.compress(content) + compressor.flush(zlib.Z_FULL_FLUSH)

    data, size = deflated(begin) + deflated(b"\0" * (1 << 24)) * 192 + b"\3\0", len(begin) + 192 * (1 << 24)
    fields = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 0, 0, len(data), size, len(name), 0)
    local = b"PK\3\4" + fields + name.encode() + data
    central = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, 0) + name.encode()
    return local + central + b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, 1, 1, len(central), len(local), 0)


def change_zip(content: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    if rng.random() < 0.01:
        return bomb(b"the 1 2\n", rng.choice(("v.txt", "v.bin")))
    members[rng.choice((name, name, name, "", "b.txt", "../x.vec", "a/"))] = mutate(members.pop(name), "", rng)
    return _zipped(members, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))


def change_gzip(content: bytes, rng: random.Random) -> bytes:
    return gzip.compress(mutate(gzip.decompress(content), "", rng), 1)


# Weights.


def split_weights(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Split a safetensors file into its header and the bytes of its tensors."""
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join_weights(header: dict[str, Any], data: bytes) -> bytes:
    """Join what `split_weights` splits."""
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def change_safetensors(content: bytes, rng: random.Random) -> bytes:
    header, data = split_weights(content)
    metadata, way = header.get("__metadata__", {}), rng.randrange(6)
    if way < 3 and "elman" in metadata:  # a checkpoint
        metadata["elman"] = change_json(metadata["elman"].encode(), rng).decode()
        return join_weights(header, data)
    if way == 0:
        return join_weights(json.loads(change_json(json.dumps(header).encode(), rng)), data)
    if way == 1:
        return struct.pack("<Q", rng.choice((0, 1, len(content), 2**31, 2**63, 2**64 - 1))) + content[8:]
    tensors = safetensors.torch.load(content)
    name = rng.choice(list(tensors))
    tensor = tensors[name]
    if way == 2:
        tensors[rng.choice(("", "x", f"{name}x", *tensors))] = tensors.pop(name)
    elif way == 3:
        tensors[name] = torch.full_like(tensor.float(), rng.choice((0.0, 1e30, -1e30, float("nan"), float("inf"))))
    elif way == 4:
        kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8, torch.complex64)
        tensors[name] = tensor.to(rng.choice(kinds))
    else:
        tensors[name] = rng.choice(
            (tensor[None], tensor.flatten(), tensor[:0], torch.tensor(1.0), tensor.T, tensor[:1])
        )
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata or None)


# Music and pictures.

EVENTS = (  # of MIDI: invalid tempos, times, keys and notes
    *(b"\0\xff\x51\3\0\0\0", b"\0\xff\x51\3\xff\xff\xff", b"\0\xff\x58\4\0\0\0\0", b"\0\xff\x58\4\xff\xff\xff\xff"),
    *(b"\xff\xff\xff\x7f\x90\x3c\x40", b"\0\x90\x7f\x7f", b"\0\x80\x3c\0", b"\0\xf0\x7f", b"\0\xff\x2f\0"),
    *(
        b"\0\xff\x59\2\x7f\x7f",
        b"\xff\xff\xff\xff\x7f",
        b"\0\xe0\x7f\x7f",
        b"\0\xff\1\3\xff\xfe\xfd",
        b"\0\x90\xff\xff",
    ),
)


def change_midi(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    track = rng.choice([found.start() for found in re.finditer(b"MTrk", content)])
    if rng.random() < 0.5:
        place = rng.choice((8, 10, 12, 12, track + 6))  # format, tracks, division, length of a track
        struct.pack_into(">H", changed, place, rng.choice((0, 1, 2, 255, 0x7FFF, 0x8000, 0xE728, 0xFFFF)))
        return bytes(changed)
    length = struct.unpack_from(">L", content, track + 4)[0]
    event = rng.choice(EVENTS) * rng.choice((1, 1, 1, 1000))
    struct.pack_into(">L", changed, track + 4, length + len(event))
    place = track + 8 + rng.choice((0, length // 2, max(length - 4, 0)))
    return bytes(changed[:place]) + event + bytes(changed[place:])


def change_png(content: bytes, rng: random.Random) -> bytes:
    chunks, place = [], 8
    while place < len(content):
        length = struct.unpack_from(">L", content, place)[0]
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += length + 12
    number, way = rng.randrange(len(chunks)), rng.randrange(4)
    if way == 0:
        header = bytearray(chunks[0][1])
        if rng.random() < 0.5:
            struct.pack_into(">L", header, rng.choice((0, 4)), rng.choice((0, 1, 10_000, 2**16, 2**31 - 1)))
        else:
            header[rng.randrange(8, 13)] = rng.choice((0, 1, 2, 3, 4, 6, 7, 16, 255))
        chunks[0] = (b"IHDR", bytes(header))
    elif way == 1:
        chunks.insert(number, rng.choice(chunks))
    elif way == 2:
        chunks.insert(1, rng.choice(_odd_chunks()))
    else:
        chunks[number] = (chunks[number][0], any_bytes(chunks[number][1], rng))
    return content[:8] + b"".join(
        struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data)) for name, data in chunks
    )


@cache
def _odd_chunks() -> list[tuple[bytes, bytes]]:
    """Return chunks that are too short, too large when unpacked, or of other kinds of pictures."""
    text = b"a\0\0" + zlib.compress(b"a" * 10**7)
    short = [(b"tRNS", b"\0"), (b"iCCP", b"a\0\0x"), (b"eXIf", b"II"), (b"PLTE", b"\0"), (b"gAMA", b"\0" * 4)]
    return [(b"zTXt", text), *short, (b"acTL", b"\xff" * 8)]


CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "json": change_json,
    "jsonl": change_json_lines,
    "npz": change_npz,
    "zip": change_zip,
    "gz": change_gzip,
    "safetensors": change_safetensors,
    "mid": change_midi,
    "png": change_png,
}
