"""Compress a picture or a clip by fitting a small neural codec (C3 or COOL-CHIC) to it.

There is no pretrained model: `encode` trains latent grids and two tiny networks on this one
picture, then writes them as a file. That takes minutes; `decode` about a second, without a GPU.

  c3lite encode photo.png photo.c3
  c3lite encode photo.png photo.c3 --seconds 60 --rd-weight 2e-3
  c3lite encode photo.png photo.c3 --bpp 0.5
  c3lite decode photo.c3 again.png
  c3lite encode clip.y4m clip.c3 --frames 30
  c3lite decode clip.c3 frames
  c3lite info photo.c3
  c3lite compare photo.png photo.c3

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from c3lite import config, data
from c3lite.coding import files, inspect
from c3lite.coding.header import check_limits
from c3lite.data.atomic import is_pipe, write_atomically
from c3lite.data.patches import by
from c3lite.data.videos import CLIPS
from c3lite.evaluation import complexity, metrics
from c3lite.fitting.fit import fit
from c3lite.fitting.goals import fit_to
from c3lite.video.clips import adaptive, fit_video

ENCODE = f"""\
Fit a codec to a picture and write it as a file.

The fit minimizes  MSE + lambda * bits per pixel  (values in [0, 1]). A larger lambda
(--rd-weight) makes a smaller file of lower quality: from about 1e-4 (high quality) to 2e-2.
--bpp and --psnr look for the lambda that leads there by short fits before the long one.
More --steps make a better file, and --seconds takes as many as there is time for. A tenth as many
of the second stage (latents rounded) follow. The preset c3-fast is C3's decoder and file in few
steps; c3 is the paper's recipe, whose figures take 100000; beyond and beyond-small have a later
decoder, and need a c3lite that knows it.

A clip is cut into patches, of the paper's size for its lambda or of --patch, and each is fitted by
itself. Clips are folders of frames, and files whose names end with
{" ".join(CLIPS)}; raw planes (.yuv) state size and format in their names, as in
clip_1920x1080_420_10bit.yuv.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; wrong usage exits with 2 (argparse)."""
    # of a command of its own, with the imports, whose time the processor has counted
    began_s = time.perf_counter() - (time.process_time() if argv is None else 0)
    arguments = _parser().parse_args(argv, argparse.Namespace(began_s=began_s))
    with contextlib.suppress(AttributeError):  # a notebook's has no encoding to be short of letters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _say(str(message))
            arguments.run(arguments)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        _say("interrupted; nothing was written")
    except BrokenPipeError:  # `c3lite info FILE | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nor may Python's exit complain
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say(f"{where}{error.strerror or error}")
    except (ValueError, RuntimeError, MemoryError) as error:
        _say(str(error) or type(error).__name__)
    return 1


def _say(message: str) -> None:
    print("c3lite:", " ".join(message.split()), file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("c3lite", description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    encode = commands.add_parser("encode", help="fit a codec to a picture and write a file",
                                 description=ENCODE, formatter_class=raw)
    encode.add_argument("input", type=Path, metavar="IN.png", help="a picture, or a clip")
    encode.add_argument("output", type=Path, metavar="OUT.c3")
    goal = encode.add_mutually_exclusive_group()
    goal.add_argument("--rd-weight", type=_positive, default=1e-3, metavar="LAMBDA",
                      help="price of one bit per pixel (default: %(default)g)")
    goal.add_argument("--bpp", type=_positive,
                      help="of a picture: the file's bits per pixel, met within 2 percent")
    goal.add_argument("--psnr", type=_positive, metavar="DB",
                      help="of a picture: its quality in dB, met within 0.1 dB")
    length = encode.add_mutually_exclusive_group()
    length.add_argument("--steps", type=_count, default=2000,
                        help="of the first stage (default: %(default)s)")
    length.add_argument("--seconds", type=_positive,
                        help="of a picture: until the file is there, compilation included")
    choice = encode.add_mutually_exclusive_group()
    choice.add_argument("--preset", choices=config.PRESETS,
                        help="codec and training recipe (default: c3-fast, and uvg-fast for clips)")
    choice.add_argument("--adaptive", action="store_true",
                        help="fit each of the paper's 12 settings for Kodak (9 for a clip's "
                             "patch) and keep the best: that many times slower")
    encode.add_argument("--frames", type=_count, help="of a clip: only so many, from its start")
    encode.add_argument("--patch", type=_patch, metavar="T,H,W",
                        help="of a clip: frames, height and width of its patches")
    encode.add_argument("--seed", type=_count, default=0, help="of initialization and noise")
    encode.set_defaults(run=_encode)

    decode = commands.add_parser("decode", help="write a picture as PNG, or a clip's frames")
    decode.add_argument("input", type=Path, metavar="IN.c3")
    decode.add_argument("output", type=Path, metavar="OUT.png", help="of a clip: a folder")
    decode.set_defaults(run=_decode)
    for command in (encode, decode):
        command.add_argument("--force", action="store_true", help="overwrite what exists")

    info = commands.add_parser("info", help="show what a file holds and where its bits went")
    info.add_argument("input", type=Path, metavar="IN.c3")
    info.add_argument("--json", action="store_true", help="for programs")
    info.set_defaults(run=_info)

    compare = commands.add_parser("compare", help="rate, quality and decoding cost of a file")
    compare.add_argument("input", type=Path, metavar="IN.png", help="the original")
    compare.add_argument("file", type=Path, metavar="OUT.c3")
    compare.set_defaults(run=_compare)
    for command in (encode, compare):
        command.add_argument("--alpha", choices=("refuse", "composite"), default="refuse",
                             help="of partly transparent pictures: composite puts them on white")
        command.add_argument("--matrix", choices=data.yuv.KR_KB,
                             help="of a clip's colors, instead of what it states")
    return parser


def _checked(kind, holds, words: str):
    """An option's type: what `kind` reads, where that `holds`."""
    def read(text):
        with contextlib.suppress(ValueError):
            if holds(value := kind(text)):
                return value
        raise argparse.ArgumentTypeError(f"{text} is not {words}")

    return read


_positive = _checked(float, lambda value: 0 < value < math.inf, "a number above 0")
_count = _checked(int, lambda value: 0 <= value < 2**31, "a number in 0 ... 2^31")
_patch = _checked(lambda text: tuple(map(int, text.split(","))),
                  lambda sides: len(sides) == 3 and min(sides) > 0,
                  "three numbers, as in 30,180,240")


def _encode(arguments) -> None:
    _check_output(arguments)
    is_clip = _is_clip(arguments.input)
    if not is_clip and (arguments.frames or arguments.patch):
        raise ValueError(f"{arguments.input} is a picture: --frames and --patch are for clips")
    goal = {name: value for name in ("bpp", "psnr") if (value := getattr(arguments, name))}
    if (goal or arguments.seconds) and (is_clip or arguments.adaptive):
        raise ValueError("--seconds, --bpp and --psnr are for one fit of a picture: clips and "
                         "--adaptive take --steps and --rd-weight")
    if goal and arguments.seconds:
        raise ValueError("--bpp and --psnr take several fits, and --seconds is the time of one: "
                         "give --steps in its place")
    x = _original(arguments, arguments.frames)
    options = {"key": jax.random.key(arguments.seed), "on_collapse": "restart"}
    settings = [config.PRESETS[arguments.preset or ("uvg-fast" if is_clip else "c3-fast")]]
    if arguments.adaptive:
        settings = config.ADAPTIVE_UVG if is_clip else config.ADAPTIVE_KODAK
    settings = [config.edit(c, rd_weight=arguments.rd_weight, steps=arguments.steps,
                            stage2_steps=arguments.steps // 10) for c in settings]
    if is_clip:
        result = fit_video(x, settings, patch=arguments.patch,
                           mask_steps=min(1000, arguments.steps), **options)
    else:
        check_limits(settings[0], x.shape[1:])
        if goal:
            result = fit_to(x, settings[0], **goal, key=options["key"])
        elif arguments.adaptive:
            result = adaptive(x, settings, **options)
        else:
            gone_s = time.perf_counter() - arguments.began_s
            result = fit(x, settings[0], seconds=arguments.seconds and arguments.seconds - gone_s,
                         **options)
        if result.interrupted:
            raise KeyboardInterrupt
    size = files.save(result, arguments.output)
    _report(arguments.output, f"{size:,} bytes, {8 * size / result.pixels:.4f} bpp, "
            f"{result.psnr:.2f} dB{_similarity(result.reconstruction, x)}")


def _similarity(decoded: np.ndarray, original: np.ndarray) -> str:
    """What stands behind the PSNR; nothing for a clip, where it takes long, or a small picture."""
    found = metrics.ms_ssim(decoded, original) if original.ndim == 3 else None
    return "" if found is None else f", MS-SSIM {found:.4f}"


def _is_clip(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in CLIPS


def _original(arguments, frames: int | None) -> np.ndarray:
    path, alpha = arguments.input, arguments.alpha
    return (data.video(path, frames=frames, matrix=arguments.matrix, alpha=alpha)
            if _is_clip(path) else data.image(path, alpha))


def _decode(arguments) -> None:
    file, output = arguments.input.read_bytes(), arguments.output
    is_clip = files.holds_frames(file)
    _check_output(arguments, folder=is_clip)
    for_a_picture = output.suffix.lower() == ".png" or is_pipe(output)
    if is_clip == for_a_picture:
        raise ValueError(f"{arguments.input} holds a clip; name a folder for its frames" if is_clip
                         else f"{output}: the output is a PNG; its name has to end with .png")
    if is_clip:
        output.mkdir(exist_ok=True)
        for count, frame in enumerate(files.decode_frames(file), start=1):
            pixels = _save(frame, output / f"frame{count:05}.png")
        _report(output, f"{count} frames of {pixels}")
    else:
        _report(output, _save(files.decode(file), output))


def _save(image: np.ndarray, path: Path) -> str:
    """As PNG. Returns its size in words."""
    picture = data.images.to_pillow(image)
    write_atomically(path, lambda file: picture.save(file, "PNG"))
    return f"{picture.width} x {picture.height} pixels"


def _report(output: Path, text: str) -> None:
    # a pipe may well be standard output itself
    print(f"{output}: {text}", file=sys.stderr if is_pipe(output) else sys.stdout)


def _info(arguments) -> None:
    info = inspect(arguments.input.read_bytes())
    print(json.dumps(info.as_dict(), indent=2) if arguments.json else info)


def _compare(arguments) -> None:
    file = arguments.file.read_bytes()
    info, decoded = inspect(file), files.decode(file)
    original = _original(arguments, decoded.shape[1] if decoded.ndim == 4 else None)
    if original.shape != decoded.shape:
        raise ValueError(f"the sizes differ: {by(original.shape[1:])} and {by(decoded.shape[1:])}")
    # of a clip, the costliest patch's
    macs = max((complexity.macs_per_pixel(part.config, part.shape)
                for part in getattr(info, "patches", [info])), key=lambda macs: macs.total)
    print(f"bpp   {8 * len(file) / original[0].size:.4f}")
    print(f"PSNR  {metrics.quality(decoded, original):.2f} dB{_similarity(decoded, original)}")
    parts = ", ".join(f"{name} {count:.0f}" for name, count in macs._asdict().items())
    print(f"MACs  {parts}, total {macs.total:.0f} a pixel to decode")


def _check_output(arguments, folder: bool = False) -> None:
    """Before any work: what would otherwise fail after minutes."""
    output = arguments.output
    if is_pipe(output):
        return
    with contextlib.suppress(FileNotFoundError):
        output.stat()  # an error if the name is too long
    if output.exists() and not arguments.force:
        raise ValueError(f"{output} exists; --force overwrites it")
    if output.is_dir() and not folder:
        raise ValueError(f"{output} is a folder")
    parent = Path(os.path.realpath(output)).parent  # of where a link leads
    if not parent.is_dir():
        raise ValueError(f"there is no folder {parent}")
    if not os.access(parent, os.W_OK):
        raise ValueError(f"the folder {parent} is not writable")


if __name__ == "__main__":
    sys.exit(main())
