"""The command line: `python -m c3lite`, or `c3lite`.

Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image

DESCRIPTION = """\
Compress a picture by fitting a small neural codec (C3 or COOL-CHIC) to it.

There is no pretrained model: `encode` trains latent grids and two tiny networks on this one
picture, then writes them as a file. That takes minutes; `decode` takes about a second and
needs no accelerator.

  c3lite encode photo.png photo.c3 --rd-weight 1e-3
  c3lite decode photo.c3 again.png
  c3lite info photo.c3
  c3lite compare photo.png photo.c3
"""

ENCODE = """\
Fit a codec to a picture and write it as a file.

The fit minimizes  MSE + lambda * bits per pixel  (values in [0, 1]). A larger lambda
(--rd-weight) makes a smaller file of lower quality: from about 1e-4 (high quality) to 2e-2.
More --steps make a better file; the paper's figures take 100000. A tenth as many steps of the
second stage (latents rounded) follow.
"""


class Failure(Exception):
    """What ends a command with exit code 1 and one line on standard error."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code; wrong usage exits with 2 (argparse)."""
    arguments = _parser().parse_args(argv)
    try:
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


def _fail(message: str) -> int:
    print("c3lite:", " ".join(message.split()), file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("c3lite", description=DESCRIPTION, formatter_class=raw)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    encode = commands.add_parser("encode", help="fit a codec to a picture and write a file",
                                 description=ENCODE, formatter_class=raw)
    encode.add_argument("input", type=Path, metavar="IN.png", help="any picture that Pillow reads")
    encode.add_argument("output", type=Path, metavar="OUT.c3")
    encode.add_argument("--rd-weight", type=_positive, default=1e-3, metavar="LAMBDA",
                        help="price of one bit per pixel (default: %(default)g)")
    encode.add_argument("--steps", type=_count, default=2000,
                        help="steps of the first stage (default: %(default)s)")
    choice = encode.add_mutually_exclusive_group()
    choice.add_argument("--preset", default="c3",
                        choices=("c3", "c3-clic", "cool-chic", "cool-chic-v2", "uvg"),
                        help="codec and training recipe (default: %(default)s)")
    choice.add_argument("--adaptive", action="store_true",
                        help="fit each of the paper's 12 settings of C3 for Kodak and keep the "
                             "best: 12 times slower")
    encode.add_argument("--seed", type=_count, default=0,
                        help="of initialization and noise (default: %(default)s)")
    encode.set_defaults(run=_encode)

    decode = commands.add_parser("decode", help="write a file's picture as PNG")
    decode.add_argument("input", type=Path, metavar="IN.c3")
    decode.add_argument("output", type=Path, metavar="OUT.png")
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
    compare.add_argument("original", type=Path, metavar="IN.png")
    compare.add_argument("file", type=Path, metavar="OUT.c3")
    compare.set_defaults(run=_compare)
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


# JAX takes seconds to import: each command imports c3lite itself, after its arguments are known to
# be good.


def _encode(arguments) -> None:
    _check_output(arguments)
    import jax

    from c3lite import bitstream, config, data
    from c3lite.checkpoint import write_atomically
    from c3lite.fit import adaptive, fit

    image = data.image(arguments.input)
    edits = {"rd_weight": arguments.rd_weight, "steps": arguments.steps,
             "stage2_steps": arguments.steps // 10}
    key = jax.random.key(arguments.seed)
    if arguments.adaptive:
        settings = [config.edit(c, **edits) for c in config.ADAPTIVE_KODAK]
        bitstream.check_limits(settings[0], image.shape[1:])
        result = adaptive(image, settings, key=key)
    else:
        setting = config.edit(config.PRESETS[arguments.preset], **edits)
        bitstream.check_limits(setting, image.shape[1:])
        result = fit(image, setting, key=key)
    if result.interrupted:
        raise KeyboardInterrupt
    file = bitstream.encode(result)
    write_atomically(arguments.output, lambda out: out.write(file))
    print(f"{arguments.output}: {len(file):,} bytes, {8 * len(file) / result.pixels:.4f} bpp, "
          f"{result.psnr:.2f} dB")


def _decode(arguments) -> None:
    if arguments.output.suffix.lower() != ".png":
        raise Failure(f"{arguments.output}: the output is a PNG; its name has to end with .png")
    _check_output(arguments)
    from c3lite import bitstream
    from c3lite.checkpoint import write_atomically

    image = _picture(bitstream, arguments.input)
    picture = PIL.Image.fromarray(np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0))
    write_atomically(arguments.output, lambda out: picture.save(out, "PNG"))
    print(f"{arguments.output}: {picture.width} x {picture.height} pixels")


def _info(arguments) -> None:
    from c3lite import bitstream

    info = bitstream.inspect(arguments.input.read_bytes())
    print(json.dumps(info.as_dict(), indent=2) if arguments.json else info)


def _compare(arguments) -> None:
    from c3lite import bitstream, complexity, data, metrics

    original = data.image(arguments.original)
    decoded = _picture(bitstream, arguments.file)
    if original.shape != decoded.shape:
        sizes = [f"{x.shape[2]} x {x.shape[1]}" for x in (original, decoded)]
        raise Failure(f"the sizes differ: {sizes[0]} pixels and {sizes[1]} pixels")
    file = arguments.file.read_bytes()
    macs = complexity.macs_per_pixel(bitstream.inspect(file).config, original.shape[1:])
    print(f"bpp   {8 * len(file) / original[0].size:.4f}")
    print(f"PSNR  {metrics.psnr(decoded, original):.2f} dB")
    print("MACs  " + ", ".join(f"{name} {value:.0f}" for name, value in _named(macs).items())
          + " a pixel to decode")


def _named(macs) -> dict[str, float]:
    return {**macs._asdict(), "total": macs.total}


def _picture(bitstream, path: Path) -> np.ndarray:
    image = bitstream.load(path)
    if image.ndim != 3:
        raise Failure(f"{path} holds a video; decode it in Python: c3lite.load(path)")
    return image


def _check_output(arguments) -> None:
    """Before any work: what would otherwise fail after minutes."""
    output = arguments.output
    if output.exists() and not arguments.force:
        raise Failure(f"{output} exists; --force overwrites it")
    if output.is_dir():
        raise Failure(f"{output} is a folder")
    if not output.parent.is_dir():
        raise Failure(f"there is no folder {output.parent}")
    if not os.access(output.parent, os.W_OK):
        raise Failure(f"the folder {output.parent} is not writable")


if __name__ == "__main__":
    sys.exit(main())
