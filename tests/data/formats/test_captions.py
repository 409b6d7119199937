"""Pictures, features and captions: every format, and every kind of damage."""

import io
import json
import logging
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from elman.data.formats.captions import has_splits, read_captions
from elman.data.formats.pictures import Pictures
from elman.data.images.decoding import read_picture, write_picture
from elman.data.lines import Problems
from elman.errors import DataError


def pixels(seed=1, height=20, width=20):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def bomb(path, width=60_000, height=60_000):
    """Write a PNG with a huge size in its header and almost no data."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def test_a_picture_is_read_as_it_was_written(tmp_path):
    array = pixels()
    (tmp_path / "a.png").write_bytes(write_picture(array))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png", 20), array)


def test_every_kind_of_picture_becomes_square_and_coloured(tmp_path):
    large = pixels(2, 90, 60)
    files = [
        saved(tmp_path / "a.jpg", large),
        saved(tmp_path / "b.gif", large),
        saved(tmp_path / "c.png", large[:, :, 0]),
        saved(tmp_path / "d.png", np.dstack((large, large[:, :, :1]))),
        saved(tmp_path / "e.bmp", large),
        saved(tmp_path / "f.webp", large),
    ]
    for path in files:
        read = read_picture(path, 30)
        assert read.shape == (30, 30, 3)
        assert read.dtype == np.uint8
    mean = large.reshape(30, 3, 30, 2, 3).mean(axis=(1, 3))  # boxes of 3 by 2 pixels
    np.testing.assert_allclose(read_picture(files[4], 30), mean, atol=1.0)


@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "bomb", "large"])
def test_a_file_that_is_not_a_picture_is_refused(tmp_path, kind):
    path = tmp_path / "p.jpg"
    if kind == "truncated":
        saved(path, pixels(3, 200, 200))
        path.write_bytes(path.read_bytes()[:2000])
    elif kind in ("bomb", "large"):
        bomb(path, *((60_000, 60_000) if kind == "bomb" else (11_000, 11_000)))
    else:
        path.write_text("no picture" if kind == "text" else "")
    with pytest.raises(DataError, match=r"p\.jpg: .*(truncated|not a picture|pixels)"):
        read_picture(path, 32)


def test_pictures_of_a_folder_are_named_by_their_path(tmp_path):
    (tmp_path / "sub").mkdir()
    saved(tmp_path / "b.png", pixels())
    saved(tmp_path / "sub" / "a.JPG", pixels(), format="jpeg")
    (tmp_path / "notes.txt").write_text("not a picture")
    pictures = Pictures(tmp_path, 16)
    assert pictures.names == ["b.png", "sub/a.JPG"]
    assert pictures.find("b.png") == "b.png"
    assert pictures.find("c.png") is None
    assert pictures.read("sub/a.JPG").shape == (16, 16, 3)


def test_a_folder_without_pictures_says_what_it_needs(tmp_path):
    with pytest.raises(DataError, match=r"contains no pictures; it needs files that end in \.jpg"):
        Pictures(tmp_path, 16)
    with pytest.raises(DataError, match="no such file"):
        Pictures(tmp_path / "missing.png", 16)


def test_features_in_one_array_per_picture_or_in_one_array(tmp_path):
    rows = np.arange(12, dtype=np.float64).reshape(2, 6)
    np.savez(tmp_path / "a.npz", **{"x": rows[0], "y.jpg": rows[1]})
    np.savez(tmp_path / "b.npz", names=np.array(["x", "y.jpg"]), features=rows)
    np.savez(tmp_path / "c.npz", names=np.array(["x", "y.jpg"]), features=rows.reshape(2, 3, 2))
    for name in ("a.npz", "b.npz"):
        pictures = Pictures(tmp_path / name, 16)
        assert pictures.find("x.jpg") == "x"
        assert pictures.read("y.jpg").dtype == np.float32
        np.testing.assert_array_equal(pictures.read("y.jpg"), rows[1:])
    np.testing.assert_array_equal(Pictures(tmp_path / "c.npz", 16).read("x"), rows[0].reshape(3, 2))


def test_invalid_features_are_refused(tmp_path):
    np.savez(tmp_path / "pickled.npz", x=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "nan.npz", x=np.array([1.0, np.nan]))
    np.savez(tmp_path / "short.npz", names=np.array(["x"]), features=np.zeros((2, 3)))
    np.savez(tmp_path / "text.npz", x=np.array(["a"]))
    (tmp_path / "no.npz").write_text("no")
    np.savez(tmp_path / "empty.npz")
    (tmp_path / "nothing.npz").write_bytes(b"")
    np.save(tmp_path / "renamed.npy", np.zeros(3))
    (tmp_path / "renamed.npy").rename(tmp_path / "renamed.npz")
    for name, said in {
        "pickled": "contains Python objects",
        "short": "1 names, but features of 2",
        "no": "not an archive of arrays",
        "empty": "contains no arrays",
        "nothing": "not an archive of arrays",
        "renamed": "not an archive of arrays",
    }.items():
        with pytest.raises(DataError, match=said):
            Pictures(tmp_path / f"{name}.npz", 16)
    for path in (tmp_path / ("x" * 5000), tmp_path / "a\0b"):
        with pytest.raises(DataError, match="cannot be read"):
            Pictures(path, 16)
    for odd, said in (([[1, 2], [3]], "not an array"), ([1e300], "a number too large")):
        with pytest.raises(DataError, match=said):
            Pictures([odd], 16).read("X[0]")
    for name, said in {"nan": "NaN", "text": "is not features"}.items():
        with pytest.raises(DataError, match=said):
            Pictures(tmp_path / f"{name}.npz", 16).read("x")


WANTED = {"a.jpg": ["A dog .", "A puppy ."], "b.jpg": ["Two cats"]}


@pytest.mark.parametrize("kind", ["coco", "tsv", "flickr8k"])
def test_captions_in_three_formats(tmp_path, kind):
    path = tmp_path / "captions"
    if kind == "coco":
        document = {
            "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 3, "file_name": "b.jpg"}],
            "annotations": [
                {"image_id": 7, "caption": "A dog ."},
                {"image_id": 7, "caption": "A puppy .\n"},
                {"image_id": 3, "caption": "Two cats"},
            ],
        }
        path.write_text(json.dumps(document, indent=1))
    elif kind == "tsv":
        path.write_text("a.jpg\tA dog .\na.jpg\tA puppy .\n\nb.jpg\tTwo cats\n")
    else:
        path.write_text("a.jpg#0\tA dog .\na.jpg#1\tA puppy .\nb.jpg#0\tTwo cats\n")
    assert read_captions(path, Problems()) == WANTED


def test_invalid_captions_are_reported_and_skipped(caplog):
    problems = Problems()
    with caplog.at_level(logging.WARNING):
        assert read_captions("a.jpg\tA dog\nno tab\nb.jpg\t \n\tnobody\n", problems) == {"a.jpg": ["A dog"]}
    assert problems.count == 3
    for said in ("text:2: no tab", "text:3: the caption is empty", "text:4: the file's name is empty"):
        assert said in caplog.text
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [
            {"image_id": 2, "caption": "x"},
            {"image_id": 1, "caption": ""},
            {"image_id": 1, "caption": "y"},
        ],
    }
    problems = Problems()
    assert read_captions(json.dumps(document), problems) == {"a.jpg": ["y"]}
    assert problems.count == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "contains no captions"),
        ("only words\n", "no tab"),
        ("{broken", "not COCO"),
        ('{"image": [], "annotations": []}', 'no "images"; did you mean "image"'),
    ],
)
def test_a_file_without_captions_is_refused(text, said):
    with pytest.raises(DataError, match=said):
        read_captions(text, Problems())


def test_files_are_closed(tmp_path):
    saved(tmp_path / "a.png", pixels())
    stream = io.BytesIO((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "cut.png").write_bytes(stream.getvalue())
    with pytest.raises(DataError, match=r"cut\.png"):
        read_picture(tmp_path / "cut.png", 16)
    (tmp_path / "cut.png").unlink()


@pytest.mark.parametrize(
    "text",
    [
        'image,caption\na.jpg,A dog .\na.jpg,"A puppy ."\nb.jpg,Two cats\n',
        "image, caption\na.jpg, A dog .\na.jpg, A puppy .\nb.jpg, Two cats\n",
        "image_name| comment_number| comment\na.jpg| 0| A dog .\na.jpg| 1| A puppy .\nb.jpg| 0| Two cats\n",
        "caption;image\nA dog .;a.jpg\nA puppy .;a.jpg\nTwo cats;b.jpg\n",
        "file_name\tcaption\na.jpg\tA dog .\na.jpg\tA puppy .\nb.jpg\tTwo cats\n",
        "image,caption\na.jpg#0,A dog .\na.jpg#1,A puppy .\nb.jpg#0,Two cats\n",
        "\ufeffa.jpg#0\tA dog .\r\na.jpg#1\tA puppy .\rb.jpg#12\tTwo cats\r\n",
        "a.jpg.1#0\tA dog .\n",
    ],
)
def test_captions_in_a_table(tmp_path, text):
    path = tmp_path / "captions.txt"
    path.write_text(text, newline="")
    problems = Problems()
    wanted = {"a.jpg.1": ["A dog ."]} if "jpg.1" in text else WANTED
    assert read_captions(path, problems) == read_captions(text, problems) == wanted
    assert problems.count == 0


def test_quotes_and_bad_rows_of_a_table_of_captions(caplog):
    text = 'image,caption\na.jpg,"Half light, half ""dark"" ."\nb.jpg\n,nobody\nc.jpg,\n'
    assert read_captions(text, Problems()) == {"a.jpg": ['Half light, half "dark" .']}
    for said in (
        *("text:3: 1 cell where the first line has 2", "text:4: the picture is empty", "text:5: the caption is empty"),
    ):
        assert said in caplog.text


def test_a_number_after_a_name_without_an_ending_belongs_to_the_name(tmp_path):
    text = "clip#1\tA dog .\nclip#2\tA cat .\n"
    assert read_captions(text, Problems()) == {"clip#1": ["A dog ."], "clip#2": ["A cat ."]}
    np.savez(tmp_path / "f.npz", **{"clip#1": np.ones(2), "clip": np.ones(2), "photo": np.ones(2)})
    pictures = Pictures(tmp_path / "f.npz", 16)
    assert [pictures.find(name) for name in ("clip#1", "clip#2", "clip.jpg#0", "photo.jpg", "photo#3", "x#1")] == [
        *("clip#1", "clip", "clip", "photo", "photo", None)
    ]


def coco(**changes):
    whole = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": "b", "file_name": "b.jpg"}],
        "annotations": [{"image_id": 1, "caption": "A dog ."}, {"image_id": "b", "caption": "Two cats"}],
    }
    return {**whole, **changes}


GOOD_IMAGE, GOOD_NOTE = {"id": 1, "file_name": "a.jpg"}, {"image_id": 1, "caption": "A dog ."}
ODD_IDS = [[], {}, [1], None, True, 1.0, float("nan"), 2**80, -1, "", "1", "\ud800", "\0", "x" * 10_000]


@pytest.mark.parametrize("odd", ODD_IDS, ids=range(len(ODD_IDS)))
def test_an_invalid_id_of_coco_is_at_most_a_problem(odd):
    problems = Problems(shown=0)
    notes = [GOOD_NOTE, {"image_id": odd, "caption": "Nobody ."}]
    assert read_captions(json.dumps(coco(annotations=notes)), problems) == {"a.jpg": ["A dog ."]}
    assert (problems.count, len(problems.first) < 300) == (1, True)
    problems = Problems(shown=0)
    images = [GOOD_IMAGE, {"id": odd, "file_name": "c.jpg"}, {"id": odd, "file_name": "d.jpg"}]
    found = read_captions(json.dumps(coco(images=images, annotations=notes)), problems)
    usable = isinstance(odd, int | str) and not isinstance(odd, bool)
    assert found == {"a.jpg": ["A dog ."], **({"c.jpg": ["Nobody ."]} if usable else {})}
    assert problems.count == (1 if usable else 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": [GOOD_IMAGE, *odd], "annotations": [GOOD_NOTE]}
        for odd in ([None], [[]], [{}], [{"id": 2}], [{"file_name": "c"}], [{"id": 2, "file_name": 7}], ["x"])
    ]
    + [
        {"images": [GOOD_IMAGE], "annotations": [GOOD_NOTE, odd]}
        for odd in (
            None,
            [],
            {},
            "x",
            {"image_id": 1},
            {"image_id": 1, "caption": 7},
            {"image_id": 1, "caption": "\ud800"},
        )
    ]
    + [
        {
            "images": [GOOD_IMAGE, {"id": 2, "file_name": "c\0"}],
            "annotations": [GOOD_NOTE, {"image_id": 2, "caption": "x"}],
        }
    ],
)
def test_an_invalid_record_of_coco_is_at_most_a_problem(changes):
    problems = Problems(shown=0)
    assert read_captions(json.dumps(coco(**changes)), problems) == {"a.jpg": ["A dog ."]}
    assert problems.count == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": {}, "annotations": []}', '"images" is not a list'),
        ('{"images": [], "annotations": 7}', '"annotations" is not a list'),
        ('{"images": [], "annotations": []}', "contains no captions"),
        ('{"images": ' + "[" * 200_000, "nested too deeply|Expecting"),
        ('{"images": [{"id": ' + "9" * 5000 + "}]}", "Exceeds the limit"),
        ('{"a": 1}{', "Extra data"),
    ],
)
def test_any_json_document_is_at_most_one_error(text, said):
    with pytest.raises(DataError, match=said):
        read_captions(text, Problems())


def test_a_coco_document_may_exceed_the_longest_line(monkeypatch):
    monkeypatch.setattr("elman.data.lines.LONGEST_LINE", 20)
    assert read_captions(json.dumps(coco()), Problems()) == {"a.jpg": ["A dog ."], "b.jpg": ["Two cats"]}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"names": np.array(["a", "a"]), "features": np.ones((2, 3))}, "two pictures are called 'a'"),
        ({"names": np.array([["a"]]), "features": np.ones((1, 3))}, "names are <U1 of shape"),
        ({"names": np.array([1.5]), "features": np.ones((1, 3))}, "names are float64"),
        ({"names": np.array(["a\0b"]), "features": np.ones((1, 3))}, "row 0 contains NUL"),
        ({"names": np.array(["\ud800"]), "features": np.ones((1, 3))}, "row 0 contains half a character"),
        ({"names": np.array(["a"]), "features": np.ones(())}, "1 names, but features of 0 pictures"),
    ],
)
def test_invalid_names_of_features_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(DataError, match=said):
        Pictures(tmp_path / "f.npz", 16)


def test_a_folder_is_read_on_after_an_unreadable_picture(tmp_path):
    saved(tmp_path / "a.png", pixels())
    (tmp_path / "b.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "c.png")
    (tmp_path / "d.png").write_text("no picture")
    pictures = Pictures(tmp_path, 16)
    assert pictures.names == ["a.png", "b.png", "c.png", "d.png"]
    assert pictures.read("a.png").shape == (16, 16, 3)
    for name in pictures.names[1:]:
        with pytest.raises(DataError, match=rf"{name}: "):
            pictures.read(name)


def test_a_name_with_a_hundred_thousand_endings_is_read_fast():
    name = ".jpg" * 100_000  # a regular expression that tries each of them would take minutes
    assert read_captions(f"{name}\tA dog .\n{name}#1\tA cat .\n", Problems()) == {name: ["A dog .", "A cat ."]}
    assert list(read_captions("a.jpg#2\tx\nb#3\ty\na#1.jpg\tz\nc.jpg#x#1\tw\n", Problems())) == [
        *("a.jpg", "b#3", "a#1.jpg", "c.jpg#x#1")
    ]


def test_captions_of_kaggle_may_contain_unquoted_commas(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text(
        'image,caption\na.jpg,A dog runs .\na.jpg,"A black, wet dog ."\nb.jpg,A cat, two mice and a bird .\n'
    )
    problems = Problems()
    wanted = {"a.jpg": ["A dog runs .", "A black, wet dog ."], "b.jpg": ["A cat, two mice and a bird ."]}
    assert read_captions(path, problems) == wanted
    path.write_text("image_name| comment_number| comment\na.jpg| 0| A dog | a cat .\na.jpg| 1   A dog .\n")
    assert read_captions(path, problems) == {"a.jpg": ["A dog | a cat ."]}
    assert "2 cells where the first line has 3" in problems.first


def karpathys(*splits):
    images = [
        {
            "filepath": "val2014" if number == 0 else "",
            "filename": f"{number}.jpg",
            "split": split,
            "imgid": number,
            "sentences": [{"raw": f"picture {number} .", "tokens": [], "sentid": 2 * number}, {"raw": f"{split}\n."}],
        }
        for number, split in enumerate(splits)
    ]
    return {"images": images, "dataset": "coco"}


def test_a_data_set_with_splits(tmp_path):
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps(karpathys("train", "restval", "val", "test")))
    read = {part: read_captions(path, Problems(), part=part) for part in ("train", "valid", "test", None)}
    first = {"val2014/0.jpg": ["picture 0 .", "train ."], "1.jpg": ["picture 1 .", "restval ."]}
    assert read["train"] == first
    assert read["valid"] == {"2.jpg": ["picture 2 .", "val ."]}
    assert read["test"] == {"3.jpg": ["picture 3 .", "test ."]}
    assert read[None] == {**first, **read["valid"], **read["test"]}
    assert has_splits(path)
    path.write_text(json.dumps(karpathys("train", "val")))
    with pytest.raises(DataError, match="no pictures of the split test; it has train, val"):
        read_captions(path, Problems(), part="test")
    assert not has_splits(json.dumps(karpathys("train", "test")))
    assert not has_splits("a.jpg\tA dog\n")


def test_unusable_records_of_a_data_set_with_splits():
    document = karpathys("train", "train", "train", "train", "train")
    images = document["images"]
    images[0] = "none"
    del images[1]["filename"]
    images[2]["sentences"] = None
    images[3]["sentences"][0] = {"raw": 1}
    problems = Problems()
    wanted = {"3.jpg": ["train ."], "4.jpg": ["picture 4 .", "train ."]}
    assert read_captions(json.dumps(document), problems) == read_captions(json.dumps(document), problems, part="train")
    assert read_captions(json.dumps(document), Problems()) == wanted
    assert problems.count == 8


def test_names_in_another_unicode_form_or_without_their_folder_are_found(tmp_path):
    for name in ("train/caf\u00e9.png", "train/a.png", "val/a.png", "val/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        saved(tmp_path / name, pixels())
    pictures = Pictures(tmp_path, 8)
    assert pictures.find("train/cafe\u0301.png") == "train/caf\u00e9.png"
    assert pictures.find("cafe\u0301.png#0") == "train/caf\u00e9.png"
    assert pictures.find("train/a.png") == "train/a.png"
    assert pictures.find("images/val/a.png") == "val/a.png"
    assert pictures.find("b.png") == "val/b.png"
    assert pictures.find("a.png") is None  # ambiguous
    assert pictures.find("train/b.png") is None  # in another folder
    alone = Pictures({"cafe\u0301": np.ones(3)}, 8)
    assert alone.find("somewhere/caf\u00e9.jpg") == "cafe\u0301"


def test_a_number_in_the_name_of_a_known_picture_belongs_to_the_name():
    text = "a.jpg#1\tA dog\nb.jpg#1\tA cat\n#1.jpg\tA cow\n"
    known = {"a.jpg", "a.jpg#1", "b.jpg", "#1.jpg"}
    assert read_captions(text, Problems(), known=known) == {
        "a.jpg#1": ["A dog"],
        "b.jpg": ["A cat"],
        "#1.jpg": ["A cow"],
    }
