"""Test images and clips, and any picture or video of your own, as arrays.

Everything comes back as float32 of shape (3, height, width) or (3, frames, height, width): red,
green, blue, then time, rows from the top and columns from the left, values in [0, 1] (an 8-bit
sample v is v / 255). Colors are not managed: profiles, gamma and transfer curves are neither
applied nor converted, as in the codec literature.
"""

from c3lite.data.clips import UVG_NAMES, bunny, moving_window, uvg, uvg_shape
from c3lite.data.images import DataError, clic2020, clic2020_names, crop, image, kodak
from c3lite.data.videos import video
