"""Every reader of a user's file as a target, and small files as seeds."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from functools import cache, partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from elman.cli.config import settings_from_toml
from elman.data import schemes
from elman.data.corpus import build_corpus
from elman.data.formats.captions import read_captions
from elman.data.formats.columns import Columns
from elman.data.formats.conllu import CONLLU_COLUMNS, Conllu
from elman.data.formats.delimited import Delimited
from elman.data.formats.detection import detect_example_format, detect_pair_format, detect_sentence_format
from elman.data.formats.json_lines import JsonLines
from elman.data.formats.npz import read_npz
from elman.data.formats.parallel import read_parallel
from elman.data.formats.passages import Passages
from elman.data.formats.pictures import PictureFiles, Pictures
from elman.data.formats.sentences import SentenceFormat, report_inconsistencies
from elman.data.formats.series import detect_series_format
from elman.data.formats.text_folder import read_text_folder
from elman.data.formats.text_lines import SentenceLines, TextLines
from elman.data.hub import load_hub_text
from elman.data.images.decoding import read_picture
from elman.data.lines import Lines, Problems
from elman.data.music.events import EventTokenizer
from elman.data.music.tunes import Tune, read_tunes, shorten
from elman.data.records import Problem, TaggedSentence
from elman.data.samples import sample_text
from elman.data.text import Text
from elman.data.tokens.byte_pairs import BytePairTokenizer
from elman.data.tokens.characters import CharacterTokenizer
from elman.data.tokens.lexicon import Lexicon
from elman.data.tokens.tokenizer import Tokenizer
from elman.data.tokens.vectors import read_vectors
from elman.data.tokens.words import SpaceTokenizer, WordTokenizer
from elman.models.tasks import TASKS

from .oracle import Case, Target

PROSE = ["The cat sat on the mat.\nDon't — it's naïve!\n\n<unk> the cat, the dog 1.5\n".encode(), b"a\r\nb\rc\n" * 9]
CONLLU = ["\n\n".join(sample_text("sentences").split("\n\n")[:8]).encode() + b"\n\n"]
COLUMNS = [b"-DOCSTART- O\n\nEU B-ORG\nrejects O\n\nAda\tI-PER\nsaw\tO\n\n", b"a S-X\nb B-X\nc E-X\n"]
CSV = [b'text,label\n"so, so",up\n"a ""b""\nc",down\nplain,1\n', b"label,text\n0,yes\n1,no\n"]
TSV = [b"text\tlabel\nso, so\tup\nyes\tdown\n"]
JSONL = [b'{"text": "so", "label": 1}\n{"text": "yes", "label": "up"}\n']
PAIRS = [b"a cat\teine Katze\na dog\tein Hund\n", b"source\ttarget\nx\ty\n", b'{"source": "a", "target": "b"}\n']
SERIES = [b"sequence,label,x,y\na,up,1,2\na,up,2,3\nb,down,5,0.5\nc,up,1,1\n"]
COCO = [b'{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "A dog ."}]}']
FLICKR = [b"a.jpg#0\tA dog .\na.jpg#1\tA puppy .\nb.jpg\tA cat\n"]
ABC = [b"X:1\nT:jig\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\nCDEF|GABc|[CEG]2 z2|\n\nX:2\nM:6/8\nL:1/8\nK:Am\nABc def|\n"]
VECTORS = [b"3 2\nking 1 0.5\nqueen 1 -0.5\nman 0 0.5\n", b"the 0.1 0.2 0.3\ncat 1 2 3\na b 1 2 3\n"]
BINARY = [b"2 3\n" + b"".join(word + b" " + np.arange(3, dtype="<f4").tobytes() + b"\n" for word in (b"the", b"cat"))]
TOML = [
    b'hidden_size = 8\ncell = "gru"\nsteps = 3\ndropout = 0.1\nlearning-rate = 1e-3\nseed = 1\nencoding = "utf-8"\n'
]
ENCODINGS = (
    *("utf-16", "utf-32", "latin-1", "cp1252", "utf-7", "shift_jis", "utf-8-sig", "idna", "punycode", "unicode_escape"),
    *("hex", "zlib", "rot13", "undefined", "utf9", "", "\0"),
)


def to_bytes(save: Callable[..., Any], *arguments: Any, **named: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, *arguments, **named)
    return stream.getvalue()


@cache
def picture_files(kind: str) -> list[bytes]:
    picture = Image.fromarray(np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3))
    modes = {"png": ("RGB", "L", "P", "1", "RGBA", "LA"), "jpeg": ("RGB", "L"), "webp": ("RGB", "RGBA")}
    return [to_bytes(picture.convert(mode).save, kind) for mode in modes.get(kind, ("RGB", "L", "P", "1"))]


@cache
def series_archives() -> list[bytes]:
    padded = {"inputs": np.arange(12.0).reshape(2, 3, 2), "lengths": np.array([2, 3]), "labels": np.array(["a", "b"])}
    ragged = {"inputs": np.arange(10.0).reshape(5, 2), "lengths": np.array([2, 3]), "labels": np.array([1, 0])}
    return [to_bytes(np.savez, **arrays) for arrays in (padded, ragged)]


@cache
def feature_archives() -> list[bytes]:
    named = {"names": np.array(["a.jpg", "b"]), "features": np.ones((2, 3, 4))}
    by_name = {"a.jpg": np.ones(4, np.float32), "b.jpg": np.ones((2, 4)), "c": np.zeros((9, 9, 3), np.uint8)}
    return [to_bytes(np.savez, **arrays) for arrays in (named, by_name)]


@cache
def zips() -> list[bytes]:
    def save(stream: Any, name: str, content: bytes) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(name, content)

    return [to_bytes(save, name, content) for name, content in (("v.txt", VECTORS[1]), ("v.bin", BINARY[0]))]


@cache
def midi_files() -> list[bytes]:
    return [tune.midi() for tune in read_tunes(ABC[0].decode(), Problems())]


@cache
def tokenizers() -> list[Tokenizer]:
    text = PROSE[0].decode()
    pairs = BytePairTokenizer.train([text * 3], vocab_size=270)
    words = [kind.train([text], min_count=1) for kind in (WordTokenizer, SpaceTokenizer)]
    return [CharacterTokenizer.train([text]), *words, pairs]


@cache
def event_tokenizers() -> list[EventTokenizer]:
    return [EventTokenizer(kind) for kind in EventTokenizer.kinds]


def encoding(case: Case) -> str:
    return str(case.pick(*["utf-8"] * 150, *ENCODINGS))


def lines(case: Case, kind: str, seeds: list[bytes], name: str = "case") -> Lines:
    """Write a damaged file; return its lines, read from the path, a stream or a text."""
    path = case.file(kind, seeds, name)
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    source = case.pick(path, path, io.BytesIO(path.read_bytes()), text)
    return Lines(source, encoding(case), case.pick(None, Problems()), block_size=case.pick(1 << 20, 4096))


def document(case: Case, *seeds: str) -> str:
    """Write a damaged JSON file; return its text, as it is read from the folder of a saved model."""
    content = case.file("json", [seed.encode() for seed in seeds]).read_bytes()
    return content.decode("utf-8", "replace")


# The readers.


def text(case: Case) -> None:
    path = case.file("txt", PROSE)
    whole = Text(
        [path, case.pick("more", "")] if case.pick(True, False) else path, encoding(case), case.pick(4 << 20, 4096)
    )
    assert isinstance(whole.hint, str)
    list(whole.chunks(whole.split(0.3, by_line=case.pick(False, True)), keep_lines=case.pick(False, True)))
    Text(path.read_bytes().decode("utf-8", "surrogateescape")).sha256  # noqa: B018


def corpus(case: Case) -> None:
    whole, by_line = Text(case.file("txt", PROSE), block_size=case.pick(4 << 20, 100)), case.pick(False, True)
    kind: Any = case.pick(CharacterTokenizer, WordTokenizer, SpaceTokenizer, BytePairTokenizer)
    known = case.pick(False, True)
    tokenizer = case.pick(*tokenizers()) if known else kind.train(whole.chunks(keep_lines=by_line))
    encoded = build_corpus(whole, tokenizer, lines=by_line, memory_limit=case.pick(1 << 20, 0))
    tokenizer.decode(encoded.ids)


def sentences(case: Case, kind: str, seeds: list[bytes], format: SentenceFormat) -> None:
    tagged = kind != "txt" and case.pick(True, False)
    found = format.read(lines(case, kind, seeds), Problems(), tagged=tagged)
    records = (
        one if isinstance(one, Problem) else TaggedSentence(one, ["X"] * len(one.words), [0.5] * len(one.words))
        for one in found
    )
    list(case.pick(format, JsonLines()).write(records))


def tagged(case: Case) -> None:
    path, column = case.file("txt", [*CONLLU, *COLUMNS]), case.pick(None, None, "upos", "-1", "3", "9" * 5000, "x")
    format, problems = detect_sentence_format(path, column, encoding=encoding(case)), Problems()
    found = [one for one in format.read(Lines(path), problems, tagged=True) if not isinstance(one, Problem)]
    scheme = schemes.detect_scheme([sentence.tags or [] for sentence in found])
    report_inconsistencies(str(path), found, scheme, problems)


def table(case: Case, kind: str, seeds: list[bytes], named: Any, numbered: Any = None) -> None:
    reader = case.pick(named, named, numbered or named)
    list(reader.read(lines(case, kind, seeds), Problems(), labelled=kind != "txt" and case.pick(True, False)))


def labelled(case: Case) -> None:
    path = case.file(case.pick("csv", "tsv", "jsonl", "json", "txt", "x"), [*CSV, *TSV, *JSONL])
    list(
        detect_example_format(path, "text", "label", True).read(Lines(path, encoding(case)), Problems(), labelled=True)
    )


def labelled_folder(case: Case) -> None:
    for name in ("up", case.pick("down", ".hidden", "a\nb", "\udcff")):
        (case.folder / name).mkdir()
        case.file("txt", PROSE, f"{name}/{case.pick('1', '.2', 'x' * 200)}")
    list(read_text_folder(case.folder, Problems(), encoding(case)))


def pairs(case: Case) -> None:
    path, named = case.file(case.pick("tsv", "txt", "jsonl", "csv"), PAIRS), encoding(case)
    found = detect_pair_format(path, ("source", "target"), case.pick(True, False), named)
    list(found.read(Lines(path, named), Problems(), labelled=True))


def series(case: Case, kind: str, seeds: Callable[[], list[bytes]]) -> None:
    path = case.file(kind, seeds())
    source = io.BytesIO(path.read_bytes()) if kind == "csv" and case.pick(False, True) else path
    reader = detect_series_format(path)
    list(reader.read(Lines(source, encoding(case), block_size=7), Problems(), labelled=case.pick(False, True)))


def passages(case: Case) -> None:
    reader = Passages(case.pick(False, True), case.pick("char", "word", "bpe"))
    list(reader.read(lines(case, "txt", PROSE), Problems()))


def picture_files_read(case: Case) -> None:
    paths = [str(case.file("png", picture_files("png"))), "", "missing.png", str(case.folder), "\0", "x" * 5000]
    listed = "".join(f"{case.pick(*paths)}\n" for _ in range(3)).encode("utf-8", "surrogateescape")
    list(PictureFiles(8).read(Lines(io.BytesIO(listed), problems=Problems()), Problems()))


def vectors(case: Case, kind: str, seeds: Callable[[], list[bytes]]) -> None:
    read_vectors(case.file(kind, seeds()), ["the", "King", "\udcff"], first=case.pick(0, 2))


def picture(case: Case, kind: str) -> None:
    read_picture(case.file(kind, picture_files(kind)), case.pick(8, 64))


def pictures(case: Case, kind: str) -> None:
    path = case.file(kind, feature_archives() if kind == "npz" else picture_files("png"))
    found = Pictures(path if kind == "npz" else case.folder, 16)
    for name in found.names:
        with case.refusable():
            found.read(name)


def music(case: Case, kind: str) -> None:
    path = case.file(kind, midi_files() if kind == "mid" else ABC)
    whole = path.read_bytes().decode("utf-8", "surrogateescape")
    tunes = read_tunes(case.pick(path, case.folder, *[whole] * (kind == "abc")), Problems(), encoding(case))
    for tune in tunes:
        for events in event_tokenizers():
            events.decode(events.encode(tune).tolist()).midi()
        shorten(Tune(tune.score), 0.7).midi()


def tokenizer(case: Case) -> None:
    found = Tokenizer.from_json(document(case, *[one.to_json() for one in tokenizers()]))
    ids, _ = found.encode_lines(PROSE[0].decode())
    found.decode([*ids, *range(found.vocab_size)])
    found.tokens(range(found.vocab_size))
    found.to_json()


def lexicon(case: Case) -> None:
    seed = Lexicon({"The": 2, "cat": 1}, vector_words=["cat", "dog"], vector_size=3).to_json()
    found = Lexicon.from_json(document(case, seed), lowercase=case.pick(True, False), min_count=case.pick(1, 2))
    found.look_up(["the", "Cat", "", "x" * 50])
    found.to_json()


class Rows(list[Any]):
    """Rows as the library ``datasets`` hands them over."""

    def __init__(self, rows: list[dict[str, Any]], features: dict[str, Any]) -> None:
        super().__init__(rows)
        self.features, self.column_names = features, list(features)

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def hub(case: Case) -> None:
    """Read a data set in memory: a column has one type, any value may be missing, a label may have no name."""
    names = SimpleNamespace(names=["O", "B-PER", "a\tb"])
    makers: dict[str, Callable[[], Any]] = {
        "text": lambda: case.pick("so", "", "a\nb", "\udcff", "\0", "a\tb"),
        "label": lambda: case.pick(0, 1, 2, -1, 3),
        "number": lambda: case.pick(1.5, float("nan"), 2**70),
        "pair": lambda: {"en": value("text"), "de": value("text")},
        "texts": lambda: [value("text") for _ in range(case.pick(2, 2, 0, 1))],
        "labels": lambda: [value("label") for _ in range(case.pick(2, 2, 0, 1))],
    }

    def value(kind: str) -> Any:
        return case.pick(*[makers[kind]()] * 12, None)

    kinds = {"text": "text", "label": "label", "tokens": "texts", "tags": "labels"}
    if case.pick(False, True):
        kinds = {name: case.pick(*makers) for name in (case.pick("text", "x", ""), *case.pick(("y",), ("y", "a\nb")))}
    features = {
        name: {"label": names, "labels": SimpleNamespace(feature=names)}.get(kind) for name, kind in kinds.items()
    }
    rows = [{name: value(kind) for name, kind in kinds.items()} for _ in range(case.pick(2, 0, 1, 5))]
    (case.folder / "rows.json").write_text(json.dumps({"kinds": kinds, "rows": rows}))
    form = case.pick("text", "columns", "records")
    library = SimpleNamespace(load_dataset=lambda *_: {"train": Rows(rows, features)})
    with patch.dict("sys.modules", datasets=library):
        found = load_hub_text(case.pick("x", "x@train", "x:y@test", ""), form)
    if form == "text":
        list(Text(found).chunks())
    else:
        reader: Any = Columns() if form == "columns" else JsonLines()
        list(reader.read(Lines(found), Problems(), **{"tagged" if form == "columns" else "labelled": True}))


def toml(case: Case) -> None:
    model = TASKS[case.pick(*TASKS)].model_class
    setting = case.pick(*[None] * 5, *model().get_params())
    path = case.file("toml", [TOML[0] + (f"{setting} = 3\n" if setting else "").encode()])
    model(**settings_from_toml(path, model)).check()


READERS: dict[str, Target] = {
    "lines": lambda case: list(lines(case, "txt", PROSE)),
    "text": text,
    "corpus": corpus,
    "conllu": lambda case: sentences(case, "conllu", CONLLU, Conllu(case.pick("upos", *CONLLU_COLUMNS))),
    "columns": lambda case: sentences(case, "conll", COLUMNS, Columns(0, case.pick(-1, 1, 3))),
    "running-text": lambda case: sentences(case, "txt", PROSE, SentenceLines()),
    "tagged": tagged,
    "csv": partial(
        table,
        kind="csv",
        seeds=CSV,
        named=Delimited(","),
        numbered=Delimited(",", "0", "1", header=False),
    ),
    "tsv": partial(
        table,
        kind="tsv",
        seeds=TSV,
        named=Delimited("\t"),
        numbered=Delimited("\t", "0", "1", header=False),
    ),
    "jsonl": partial(table, kind="jsonl", seeds=JSONL, named=JsonLines()),
    "plain": partial(table, kind="txt", seeds=PROSE, named=TextLines()),
    "labelled": labelled,
    "labelled-folder": labelled_folder,
    "parallel": lambda case: list(
        read_parallel(lines(case, "txt", PROSE[:1], "a"), lines(case, "txt", PROSE[:1], "b"), Problems())
    ),
    "pairs": pairs,
    "series-csv": partial(series, kind="csv", seeds=lambda: SERIES),
    "series-npz": partial(series, kind="npz", seeds=series_archives),
    "passages": passages,
    "picture-files": picture_files_read,
    "npz": lambda case: read_npz(case.file("npz", [*series_archives(), *feature_archives()])),
    "vectors-text": partial(vectors, kind="vec", seeds=lambda: VECTORS),
    "vectors-binary": partial(vectors, kind="bin", seeds=lambda: BINARY),
    "vectors-gzip": partial(vectors, kind="gz", seeds=lambda: [gzip.compress(content) for content in VECTORS]),
    "vectors-zip": partial(vectors, kind="zip", seeds=zips),
    **{f"picture-{kind}": partial(picture, kind=kind) for kind in ("png", "jpeg", "gif", "bmp", "webp", "tiff")},
    "pictures": partial(pictures, kind="png"),
    "features": partial(pictures, kind="npz"),
    "captions-coco": lambda case: read_captions(case.file("json", COCO), Problems(), encoding(case)),
    "captions-lines": lambda case: read_captions(case.file("tsv", FLICKR), Problems(), encoding(case)),
    "midi": partial(music, kind="mid"),
    "abc": partial(music, kind="abc"),
    "tokenizer": tokenizer,
    "lexicon": lexicon,
    "events": lambda case: EventTokenizer.from_json(document(case, *[one.to_json() for one in event_tokenizers()])),
    "hub": hub,
    "toml": toml,
}
"""Every reader by its name."""
