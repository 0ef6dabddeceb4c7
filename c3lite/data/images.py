"""Test images, and any picture of your own.

A picture of a test set is looked for in the package, then in the folder named by the environment
variable C3LITE_DATA (`kodak/kodim01.png`, ..., `clic2020/*.png`), then on the network, once: the
download is checked by SHA-256 and kept in the user's cache (`pooch.os_cache("c3lite")`).
"""

import io
import os
import zipfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageOps
import pooch
from jaxtyping import Float, Float32
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT

KODAK_URL = "https://r0k.us/graphics/kodak/kodak/"

# 41 pictures, 134,834,429 bytes; the digest is that of TensorFlow Datasets' url_checksums/clic.txt
CLIC2020_URL = "https://data.vision.ee.ethz.ch/cvl/clic/professional_valid_2020.zip"
CLIC2020_SHA256 = "00be38092ade2ab5163b65f7f6523d46c7bca147007f559adbb02c0afc236b7d"

Picture = Float32[np.ndarray, "3 height width"]


class DataError(OSError):
    """A picture or clip could not be read or downloaded; the message says which, and what to do."""


def kodak(n: int) -> Picture:
    """Picture n of the Kodak suite, n = 1...24: (3, 512, 768), or (3, 768, 512) if upright.

    19 and 23 ship with c3lite. Source and license: `c3lite/data/assets/kodak/SOURCES.md`.
    Raises ValueError for any other n, DataError when the picture cannot be had.
    """
    if n not in range(1, 25):
        raise ValueError(f"the Kodak suite has pictures 1 to 24, not {n!r}")
    name = f"kodim{int(n):02d}.png"
    shipped = files("c3lite") / "data" / "assets" / "kodak"
    for folder in (shipped, user_folder("kodak")):
        if folder is not None and (folder / name).is_file():
            return _read(folder / name)
    digests = (line.split() for line in (shipped / "SHA256SUMS").read_text().splitlines())
    sha256 = {file: digest for digest, file in digests}[name]
    return _read(_download(KODAK_URL + name, sha256, f"DIR/kodak/{name}"))


def clic2020_names() -> tuple[str, ...]:
    """File names of the CLIC 2020 professional validation pictures, in alphabetical order.

    With C3LITE_DATA, whatever PNG files its folder `clic2020` holds; else the 41 of the split,
    which are downloaded (135 MB) on the first call. Raises DataError when they cannot be had.
    """
    return tuple(file.name for file in _clic2020_files())


def clic2020(which: int | str) -> Picture:
    """A picture of the CLIC 2020 professional validation split: photographs of some 2 megapixels.

    which: its place in `clic2020_names()`, counted from 1 as Kodak's are, or its name, with or
    without ".png". Source: the Challenge on Learned Image Compression, compression.cc.
    Raises ValueError for a place or name that is not there, DataError when the split cannot be had.
    """
    available = _clic2020_files()
    for place, file in enumerate(available, start=1):
        if which in (place, file.name, file.name.removesuffix(".png")):
            return _read(file)
    raise ValueError(f"no CLIC 2020 picture {which!r}: give a place from 1 to {len(available)} or "
                     "a name from clic2020_names()")


def image(path: str | os.PathLike[str],
          alpha: Literal["refuse", "composite"] = "refuse") -> Picture:
    """A picture of your own, in any format that Pillow reads, the way up that a viewer shows it.

    The EXIF orientation is applied; grayscale, palette and CMYK become RGB; of an animation or of
    several pages it is the first. Samples are divided by the largest that their depth allows, so
    that white is 1: grayscale of up to 16 bits, color of 8. Of color of 16 Pillow keeps the upper 8
    bits, within 1/257 of the stored value. A fully opaque alpha channel is dropped; a codec for RGB
    has no place for what is transparent: `alpha` "refuse" raises, "composite" puts it on white.
    `path` may be a pipe. Raises FileNotFoundError, IsADirectoryError, DataError (empty, damaged, of
    unknown format or range, as floating-point TIFF) and ValueError (transparency), with its name.
    """
    if alpha not in ("refuse", "composite"):
        raise ValueError(f'alpha is "refuse" or "composite", not {alpha!r}')
    file = Path(path).expanduser()
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name one picture in it")
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file} (looked in {Path.cwd()})")
    return _read(file, alpha)


def crop(image: Float[np.ndarray, "channels *time rows columns"], y: int, x: int, height: int,
         width: int) -> Float[np.ndarray, "channels *time {height} {width}"]:
    """A copy of rows y...y+height-1 and columns x...x+width-1 of an image or of a clip's frames.

    All four in pixels, (y, x) the upper left corner. Raises ValueError when the window is empty or
    reaches outside: nothing is padded or wrapped around.
    """
    rows, columns = image.shape[-2:]
    if height < 1 or width < 1:
        raise ValueError(f"a crop has at least one row and column, not {height} x {width}")
    if not (0 <= y <= rows - height and 0 <= x <= columns - width):
        raise ValueError(
            f"rows {y} to {y + height - 1} and columns {x} to {x + width - 1} are not all inside "
            f"an image of {rows} rows and {columns} columns")
    return image[..., y : y + height, x : x + width].copy()


def to_pillow(x: Float[np.ndarray, "3 height width"]) -> PIL.Image.Image:
    """A picture, values in [0, 1], rounded to 8 bits."""
    return PIL.Image.fromarray(np.rint(255 * x).astype(np.uint8).transpose(1, 2, 0))


def user_folder(name: str) -> Path | None:
    """`name` in the user's own folder of data; None without one."""
    root = os.environ.get("C3LITE_DATA")
    return Path(root).expanduser() / name if root else None


def _clic2020_files() -> list[Path] | list[zipfile.Path]:
    source = user_folder("clic2020")
    if source is None or not source.is_dir():
        archive = _download(CLIC2020_URL, CLIC2020_SHA256, "DIR/clic2020/*.png")
        # Read where they are: nothing half unpacked can be left behind.
        source = zipfile.Path(archive, "valid/")
    found = (file for file in source.iterdir() if file.name.endswith(".png"))
    # macOS writes a companion "._NAME" beside each file on some disks and into its archives.
    available = sorted((f for f in found if not f.name.startswith("._")), key=lambda f: f.name)
    if not available:
        raise DataError(f"no PNG file in {source}")
    return available


def _download(url: str, sha256: str, place: str) -> Path:
    """The cached copy of `url`, fetched with a progress bar if there is none.

    place: where under C3LITE_DATA the user can put the files instead, for the error message.
    """
    try:
        return Path(pooch.retrieve(url, f"sha256:{sha256}", url.rsplit("/", 1)[-1],
                                   pooch.os_cache("c3lite"), progressbar=True))
    except OSError as error:  # no network, no such address, a full disk: requests' errors are such
        problem = (f"could not download {url} ({type(error).__name__}): connect to the network and "
                   "try again, or")
    except ValueError:  # the hash; pooch has deleted the file
        problem = (f"{url} is no longer the published file (its SHA-256 differs), so it was not "
                   "kept:")
    # without what came before: of a failed connection, that is eighty lines of libraries
    raise DataError(f"{problem} put {place} in place and set C3LITE_DATA=DIR; Kodak 19 and 23 need "
                    "no download")


def _read(file: Traversable | zipfile.Path,
          alpha: Literal["refuse", "composite"] = "refuse") -> Picture:
    content = file.read_bytes()  # Pillow seeks, and a pipe can only be read once
    if not content:
        raise DataError(f"{file} is empty (0 bytes)")
    try:
        with PIL.Image.open(io.BytesIO(content)) as opened:
            white = _white(opened, content)
            key, exact = _transparent_color(opened, content)
            picture = PIL.ImageOps.exif_transpose(opened)
            if white and not picture.mode.startswith("I"):
                if key is not None:
                    picture.info["transparency"] = key
                if picture.mode == "La":  # premultiplied
                    picture = picture.convert("LA")
                picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
            samples = np.asarray(picture)
    except PIL.UnidentifiedImageError:
        raise DataError(f"{file} is not a picture in a format that Pillow reads") from None
    # Pillow's many formats raise OSError, SyntaxError, ValueError, struct.error, ... on bad files.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{file} could not be read: {reason}") from None
    if white is None:
        raise DataError(f"{file} has samples of unknown range (signed, 32 bits or floating point): "
                        "save it with 8 or 16 bits")
    if picture.mode.startswith("I"):
        hidden = samples == key if key is not None else np.False_
        samples = np.repeat(samples[..., None], 3, axis=-1)
    else:
        hidden = samples[..., 3:] < 255
    if hidden.any():
        if not exact:
            raise ValueError(f"{file} has a transparent 16-bit color, of which Pillow keeps 8 bits:"
                             " save it with 8, or with an alpha channel")
        if alpha == "refuse":
            raise ValueError(f'{file} is partly transparent: alpha="composite" (--alpha composite '
                             "on the command line) puts it on a white background")
        if picture.mode == "RGBA":
            ground = PIL.Image.new("RGBA", picture.size, "white")
            samples = np.asarray(PIL.Image.alpha_composite(ground, picture))
        else:
            samples[hidden] = white
    if white < 0:
        white = -white
        samples = white - samples
    rgb = np.ascontiguousarray(samples[..., :3].transpose(2, 0, 1), dtype=np.float32)
    return rgb / np.float32(white)


def _white(opened: PIL.Image.Image, content: bytes) -> int | None:
    """The sample of full intensity in what Pillow gives; below 0 if it is black's, None if unknown.
    Pillow's mode says how a sample is stored, not what it means."""
    mode, kind = opened.mode, opened.format
    deep = mode.startswith("I;16") or (mode == "I" and kind == "PPM")  # a PGM of 16 bits
    if mode == "F" or (mode == "I" and not deep):
        return None
    if kind == "TIFF":
        tags = opened.tag_v2
        if tags.get(SAMPLEFORMAT, (1,))[0] != 1:
            return None
        if deep:
            white = 2 ** tags[BITSPERSAMPLE][0] - 1
            # WhiteIsZero; up to 8 bits, Pillow itself inverts it
            return white if tags.get(PHOTOMETRIC_INTERPRETATION, 0) else -white
    if kind == "JPEG2000":
        # the precision in the codestream's header; Pillow shifts samples up to 8 or 16 bits
        bits = 1 + (content[content.index(b"\xff\x4f\xff\x51") + 42] & 127)
        return (2**bits - 1) << max(0, (16 if deep else 8) - bits)
    if deep and kind not in ("PNG", "PPM"):
        return None
    return 65535 if deep else 255


def _transparent_color(opened: PIL.Image.Image, content: bytes) -> tuple[object, bool]:
    """The color that a picture declares transparent, if any, in samples as Pillow gives them. And
    whether this says all: of 16-bit colors the upper 8 bits may be those of several."""
    key = opened.info.get("transparency")
    if key is not None and opened.format == "PNG":
        bits = content[24]
        if opened.mode == "L":
            return key * 255 // (2**bits - 1), True
        if opened.mode == "RGB" and bits == 16:
            return tuple(k >> 8 for k in key), False
    return key, True
