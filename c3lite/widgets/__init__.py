"""Explorers for notebooks: play with latents, contexts, quantizers, masks and a running fit.

    from c3lite import widgets

    widgets.QuantizerExplorer()              # T, a and the schedule: Figs. 3 and 12

Each is a widget at the end of a cell. It answers in the browser, by mouse or keyboard, and carries
a still picture for places where nothing runs: an untrusted notebook, GitHub, nbconvert.
"""

from c3lite.widgets.export import export_html
from c3lite.widgets.quantizer import QuantizerExplorer

__all__ = ["QuantizerExplorer", "export_html"]
