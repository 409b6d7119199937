"""Pictures of every mode and kind, against colours computed by hand."""

import colorsys
import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from elman.data.images.decoding import read_picture
from elman.errors import DataError

PALETTE = [(0, 0, 0), (10, 20, 30), (250, 100, 50)]


def on_white(colour, alpha):
    """Return a colour, 0 to 255, blended with white by its opacity, 0 to 255."""
    return tuple(round(value * alpha / 255 + 255 * (1 - alpha / 255)) for value in colour)


def grey(*values):
    return [(value,) * 3 for value in values]


def of(kind, *values):
    return np.array(values, kind).tobytes()


def ycbcr(y, blue, red):
    return tuple(
        round(min(max(value, 0), 255))
        for value in (
            y + 1.402 * (red - 128),
            y - 0.344136 * (blue - 128) - 0.714136 * (red - 128),
            y + 1.772 * (blue - 128),
        )
    )


def lightness(value):
    """Return the sRGB grey of a CIE Lab lightness, 0 to 255."""
    share = value / 255 * 100
    linear = ((share + 16) / 116) ** 3 if share > 8 else share / 903.3
    return round(255 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055))


HUE = tuple(round(255 * value) for value in colorsys.hsv_to_rgb(40 / 255, 200 / 255, 180 / 255))
MODES = {  # for two pixels: their bytes, their expected colours, and the tolerance for rounding
    "1": (b"\x40", grey(0, 255), 0),
    "L": (bytes([7, 200]), grey(7, 200), 0),
    "I;16": (of("<u2", 257 * 7, 51_400), grey(7, 200), 0),
    "I;16L": (of("<u2", 257 * 7, 51_400), grey(7, 200), 0),
    "I;16B": (of(">u2", 257 * 7, 51_400), grey(7, 200), 0),
    "I;16N": (of("=u2", 257 * 7, 51_400), grey(7, 200), 0),
    "I": (of("=i4", 257 * 7, 51_400), grey(7, 200), 0),
    "F": (of("=f4", 7 / 255, 200 / 255), grey(7, 200), 0),
    "LA": (bytes([7, 255, 7, 51]), [(7,) * 3, on_white((7,) * 3, 51)], 1),
    "La": (bytes([7, 255, 40, 51]), [(7,) * 3, on_white((200,) * 3, 51)], 1),
    "P": (bytes([1, 2]), PALETTE[1:], 0),
    "PA": (bytes([1, 255, 2, 51]), [PALETTE[1], on_white(PALETTE[2], 51)], 1),
    "RGB": (bytes([1, 2, 3, 250, 100, 50]), [(1, 2, 3), (250, 100, 50)], 0),
    "RGBX": (bytes([1, 2, 3, 0, 250, 100, 50, 9]), [(1, 2, 3), (250, 100, 50)], 0),
    "RGBA": (bytes([1, 2, 3, 0, 250, 100, 50, 51]), [(255,) * 3, on_white((250, 100, 50), 51)], 1),
    "RGBa": (bytes([0, 0, 0, 0, 50, 20, 10, 51]), [(255,) * 3, on_white((250, 100, 50), 51)], 1),
    "CMYK": (bytes([0, 0, 0, 255, 51, 0, 255, 0]), [(0, 0, 0), (204, 255, 0)], 1),
    "YCbCr": (bytes([200, 128, 128, 100, 90, 180]), [(200,) * 3, ycbcr(100, 90, 180)], 2),
    "HSV": (bytes([0, 0, 200, 40, 200, 180]), [(200,) * 3, HUE], 2),
    "LAB": (bytes([255, 0, 0, 128, 0, 0]), grey(255, lightness(128)), 2),  # a and b are signed: 0 is grey
}


def test_every_mode_of_pillow_has_an_expected_colour():
    assert sorted(MODES) == sorted(Image.MODES)


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_shows_its_colours(mode, tmp_path, monkeypatch):
    content, colours, tolerance = MODES[mode]
    picture = Image.frombytes(mode, (2, 1), content)
    if mode in ("P", "PA"):
        picture.putpalette([value for colour in PALETTE for value in colour])
    picture.draft = lambda *_: None  # as pictures from files have
    (tmp_path / "p.any").write_bytes(b"")
    monkeypatch.setattr(Image, "open", lambda *_, **__: picture)  # no single format supports all modes
    read = read_picture(tmp_path / "p.any", 2)
    assert (read.shape, read.dtype) == ((2, 2, 3), np.uint8)
    for row in read.astype(int).tolist():
        assert np.abs(np.array(row) - np.array(colours)).max() <= tolerance


def saved(path, picture, **options):
    picture.save(path, **options)
    return path


def gradient(height=8, width=8):
    return (np.arange(height * width).reshape(height, width) * 4).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("g.png", "<u2"), *(("g.tif", kind) for kind in ("<u2", ">u2", "i4", "f4 1", "f4 255", "f4 65535", "i4 255"))],
)
def test_a_grey_picture_is_the_same_in_any_depth(tmp_path, name, kind):
    wanted = gradient()
    wanted[-1, -1] = 255  # white fixes the scale of brightness
    dtype, _, white = kind.partition(" ")
    values = wanted.astype(np.float64) * (float(white or 65535) / 255)
    saved(tmp_path / name, Image.fromarray(values.astype(dtype)))
    np.testing.assert_array_equal(read_picture(tmp_path / name, 8), np.dstack([wanted] * 3))


def test_values_that_cannot_be_brightness_are_refused(tmp_path):
    for values in ([0.0, np.nan], [0.0, np.inf], [0.0, 70_000.0], [-1.0, 5.0], [-0.5, 0.5]):
        saved(tmp_path / "f.tif", Image.fromarray(np.array([values], np.float32)))
        with pytest.raises(DataError, match=r"f\.tif: not a picture that can be read \(its values"):
            read_picture(tmp_path / "f.tif", 4)
    for values in ([0, 65_536], [-1, 5]):
        saved(tmp_path / "i.tif", Image.fromarray(np.array([values], np.int32)))
        with pytest.raises(DataError, match=r"its values go from -?\d+ to \d+, but must be from 0, black, to"):
            read_picture(tmp_path / "i.tif", 4)
    saved(tmp_path / "f.tif", Image.fromarray(np.array([[-1e-4, 1.0001]], np.float32)))  # 0 and 1, up to rounding
    assert read_picture(tmp_path / "f.tif", 2)[0, :, 0].tolist() == [0, 255]


def corners(size=32):
    """Return a picture of four colours that JPEG keeps distinct."""
    pixels = np.zeros((size, 2 * size, 3), np.uint8)
    pixels[: size // 2, :size] = (255, 0, 0)
    pixels[: size // 2, size:] = (0, 255, 0)
    pixels[size // 2 :, :size] = (0, 0, 255)
    pixels[size // 2 :, size:] = (255, 255, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("orientation", range(0, 10))
@pytest.mark.parametrize(
    ("name", "size"),  # a large JPEG is decoded at a smaller size
    [("p.jpg", 32), ("p.jpg", 400), ("p.png", 32), ("p.webp", 32), ("p.tif", 32)],
)
def test_a_picture_is_turned_upright(tmp_path, orientation, name, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = corners(size)
    options = {"exif": exif, **({"lossless": True} if name.endswith("webp") else {})}
    read = read_picture(saved(tmp_path / name, picture, **options), 16)
    upright = picture.copy()
    upright.getexif()[0x0112] = orientation
    wanted = np.asarray(ImageOps.exif_transpose(upright).resize((16, 16), Image.Resampling.BOX)).astype(int)
    assert np.abs(read.astype(int) - wanted)[[0, 0, -1, -1], [0, -1, 0, -1]].max() <= 16  # JPEG is not exact
    if name != "p.jpg":
        np.testing.assert_array_equal(read, wanted)


def test_orientation_6_turns_a_picture_clockwise(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the left edge as stored is the top
    read = read_picture(saved(tmp_path / "p.png", corners(), exif=exif), 2)
    assert read.tolist() == [[[0, 0, 255], [255, 0, 0]], [[255, 255, 255], [0, 255, 0]]]


def test_damaged_exif_is_ignored(tmp_path):
    plain = read_picture(saved(tmp_path / "a.jpg", corners()), 8)
    for number, exif in enumerate(
        (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"x" * 99)
    ):
        path = saved(tmp_path / f"{number}.jpg", corners(), exif=exif)
        np.testing.assert_array_equal(read_picture(path, 8), plain)


def square(mode, ground):
    """Return a black square in the middle of a transparent background."""
    picture = Image.new(mode, (9, 9), ground)
    picture.paste((0, 255) if mode == "LA" else (0, 0, 0, 255), (3, 3, 6, 6))
    return picture


@pytest.mark.parametrize("name", ["p.png", "p.webp", "p.gif", "p.tif", "palette.png", "grey.png"])
def test_transparent_parts_become_white(tmp_path, name):
    picture = square("LA", (0, 0)) if name == "grey.png" else square("RGBA", (0, 0, 0, 0))
    options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    if name == "palette.png":
        picture = picture.quantize(4)
        assert "transparency" in picture.info or picture.palette.mode == "RGBA"
    read = read_picture(saved(tmp_path / name, picture, **options), 9)
    wanted = np.full((9, 9, 3), 255)
    wanted[3:6, 3:6] = 0
    np.testing.assert_array_equal(read, wanted)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "I;16"])
def test_a_single_colour_may_be_transparent(tmp_path, mode):
    black = {"RGB": (0, 0, 0)}.get(mode, 0)
    rows = np.array([[0, 255], [255, 0]], np.uint8)
    picture = Image.fromarray(rows.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(rows).convert(mode)
    assert picture.mode == mode
    read = read_picture(saved(tmp_path / "p.png", picture, transparency=black), 2)
    np.testing.assert_array_equal(read, np.full((2, 2, 3), 255))


def test_a_single_colour_of_sixteen_bits_may_be_transparent(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    colours = [(0x8000, 0x4000, 0x2000), (0x1000, 0x1000, 0x1000)]
    head = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + b"".join(struct.pack(">3H", *colour) for colour in colours))
    clear = struct.pack(">3H", *colours[0])
    chunks = chunk(b"IHDR", head) + chunk(b"tRNS", clear) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert read_picture(tmp_path / "p.png", 2)[0].tolist() == [[255] * 3, [16] * 3]


@pytest.mark.parametrize("name", ["p.gif", "p.tif", "p.webp", "p.png"])
def test_the_first_of_several_pictures_is_taken(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], **options)
    assert read_picture(path, 1).tolist() == [[[255, 0, 0]]]


def test_any_error_of_pillow_becomes_a_data_error(tmp_path, monkeypatch):
    (tmp_path / "p.png").write_bytes(b"")
    for error in (AssertionError(), MemoryError(), RecursionError(), struct.error("short"), ZeroDivisionError("x")):

        def fail(_, error=error):
            raise error

        monkeypatch.setattr(Image, "open", fail)
        with pytest.raises(DataError, match=r"p\.png: not a picture that can be read \("):
            read_picture(tmp_path / "p.png", 4)


@pytest.mark.parametrize("name", ["p.jpg", "p.png", "p.gif", "p.bmp", "p.webp", "p.tif"])
def test_a_damaged_picture_is_at_most_a_data_error(tmp_path, name):
    stream = io.BytesIO()
    corners(8).save(stream, {"p.jpg": "jpeg", "p.tif": "tiff"}.get(name, name[2:]))
    whole = stream.getvalue()
    for place in range(0, len(whole), max(len(whole) // 15, 1)):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]):
            (tmp_path / name).write_bytes(content)
            with contextlib.suppress(DataError):
                assert read_picture(tmp_path / name, 4).shape == (4, 4, 3)


def test_a_picture_format_that_is_a_program_is_refused(tmp_path):
    """Pillow would start Ghostscript for it, whatever the name of the file."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    path = (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="not a picture that can be read"):
        read_picture(path, 8)
