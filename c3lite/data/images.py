"""Test images, and any picture of your own.

A picture of a test set is looked for in the package, then in the folder C3LITE_DATA of the
environment (`kodak/kodim01.png`, ..., `clic2020/*.png`), then on the network, once: the download is
checked by SHA-256 and kept in the user's cache.
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
from PIL.TiffImagePlugin import SAMPLEFORMAT

KODAK_URL = "https://r0k.us/graphics/kodak/kodak/"

# 41 pictures, 134,834,429 bytes. The digest is the one that TensorFlow Datasets pins for this
# address (its url_checksums/clic.txt).
CLIC2020_URL = "https://data.vision.ee.ethz.ch/cvl/clic/professional_valid_2020.zip"
CLIC2020_SHA256 = "00be38092ade2ab5163b65f7f6523d46c7bca147007f559adbb02c0afc236b7d"


Picture = Float32[np.ndarray, "3 height width"]


class DataError(OSError):
    """A picture or clip could not be read or downloaded; the message says which, and what to do."""


def kodak(n: int) -> Picture:
    """Picture n of the Kodak suite, n = 1...24: (3, 512, 768), or (3, 768, 512) if upright. 19 and
    23 ship with c3lite (`c3lite/data/assets/kodak/SOURCES.md`). Raises ValueError for any other n,
    DataError when the picture cannot be had."""
    if n not in range(1, 25):
        raise ValueError(f"the Kodak suite has pictures 1 to 24, not {n!r}")
    name = f"kodim{int(n):02d}.png"
    shipped = files("c3lite") / "data" / "assets" / "kodak"
    for folder in (shipped, _user_folder("kodak")):
        if folder is not None and (folder / name).is_file():
            return _read(folder / name)
    digests = (line.split() for line in (shipped / "SHA256SUMS").read_text().splitlines())
    sha256 = {file: digest for digest, file in digests}[name]
    return _read(_download(KODAK_URL + name, sha256, f"DIR/kodak/{name}"))


def clic2020_names() -> tuple[str, ...]:
    """File names of the CLIC 2020 professional validation pictures, in alphabetical order: whatever
    PNG files the folder `clic2020` of C3LITE_DATA holds, else the 41 of the split, which are
    downloaded (135 MB) on the first call. Raises DataError when they cannot be had."""
    return tuple(file.name for file in _clic2020_files())


def clic2020(which: int | str) -> Picture:
    """A picture of the CLIC 2020 professional validation split (compression.cc), some 2 megapixels:
    by its place in `clic2020_names()`, counted from 1, or its name, with or without ".png". Raises
    ValueError for one that is not there, DataError when the split cannot be had."""
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
    several pages it is the first. White is 1. Samples are of up to 8 bits, in PNG and PGM also gray
    of 16; of color of 16 Pillow keeps the upper 8 bits, within 1/257 of the stored value. A fully
    opaque alpha channel is dropped; a codec for RGB has no place for what is transparent: `alpha`
    "refuse" raises, "composite" puts it on white. `path` may be a pipe. Raises FileNotFoundError,
    IsADirectoryError, DataError (empty, damaged, of unknown format or range, as TIFF of 16 bits)
    and ValueError (transparency), with its name.
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
    Raises ValueError when the window is empty or reaches outside."""
    rows, columns = image.shape[-2:]
    if height < 1 or width < 1:
        raise ValueError(f"a crop has at least one row and column, not {height} x {width}")
    if not (0 <= y <= rows - height and 0 <= x <= columns - width):
        raise ValueError(
            f"rows {y} to {y + height - 1} and columns {x} to {x + width - 1} are not all inside "
            f"an image of {rows} rows and {columns} columns")
    return image[..., y : y + height, x : x + width].copy()


def _user_folder(name: str) -> Path | None:
    root = os.environ.get("C3LITE_DATA")
    return Path(root).expanduser() / name if root else None


def _clic2020_files() -> list[Path] | list[zipfile.Path]:
    source = _user_folder("clic2020")
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
    """The cached copy of `url`, fetched if there is none; `place` is where under C3LITE_DATA the
    user can put the files instead."""
    try:
        return Path(pooch.retrieve(
            url, f"sha256:{sha256}", url.rsplit("/", 1)[-1], pooch.os_cache("c3lite"),
            progressbar=True))
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
            range_known, key_known = _known(opened, content)
            picture = PIL.ImageOps.exif_transpose(opened)
            deep = picture.mode.startswith("I")
            if range_known and not deep:
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
    if not range_known:
        raise DataError(f"{file} has samples of unknown range (not of 8 bits, nor PNG's or PGM's "
                        "gray of 16): save it with 8 bits, or as PNG")
    if not key_known:
        raise ValueError(f"{file} has a transparent color that is not of 8 bits: save it with 8, "
                         "or with an alpha channel")
    if deep:
        return np.repeat(samples[None].astype(np.float32) / np.float32(65535), 3, axis=0)
    if (samples[..., 3:] < 255).any():
        if alpha == "refuse":
            raise ValueError(f'{file} is partly transparent: alpha="composite" (--alpha composite '
                             "on the command line) puts it on a white background")
        ground = PIL.Image.new("RGBA", picture.size, "white")
        samples = np.asarray(PIL.Image.alpha_composite(ground, picture))
    rgb = np.ascontiguousarray(samples[..., :3].transpose(2, 0, 1), dtype=np.float32)
    return rgb / np.float32(255)


def _known(opened: PIL.Image.Image, content: bytes) -> tuple[bool, bool]:
    """Whether what Pillow gives is known to reach to 255, or of deep gray to 65535; and whether it
    has the color that is declared transparent in the same bits. Pillow's mode says how a sample is
    stored, not what it means."""
    kind, mode = opened.format, opened.mode
    signed = kind == "TIFF" and opened.tag_v2.get(SAMPLEFORMAT, (1,))[0] != 1
    # the precision in the codestream's header, less 1
    odd = kind == "JPEG2000" and content[content.index(b"\xff\x4f\xff\x51") + 42] & 127 != 7
    deep = mode.startswith("I") and kind not in ("PNG", "PPM")
    scaled = kind == "PNG" and "transparency" in opened.info and mode != "P" and content[24] != 8
    return not (signed or odd or deep or mode == "F"), not scaled
