"""Files that appear whole or not at all."""

import os
import tempfile
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
    handle, temporary = tempfile.mkstemp(prefix=".c3lite.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # a full disk may only show here
        umask = os.umask(0)  # can only be read by setting it
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are their owner's alone
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def is_pipe(path: str | os.PathLike) -> bool:
    """Or a device: written to as it is, where a file is replaced."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
