"""The pages that users read, the commands and Python blocks in them, and the files that those name."""

from __future__ import annotations

import gzip
import json
import re
import shlex
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, save

from elman.data.images.decoding import write_picture
from elman.data.lines import Problems
from elman.data.music.tunes import read_tunes, shorten
from elman.data.samples import sample_pictures, sample_text

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A line of a code block, such as ``echo text | elman predict runs/mine > answers``."""

    line: str
    words: tuple[str, ...]  # after elman
    typed: tuple[str, str] | None = None  # standard input: ("text", ...) or ("file", ...)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands_of(page: str) -> list[Command]:
    found = []
    for language, block in _BLOCK.findall(text_of(page)):
        if language != "python":
            found += [command for line in block.splitlines() if (command := _command(line))]
    return found


def python_blocks_of(page: str) -> list[str]:
    return [block for language, block in _BLOCK.findall(text_of(page)) if language == "python"]


def spans_of(page: str) -> list[str]:
    """Return what is in backquotes outside of code blocks, with line breaks as blanks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", _BLOCK.sub("", text_of(page)))]


def _command(line: str) -> Command | None:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            parts.append([])
        else:
            parts[-1].append(word)
    for place, part in enumerate(parts):
        if part and Path(part[0]).name == "elman":
            typed = None
            if place:
                before = parts[place - 1]
                typed = ("text", before[1] + "\n") if before[0] == "echo" else ("file", before[-1])
            if "<" in part:
                typed = ("file", part[part.index("<") + 1])
            ends = [part.index(sign) for sign in "<>" if sign in part]
            return Command(line, tuple(part[1 : min(ends, default=None)]), typed)
    return None


# ---------------------------------------------------------------- the files that pages name

PROSE = (
    "ROMEO: But soft, what light through yonder window breaks? It is the east.\n\nJULIET: To be, or not to be.\n" * 20
)


def write_files(folder: Path) -> None:
    """Write small files of the names and kinds that the pages use."""
    for name in ("input.txt", "a.txt", "b.txt", "dev.txt", "sentences.txt", "text.txt", "other.txt", "YOUR_TEXT.txt"):
        (folder / name).write_text(PROSE)
    (folder / "my_answer.py").write_text(
        "def count_vector(text, vocabulary):\n    return [text.lower().split().count(word) for word in vocabulary]\n"
    )
    (folder / "messages.txt").write_text("all is well\nit never came\n")
    _write_tagged(folder)
    _write_labelled(folder)
    _write_pairs(folder)
    _write_pictures(folder)
    _write_tunes(folder)


def _write_tagged(folder: Path) -> None:
    sentences = sample_text("sentences").strip().split("\n\n")
    for name, some in (("train", sentences[:40]), ("dev", sentences[40:50]), ("test", sentences[50:60])):
        tagged = "\n\n".join(some) + "\n\n"
        columns = [line.split("\t") for line in tagged.splitlines() if "\t" in line]
        xpos = re.sub(r"^((?:\S+\t){3}\S+\t)_", r"\1T", tagged, flags=re.MULTILINE)
        (folder / f"{name}.conllu").write_text(xpos)
        (folder / f"{name}.conll").write_text(
            "".join(
                f"{cells[1]} {'B-NAME' if cells[3] == 'PROPN' else 'O'}\n{'' if number % 7 else chr(10)}"
                for number, cells in enumerate(columns, start=1)
            )
        )
    words = sorted({line.split("\t")[1].lower() for line in "\n".join(sentences).splitlines() if "\t" in line})
    with gzip.open(folder / "glove.6B.100d.txt.gz", "wt") as file:
        file.writelines(f"{word} 0.5 -0.25 {number / len(words):.3f} 1 0 0 0 1\n" for number, word in enumerate(words))


def _write_labelled(folder: Path) -> None:
    texts = [("all is well", "happy"), ("it never came", "sad"), ("it is fine, thank you", "happy"), ("no", "sad")] * 8
    for name in ("train", "test", "tweets", "new"):
        lines = ["text,label,airline_sentiment\n", *(f'"{text}",{label},{label}\n' for text, label in texts)]
        (folder / f"{name}.csv").write_text("".join(lines))
    (folder / "train.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in texts))
    for number, (text, label) in enumerate(texts):
        kind = folder / "mails" / ("spam" if label == "sad" else "ham")
        kind.mkdir(parents=True, exist_ok=True)
        (kind / f"{number}.txt").write_text(text)
    generator = np.random.default_rng(1)
    labels = np.array(["still", "moving"] * 10)
    np.savez(folder / "sensor.npz", inputs=generator.normal(size=(20, 6, 3)).astype("float32"), labels=labels)


def _write_pairs(folder: Path) -> None:
    pairs = [("a dog runs", "ein Hund läuft"), ("two dogs run", "zwei Hunde laufen"), ("it rains", "es regnet")] * 10
    for name in ("train", "dev", "test", "new"):
        (folder / f"{name}.en").write_text("".join(f"{source}\n" for source, _ in pairs))
        (folder / f"{name}.de").write_text("".join(f"{target}\n" for _, target in pairs))
    (folder / "articles.tsv").write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in pairs))
    lines = (json.dumps({"question": source, "answer": target}) for source, target in pairs)
    (folder / "pairs.jsonl").write_text("".join(f"{line}\n" for line in lines))


def _write_pictures(folder: Path) -> None:
    pictures = dict(islice(sample_pictures("shapes").items(), 20))
    captions = {name: f"a picture of number {number % 3}" for number, name in enumerate(pictures)}
    for place in ("photos", "photographs", "Flicker8k_Dataset"):
        (folder / place).mkdir()
        for name, picture in pictures.items():
            (folder / place / name).write_bytes(write_picture(picture))
    coco = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(captions)],
        "annotations": [{"image_id": number, "caption": text} for number, text in enumerate(captions.values())],
    }
    for name in ("captions.json", "test.json"):
        (folder / name).write_text(json.dumps(coco))
    (folder / "captions.tsv").write_text("".join(f"{name}\t{text}\n" for name, text in captions.items()))
    (folder / "Flickr8k.token.txt").write_text("".join(f"{name}#0\t{text}\n" for name, text in captions.items()))
    features = np.random.default_rng(1).normal(size=(len(captions), 6)).astype("float32")
    np.savez(folder / "features.npz", **dict(zip(captions, features, strict=True)))
    seen, made = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, *sides])
        for name, sides in (("pictures", ["S", "S"]), ("features", [1, 1]))
    )
    node = helper.make_node("GlobalAveragePool", ["pictures"], ["features"])
    graph = helper.make_graph([node], "mean", [seen], [made])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "resnet.onnx")


def _write_tunes(folder: Path) -> None:
    tunes = read_tunes(sample_text("tunes"), Problems())[:6]
    for place in ("midi", "test_midi"):
        (folder / place).mkdir()
        for number, tune in enumerate(tunes):
            (folder / place / f"{number}.mid").write_bytes(tune.midi())
    (folder / "theme.mid").write_bytes(shorten(tunes[0], 10).midi())
