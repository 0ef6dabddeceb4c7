"""How far a fit is, as plain text."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from c3lite.data.progress import progress_output
from c3lite.fitting.training import History, State


def progress_bar(progress: bool, total: int, done: int) -> tqdm:
    """One bar for all steps: plain text, readable in a notebook, under papermill and in a log."""
    return tqdm(
        total=total, initial=done, disable=not progress, file=progress_output(), unit="step",
        mininterval=0.5, dynamic_ncols=False, ncols=110, desc="compiling",
        bar_format="{desc} |{bar:10}| {n_fmt}/{total_fmt} {elapsed}, {remaining} left{postfix}")


def show_progress(bar: tqdm, state: State, history: History, label: str | None = None) -> None:
    """Move the bar by a chunk's steps, with its last loss, rate and quality. `label` says of what;
    None: of the stage."""
    if bar.disable:
        return
    compiled = bar.desc.startswith("compiling")
    # means over a batch
    loss, bits, mse = (np.nanmean(h[-1]) for h in (history.loss, history.bits, history.mse))
    bar.set_postfix_str(f"loss {loss:.3g}, latents {bits / np.prod(state.codec.shape):.3f} bpp, "
                        f"{-10 * np.log10(max(mse, 1e-12)):.2f} dB", refresh=False)
    stage = "stage 2" if np.isfinite(state.best.loss).all() else "stage 1"
    bar.set_description_str(label or stage, refresh=False)
    if compiled:  # its time says nothing of the steps to come
        bar.n = bar.initial = bar.last_print_n = bar.n + len(history.loss)
        bar.last_print_t = bar._time()
        bar.refresh()
    else:
        bar.update(len(history.loss))
