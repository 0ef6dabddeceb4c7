"""Explorers for notebooks: play with latents, contexts, quantizers, masks and a running fit.

    from c3lite import widgets

    widgets.LatentExplorer(fit)              # grids on and off, values and bits: Fig. 26
    widgets.ContextExplorer(fit)             # decode step by step, what a latent costs: Fig. 4
    widgets.LiveFit(photo, config)           # start, pause, stop; two configs: LiveFit(photo, a, b)
    widgets.compare({"original": photo, "C3": fit,   # Fig. 25; at equal rates:
                     "JPEG": c3.codecs.at_bpp(photo, c3.codecs.jpeg, fit.bpp)})
    widgets.QuantizerExplorer()              # T, a and the schedule: Figs. 3 and 12
    widgets.MaskExplorer(learned, clip, displacement=(dy, dx))  # of learn_offsets: Figs. 14, 15
    widgets.export_html(widget, "page.html") # any of them as a page that works offline

Each is a widget at the end of a cell. It answers in the browser, by mouse or keyboard, and has a
still for where nothing runs (untrusted notebooks, GitHub, nbconvert); `make lab` saves these alone.
"""

from c3lite.widgets.base import export_html
from c3lite.widgets.fitted import ContextExplorer, LatentExplorer
from c3lite.widgets.live import LiveFit
from c3lite.widgets.views import MaskExplorer, QuantizerExplorer, compare
