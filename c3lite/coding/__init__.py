"""Fits as files: `encode`, `decode`, and what is in a file (App. B.3).

From bytes to pixels: `patches` (a clip's file), `one` (a fit's), `header`, `walk` (its payload),
`pixels`. What the walk needs: `order`, `integer_entropy`, `rangecoder`. What a file holds is
described in `contents`.
"""

from c3lite.coding.header import BitstreamError
from c3lite.coding.patches import decode, decode_frames, decode_patch, encode, inspect, load, save

__all__ = ["BitstreamError", "decode", "decode_frames", "decode_patch", "encode", "inspect", "load",
           "save"]
