"""Test images, and any picture of your own.

A picture of a test set is looked for in the package, then in the folder named by the environment
variable C3LITE_DATA (`kodak/kodim01.png`, ..., `clic2020/*.png`), then on the network, once: the
download is checked by SHA-256 and kept in the user's cache (`pooch.os_cache("c3lite")`).
"""

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

KODAK_URL = "https://r0k.us/graphics/kodak/kodak/"

# 41 pictures, 134,834,429 bytes. The digest is the one that TensorFlow Datasets pins for this
# address (its url_checksums/clic.txt).
CLIC2020_URL = "https://data.vision.ee.ethz.ch/cvl/clic/professional_valid_2020.zip"
CLIC2020_SHA256 = "00be38092ade2ab5163b65f7f6523d46c7bca147007f559adbb02c0afc236b7d"


class DataError(OSError):
    """A picture or clip could not be read or downloaded; the message says which, and what to do."""


def kodak(n: int) -> Float32[np.ndarray, "3 height width"]:
    """Picture n of the Kodak suite, n = 1...24: (3, 512, 768), or (3, 768, 512) if upright.

    19 and 23 ship with c3lite. Source and license: `c3lite/data/assets/kodak/SOURCES.md`.
    Raises ValueError for any other n, DataError when the picture cannot be had.
    """
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
    """File names of the CLIC 2020 professional validation pictures, in alphabetical order.

    With C3LITE_DATA, whatever PNG files its folder `clic2020` holds; else the 41 of the split,
    which are downloaded (135 MB) on the first call. Raises DataError when they cannot be had.
    """
    return tuple(file.name for file in _clic2020_files())


def clic2020(which: int | str) -> Float32[np.ndarray, "3 height width"]:
    """A picture of the CLIC 2020 professional validation split: photographs of some 2 megapixels.

    which: its place in `clic2020_names()`, counted from 1 as Kodak's are, or its name, with or
    without ".png". Source: the Challenge on Learned Image Compression, compression.cc.
    Raises ValueError for a place or name that is not there, DataError when the split cannot be had.
    """
    available = _clic2020_files()
    for place, file in enumerate(available, start=1):
        if which in (place, file.name, file.name.removesuffix(".png")):
            return _read(file)
    raise ValueError(
        f"no CLIC 2020 picture {which!r}: give a place from 1 to {len(available)} "
        "or a name from clic2020_names()"
    )


def image(
    path: str | os.PathLike[str], alpha: Literal["refuse", "composite"] = "refuse"
) -> Float32[np.ndarray, "3 height width"]:
    """A picture of your own, in any format that Pillow reads, the way up that a viewer shows it.

    - The EXIF orientation is applied. Grayscale, palette and CMYK become RGB.
    - 8-bit samples are divided by 255, 16-bit grayscale by 65535. Of 16-bit color Pillow keeps the
      upper 8 bits, which is within 1/257 of the stored value.
    - A fully opaque alpha channel is dropped. Anything transparent needs a decision, as a codec for
      RGB has no place for it: "refuse" raises, "composite" puts the picture on white.
    - Of an animation or of several pages, the first.

    Raises FileNotFoundError, IsADirectoryError, DataError (empty, damaged, of a format that Pillow
    does not know, or with samples of unknown range, as floating-point TIFF) and ValueError
    (transparency). Each names the file.
    """
    if alpha not in ("refuse", "composite"):
        raise ValueError(f'alpha is "refuse" or "composite", not {alpha!r}')
    file = Path(path).expanduser()
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name one picture in it")
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file} (looked in {Path.cwd()})")
    if file.stat().st_size == 0:
        raise DataError(f"{file} is empty (0 bytes)")
    return _read(file, alpha)


def crop(
    image: Float[np.ndarray, "channels *time rows columns"], y: int, x: int, height: int, width: int
) -> Float[np.ndarray, "channels *time {height} {width}"]:
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
            f"an image of {rows} rows and {columns} columns"
        )
    return image[..., y : y + height, x : x + width].copy()


def _user_folder(name: str) -> Path | None:
    root = os.environ.get("C3LITE_DATA")
    return Path(root).expanduser() / name if root else None


def _clic2020_files() -> list[Path] | list[zipfile.Path]:
    folder = _user_folder("clic2020")
    if folder is not None and folder.is_dir():
        source = folder
    else:
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
        return Path(
            pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                fname=url.rsplit("/", 1)[-1],
                path=pooch.os_cache("c3lite"),
                progressbar=True,
            )
        )
    except OSError as error:  # no network, no such address, a full disk: requests' errors are such
        raise DataError(
            f"could not download {url} ({type(error).__name__}): connect to the network and try "
            f"again, or put {place} in place and set C3LITE_DATA=DIR; Kodak 19 and 23 need neither"
        ) from error
    except ValueError as error:  # the hash; pooch has deleted the file
        raise DataError(
            f"{url} is no longer the published file (its SHA-256 differs), so it was not kept: "
            f"put {place} in place and set C3LITE_DATA=DIR; Kodak 19 and 23 need no download"
        ) from error


def _read(
    file: Traversable | zipfile.Path, alpha: Literal["refuse", "composite"] = "refuse"
) -> Float32[np.ndarray, "3 height width"]:
    try:
        with file.open("rb") as stream, PIL.Image.open(stream) as opened:
            kind = opened.format
            picture = PIL.ImageOps.exif_transpose(opened)
            picture.load()
    except PIL.UnidentifiedImageError as error:
        raise DataError(f"{file} is not a picture in a format that Pillow reads") from error
    # Pillow's many formats raise OSError, SyntaxError, ValueError, struct.error, ... on bad files.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{file} could not be read: {reason}") from error

    transparent = picture.has_transparency_data
    # Pillow opens 16-bit PGM as 32-bit integers of that range; other formats' can mean anything.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and kind == "PPM"):
        if transparent:
            raise ValueError(f"{file} has a transparent shade of 16-bit gray: save it with 8 bits")
        gray = np.asarray(picture).astype(np.float32) / np.float32(65535)
        return np.repeat(gray[None], 3, axis=0)
    if picture.mode in ("I", "F"):
        raise DataError(f"{file} has 32-bit samples, whose range is unknown: save it with 8 or 16")
    picture = picture.convert("RGBA" if transparent else "RGB")
    if transparent:
        lowest, _ = picture.getchannel("A").getextrema()
        if lowest < 255 and alpha == "refuse":
            raise ValueError(
                f'{file} is partly transparent: alpha="composite" puts it on a white background'
            )
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture).convert("RGB")
    rgb = np.asarray(picture).transpose(2, 0, 1)
    return np.ascontiguousarray(rgb, dtype=np.float32) / np.float32(255)
