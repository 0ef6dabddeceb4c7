"""The command line: `python -m c3lite`, or `c3lite`.

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import PIL.Image

from c3lite import config, data
from c3lite.coding import patches as files
from c3lite.coding.header import check_limits
from c3lite.data.atomic import write_atomically
from c3lite.data.videos import CLIPS
from c3lite.evaluation import complexity, metrics
from c3lite.fitting.fit import fit
from c3lite.video.clips import adaptive, fit_video

DESCRIPTION = """\
Compress a picture or a clip by fitting a small neural codec (C3 or COOL-CHIC) to it.

There is no pretrained model: `encode` trains latent grids and two tiny networks on this one
picture, then writes them as a file. That takes minutes; `decode` takes about a second and
needs no accelerator.

  c3lite encode photo.png photo.c3 --rd-weight 1e-3
  c3lite decode photo.c3 again.png
  c3lite encode clip.y4m clip.c3 --frames 30
  c3lite decode clip.c3 frames
  c3lite info photo.c3
  c3lite compare photo.png photo.c3
"""

ENCODE = f"""\
Fit a codec to a picture and write it as a file.

The fit minimizes  MSE + lambda * bits per pixel  (values in [0, 1]). A larger lambda
(--rd-weight) makes a smaller file of lower quality: from about 1e-4 (high quality) to 2e-2.
More --steps make a better file; the paper's figures take 100000. A tenth as many steps of the
second stage (latents rounded) follow.

A clip is cut into patches, of the paper's size for its lambda or of --patch, and each is fitted by
itself, by default with the preset uvg. Clips are folders of frames, and files whose names end with
{" ".join(CLIPS)}; raw planes (.yuv) state size and format in their names, as in
clip_1920x1080_420_10bit.yuv.
"""


class Failure(Exception):
    """What ends a command with exit code 1 and one line on standard error."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; wrong usage exits with 2 (argparse)."""
    arguments = _parser().parse_args(argv)
    with contextlib.suppress(AttributeError):  # a notebook's has no encoding to be short of letters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _say(str(message))
            arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was written")
    except BrokenPipeError:  # `c3lite info FILE | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor may Python's exit complain
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except (Failure, ValueError, RuntimeError, MemoryError) as error:
        return _fail(str(error) or type(error).__name__)
    return 0


def _say(message: str) -> None:
    print("c3lite:", " ".join(message.split()), file=sys.stderr)


def _fail(message: str) -> int:
    _say(message)
    return 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("c3lite", description=DESCRIPTION, formatter_class=raw)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    encode = commands.add_parser("encode", help="fit a codec to a picture and write a file",
                                 description=ENCODE, formatter_class=raw)
    encode.add_argument("input", type=Path, metavar="IN.png",
                        help="any picture that Pillow reads, or a clip")
    encode.add_argument("output", type=Path, metavar="OUT.c3")
    encode.add_argument("--rd-weight", type=_positive, default=1e-3, metavar="LAMBDA",
                        help="price of one bit per pixel (default: %(default)g)")
    encode.add_argument("--steps", type=_count, default=2000,
                        help="steps of the first stage (default: %(default)s)")
    choice = encode.add_mutually_exclusive_group()
    choice.add_argument("--preset", choices=config.PRESETS,
                        help="codec and training recipe (default: c3, and uvg for clips)")
    choice.add_argument("--adaptive", action="store_true",
                        help="fit each of the paper's 12 settings of C3 for Kodak (of a clip's "
                             "patch: its 9 for videos) and keep the best: that many times slower")
    encode.add_argument("--frames", type=_count, help="of a clip: only so many, from its start")
    encode.add_argument("--patch", type=_patch, metavar="T,H,W",
                        help="of a clip: frames, height and width of its patches")
    encode.add_argument("--seed", type=_count, default=0,
                        help="of initialization and noise (default: %(default)s)")
    encode.set_defaults(run=_encode)

    decode = commands.add_parser(
        "decode", help="write a file's picture as PNG, or a clip's frames into a folder")
    decode.add_argument("input", type=Path, metavar="IN.c3")
    decode.add_argument("output", type=Path, metavar="OUT.png",
                        help="of a clip: the folder for its frames")
    decode.set_defaults(run=_decode)
    for command in (encode, decode):
        command.add_argument("--force", action="store_true",
                             help="overwrite the output if it exists")

    info = commands.add_parser("info", help="show what a file holds and where its bits went")
    info.add_argument("input", type=Path, metavar="IN.c3")
    info.add_argument("--json", action="store_true", help="for programs")
    info.set_defaults(run=_info)

    compare = commands.add_parser(
        "compare", help="rate, quality and decoding cost of a file against the original picture")
    compare.add_argument("input", type=Path, metavar="IN.png")
    compare.add_argument("file", type=Path, metavar="OUT.c3")
    compare.set_defaults(run=_compare)
    for command in (encode, compare):
        command.add_argument("--alpha", choices=("refuse", "composite"), default="refuse",
                             help="of a picture that is partly transparent: composite puts it on "
                                  "white (default: %(default)s)")
        command.add_argument("--matrix", choices=data.yuv.KR_KB,
                             help="of a clip's colors, instead of what it states")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not in 0 ... 2^31")
    return value


def _patch(text: str) -> tuple[int, ...]:
    sides = tuple(map(int, text.split(",")))
    if len(sides) != 3 or min(sides) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not three numbers, as in 30,180,240")
    return sides


def _encode(arguments) -> None:
    _check_output(arguments)
    is_clip = _is_clip(arguments.input)
    if not is_clip and (arguments.frames or arguments.patch):
        raise Failure(f"{arguments.input} is a picture: --frames and --patch are for clips")
    x = _original(arguments, arguments.frames)
    edits = {"rd_weight": arguments.rd_weight, "steps": arguments.steps,
             "stage2_steps": arguments.steps // 10}
    settings = [config.PRESETS[arguments.preset or ("uvg" if is_clip else "c3")]]
    if arguments.adaptive:
        settings = config.ADAPTIVE_UVG if is_clip else config.ADAPTIVE_KODAK
    settings = [config.edit(c, **edits) for c in settings]
    key = jax.random.key(arguments.seed)
    if is_clip:
        result = fit_video(x, settings, patch=arguments.patch, key=key,
                           mask_steps=min(1000, arguments.steps), on_collapse="restart")
    else:
        check_limits(settings[0], x.shape[1:])
        result = (adaptive(x, settings, key=key, on_collapse="restart") if arguments.adaptive
                  else fit(x, settings[0], key=key, on_collapse="restart"))
        if result.interrupted:
            raise KeyboardInterrupt
    size = files.save(result, arguments.output)
    _report(arguments.output, f"{size:,} bytes, {8 * size / result.pixels:.4f} bpp, "
            f"{result.psnr:.2f} dB")


def _is_clip(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in CLIPS


def _original(arguments, frames: int | None) -> np.ndarray:
    if _is_clip(arguments.input):
        return data.video(arguments.input, frames=frames, matrix=arguments.matrix,
                          alpha=arguments.alpha)
    return data.image(arguments.input, arguments.alpha)


def _decode(arguments) -> None:
    file, output = arguments.input.read_bytes(), arguments.output
    is_clip = files.holds_frames(file)
    _check_output(arguments, folder=is_clip)
    if not is_clip:
        if output.suffix.lower() != ".png" and not _is_pipe(output):
            raise Failure(f"{output}: the output is a PNG; its name has to end with .png")
        picture = _picture(files.decode(file))
        write_atomically(output, lambda out: picture.save(out, "PNG"))
        _report(output, f"{picture.width} x {picture.height} pixels")
        return
    if output.suffix.lower() == ".png" or _is_pipe(output):
        raise Failure(f"{arguments.input} holds a clip; name a folder for its frames")
    output.mkdir(exist_ok=True)
    for count, frame in enumerate(files.decode_frames(file), start=1):
        picture = _picture(frame)
        write_atomically(output / f"frame{count:05}.png",
                         lambda out, picture=picture: picture.save(out, "PNG"))
    _report(output, f"{count} frames of {picture.width} x {picture.height} pixels")


def _report(output: Path, text: str) -> None:
    # a pipe may well be standard output itself
    print(f"{output}: {text}", file=sys.stderr if _is_pipe(output) else sys.stdout)


def _picture(image: np.ndarray) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0))


def _info(arguments) -> None:
    info = files.inspect(arguments.input.read_bytes())
    print(json.dumps(info.as_dict(), indent=2) if arguments.json else info)


def _compare(arguments) -> None:
    file = arguments.file.read_bytes()
    info, decoded = files.inspect(file), files.decode(file)
    original = _original(arguments, decoded.shape[1] if decoded.ndim == 4 else None)
    if original.shape != decoded.shape:
        sizes = [" x ".join(map(str, x.shape[1:])) for x in (original, decoded)]
        raise Failure(f"the sizes differ: {sizes[0]} and {sizes[1]}")
    quality = metrics.mean_frame_psnr if decoded.ndim == 4 else metrics.psnr
    # of a clip, the costliest patch's
    macs = max((complexity.macs_per_pixel(part.config, part.shape)
                for part in getattr(info, "patches", [info])), key=lambda macs: macs.total)
    print(f"bpp   {8 * len(file) / original[0].size:.4f}")
    print(f"PSNR  {quality(decoded, original):.2f} dB")
    print("MACs  " + ", ".join(f"{name} {value:.0f}" for name, value in _named(macs).items())
          + " a pixel to decode")


def _named(macs) -> dict[str, float]:
    return {**macs._asdict(), "total": macs.total}


def _check_output(arguments, folder: bool = False) -> None:
    """Before any work: what would otherwise fail after minutes."""
    output = arguments.output
    if _is_pipe(output):
        return
    with contextlib.suppress(FileNotFoundError):
        output.stat()  # an error if the name is too long
    if output.exists() and not arguments.force:
        raise Failure(f"{output} exists; --force overwrites it")
    if output.is_dir() and not folder:
        raise Failure(f"{output} is a folder")
    parent = Path(os.path.realpath(output)).parent  # of where a link leads
    if not parent.is_dir():
        raise Failure(f"there is no folder {parent}")
    if not os.access(parent, os.W_OK):
        raise Failure(f"the folder {parent} is not writable")


def _is_pipe(path: Path) -> bool:
    """Or a device: written to as it is, where a file is replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


if __name__ == "__main__":
    sys.exit(main())
