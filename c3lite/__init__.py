"""c3lite: fit, measure and take apart the neural codecs C3 and COOL-CHIC, on one image or video.

    import c3lite as c3
    fit = c3.fit(c3.data.kodak(19), c3.edit(c3.C3, steps=2000, stage2_steps=200))
"""

from c3lite import data
from c3lite.coding import (
    BitstreamError, decode, decode_frames, decode_patch, encode, inspect, load, save)
from c3lite.config import (
    ADAPTIVE_CLIC, ADAPTIVE_KODAK, ADAPTIVE_UVG, BEYOND, BEYOND_SMALL, C3, C3_CLIC, C3_FAST,
    COOL_CHIC, COOL_CHIC_V2, PRESETS, UVG, UVG_FAST, UVG_SETTINGS, Anneal, Config, edit, fitted_as)
from c3lite.data import course
from c3lite.data.patches import join_patches, patch_size, split_patches
from c3lite.evaluation import anchors as codecs
from c3lite.evaluation import complexity, metrics, reference
from c3lite.fitting.batch import fit_many
from c3lite.fitting.fit import Fit, fit
from c3lite.fitting.goals import fit_to
from c3lite.fitting.loop import FitError
from c3lite.video import motion
from c3lite.video.clips import VideoFit, adaptive, fit_video
from c3lite.video.masks import LearnedOffsets, learn_offsets

__version__ = "0.1.0"

__all__ = [
    "ADAPTIVE_CLIC", "ADAPTIVE_KODAK", "ADAPTIVE_UVG", "BEYOND", "BEYOND_SMALL", "C3", "C3_CLIC",
    "C3_FAST", "COOL_CHIC", "COOL_CHIC_V2", "PRESETS", "UVG", "UVG_FAST", "UVG_SETTINGS", "Anneal",
    "BitstreamError", "Config", "Fit", "FitError", "LearnedOffsets", "VideoFit", "adaptive",
    "codecs", "complexity", "course", "data", "decode", "decode_frames", "decode_patch", "edit",
    "encode", "fit", "fit_many", "fit_to", "fit_video", "fitted_as", "inspect", "join_patches",
    "learn_offsets", "load", "metrics", "motion", "patch_size", "reference", "save",
    "split_patches"]
