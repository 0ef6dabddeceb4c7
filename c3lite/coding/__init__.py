"""Fits as files: `encode`, `decode`, and what is in a file (App. B.3).

From bytes to pixels: `files`, `header` (all that comes before the payload), `payload` (the walk
through it) with `rangecoder`, `pixels`, each called from two others at most. `info` counts bits.
"""

from c3lite.coding.files import decode, decode_frames, decode_patch, encode, load, save
from c3lite.coding.header import BitstreamError
from c3lite.coding.info import inspect
