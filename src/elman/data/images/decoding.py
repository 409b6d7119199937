"""Decoding a picture file of any kind to the colours that a person sees."""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.files import as_data_error, open_file
from elman.errors import DataError

INTERPRETED = ("EPS", "WMF")  # these are programs, for which Pillow starts an interpreter: they are refused
MOST_PIXELS = 100_000_000  # a picture with more is refused as a bomb
_ORIENTATION = 0x0112  # the EXIF tag of the camera's orientation


def read_picture(path: Path, size: int) -> NDArray[np.uint8]:
    """Read a picture file as (size, size, 3); a picture that is not square is squeezed.

    Of several pictures in a file the first is used. It is turned upright by its EXIF orientation, and transparent parts
    become white. White is 255 in eight bits and 65,535 in sixteen. With 32-bit integers and floating-point numbers
    white is not defined: it is the smallest of 1 (only for floating-point numbers), 255 and 65,535 that no value
    exceeds.

    Raises:
        DataError: it is not a picture, is damaged, has too many pixels, or has values that cannot be brightness.
    """
    from PIL import Image, UnidentifiedImageError

    with (
        as_data_error(str(path), "not a picture that can be read"),
        open_file(path) as stream,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Pillow warns about files that are refused below or harmless
        try:
            Image.init()
            picture = Image.open(stream, formats=[kind for kind in Image.OPEN if kind not in INTERPRETED])
        except UnidentifiedImageError:
            raise DataError(f"{path}: not a picture that can be read") from None
        except Image.DecompressionBombError:
            raise DataError(f"{path}: far more pixels than the limit of {MOST_PIXELS:,}; make it smaller") from None
        with picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise DataError(
                    f"{path}: {width:,} x {height:,} pixels, but the limit is {MOST_PIXELS:,}; make it smaller"
                )
            picture.draft("RGB", (2 * size, 2 * size))  # a large JPEG is decoded at the size needed
            picture.load()
            pixels = _turn_upright(_convert_to_rgb(picture), picture).resize((size, size), Image.Resampling.BOX)
        if pixels.mode == "RGBA":
            pixels = Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")
        return np.asarray(pixels, np.uint8)


def _convert_to_rgb(picture: Any) -> Any:
    """Convert a picture to RGB, or to RGBA if a part of it is transparent."""
    from PIL import Image

    clear = picture.info.get("transparency")
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture)  # (H, W)
        picture = Image.fromarray(_scale_to_eight_bits(values))
        if isinstance(clear, int):  # the value of transparent pixels
            alpha = np.where(values == clear, 0, 255).astype(np.uint8)
            picture = Image.merge("LA", (picture, Image.fromarray(alpha)))
    elif picture.mode == "La":
        picture = picture.convert("LA")  # the only conversion that Pillow has for it
    elif isinstance(clear, tuple) and max(clear) > 255:  # a 16-bit colour, but the pixels are already 8-bit
        picture.info["transparency"] = tuple(value >> 8 for value in clear)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _scale_to_eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale grey values (H, W) of more than eight bits to 0, black, to 255, white; see :func:`read_picture`.

    Raises:
        ValueError: they cannot be brightness.
    """
    if values.dtype.itemsize == 2:
        return np.asarray(np.rint(np.arange(1 << 16) / 257).astype(np.uint8)[values])
    if not np.isfinite(values).all():
        raise ValueError("its values contain NaN or infinity")
    least, most = values.min().item(), values.max().item()
    slack = 1.001 if values.dtype.kind == "f" else 1.0  # rounding or interpolation may overshoot a little
    whites = (1, 255, 65_535) if values.dtype.kind == "f" else (255, 65_535)
    white = next((white for white in whites if most <= white * slack), None)
    if white is None or least < white * (1 - slack):
        raise ValueError(f"its values go from {least:g} to {most:g}, but must be from 0, black, to 65,535, white")
    return np.asarray(np.rint(np.clip(values, 0, white) * np.float32(255 / white)), np.uint8)


def _turn_upright(pixels: Any, picture: Any) -> Any:
    """Turn a picture by its EXIF orientation; damaged EXIF data is ignored."""
    from PIL import Image

    orientation = 1
    with suppress(Exception):
        orientation = picture.getexif().get(_ORIENTATION, 1)
    turns = (
        *(Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM),
        *(Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90),
    )
    return pixels.transpose(turns[orientation - 2]) if orientation in range(2, 9) else pixels


def write_picture(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels (H, W, 3) as the content of a PNG file."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="png")
    return stream.getvalue()
