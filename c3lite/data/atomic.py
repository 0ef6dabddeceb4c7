"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | os.PathLike, write: Callable) -> None:
    """Call `write(file)` on a temporary file beside `path`, then rename it over `path`: whatever
    goes wrong (no space, a kill), the old file stays whole. A link stays, and what it leads to is
    replaced; a pipe or a device is written to."""
    if is_pipe(path):
        with open(path, "wb") as file:
            write(file)
        return
    path = Path(os.path.realpath(path))
    # not with the path's name in it: that may have all the bytes that a name can have
    temporary = path.with_name(f".c3lite.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # a full disk may only show here
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_pipe(path: str | os.PathLike) -> bool:
    """Or a device: written to as it is, where a file is replaced."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
