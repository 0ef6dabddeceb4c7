"""A running fit to watch: start, pause, resume, stop; one config, or two side by side."""

import atexit
import math
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import traitlets
from IPython.display import publish_display_data
from jaxtyping import ArrayLike, Float, PRNGKeyArray
from matplotlib.figure import Figure

from c3lite import plots
from c3lite.coding import pixels as decoder
from c3lite.coding.header import take_apart
from c3lite.config import C3_FAST, Config
from c3lite.fitting import parameters
from c3lite.fitting.fit import Fit, check_image, finish
from c3lite.fitting.loop import chunks
from c3lite.fitting.training import History, State, begin, best_codec, joined, plain_jax
from c3lite.fitting.warm_up import best_start, on_window, window_of, with_networks_from
from c3lite.widgets.base import Explorer, jpeg, middle_frame, question, script

UPDATE_S = 2.0  # the browser hears of the fit about this often
UPDATE_SHARE = 0.025  # and updates, where they are slow, take at most this share of the time
POINTS = 300  # a curve has at most this many points, each the mean over some steps
PICTURE_WIDTH = 640
ABANDONED = "Python ends"
COLORS = "#0072B2", "#D55E00"  # --c3-blue and --c3-orange of widgets.css, on white


class LiveFit(Explorer):
    """Fit an image while you watch. Two configs advance step for step, from the same seed.

        live = widgets.LiveFit(photo)
        live            # press start; then, in another cell, live.fit

    The fit runs in a thread. Without a mouse: `start`, `pause`, `resume`, `stop`, `wait`. One
    LiveFit runs at a time: it stops when another one is started, and when its last view closes, as
    when its cell runs again. Raises `ValueError` for bad input, as `c3lite.fit` does.
    """

    _esm = script("live.js")
    title = question("How good is the codec after so many steps?")
    status = traitlets.Unicode("ready").tag(sync=True, shown=True)
    """ready, running, paused, finishing, done or failed."""
    message = traitlets.Unicode("press start").tag(sync=True, shown=True)
    live = traitlets.Dict().tag(sync=True, shown=True)
    clock = traitlets.Dict({"elapsed_s": 0.0, "left_s": None, "beat": 0}).tag(sync=True, shown=True)
    """Seconds of work so far and to come (None: not known yet); with a beat once a second, by which
    a browser notices when Python is no more."""

    _latest: "LiveFit | None" = None
    """The one that was started last."""
    _thread: threading.Thread | None = None  # before `__init__` can refuse: `close` asks for it

    def __init__(self, image: Float[ArrayLike, "3 *shape"], config: Config = C3_FAST,
                 config2: Config | None = None, *, names: tuple[str, ...] = ("A", "B"),
                 key: PRNGKeyArray | None = None):
        self._image = check_image(image)
        self._key = jax.random.key(0) if key is None else key
        configs = [config] if config2 is None else [config, config2]
        names = names if config2 is not None else ("the fit",)
        self._runs = [_Run(name, self._image, c) for name, c in zip(names, configs, strict=False)]
        self._going = threading.Event()
        self._end = ""  # why it was ended early
        self._began = self._worked_s = 0.0
        self._finishing = threading.Lock()
        self._fits: list[Fit] = []
        self._display_id, self._shown = uuid.uuid4().hex, False
        super().__init__(data={
            "original": jpeg(middle_frame(self._image), 90, PICTURE_WIDTH),
            "total": max(run.total for run in self._runs),
            "stage2": sorted({int(c.steps) for c in configs if int(c.stage2_steps)})})
        self._show()
        self.on_msg(self._receive)

    def start(self) -> None:
        """Begin to fit, in a thread; after an end, anew. Raises `RuntimeError` while it runs."""
        if self._alive():
            raise RuntimeError("this fit is running: stop it before you start it again")
        before, LiveFit._latest = LiveFit._latest, self
        if before is not None:
            before.stop("another fit was started")
        for run in self._runs:
            run.reset()
        self._fits, self._end, self._worked_s, self.error = [], "", 0.0, ""
        self._began = time.perf_counter()
        self._going.set()
        self.status, self.message = "running", "starting"
        self._thread = threading.Thread(
            target=self._work, args=(before and before._thread,), name="LiveFit", daemon=True)
        atexit.register(self._abandon)
        self._thread.start()
        self._teller = threading.Thread(target=self._tell_time, args=(self._thread,), daemon=True)
        self._teller.start()

    def pause(self) -> None:
        """Hold the fit after the steps that are under way, a second or so."""
        if self.status == "running":
            self._going.clear()
            self.status, self.message = "paused", "paused: nothing is lost"

    def resume(self) -> None:
        """Go on after `pause`."""
        if self.status == "paused":
            self.status, self.message = "running", "running"
            self._going.set()

    def stop(self, why: str = "stopped") -> None:
        """End the fit and keep the best so far; `fit` has it some seconds later."""
        if self._alive():
            self._end = self._end or why
            self._going.set()

    def close(self) -> None:
        """End the fit, and the widget with it."""
        self.stop("its widget was closed")
        super().close()

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _abandon(self) -> None:
        # Python ends: a thread cut off inside XLA would abort the process
        self._end = ABANDONED
        self._going.set()
        self._thread.join(10)

    def wait(self, timeout_s: int | float | None = None) -> Fit | list[Fit] | None:
        """Wait for the end and give back `fit` (`fits` of two configs); None after `timeout_s`.

        An interrupt (Ctrl-C, the notebook's stop button) stops the fit and keeps the best so far.
        Raises `RuntimeError` when the fit was not started or has failed.
        """
        thread = self._started()
        try:
            thread.join(timeout_s)
        except KeyboardInterrupt:
            self.stop()
            thread.join()
        if thread.is_alive():
            return None
        self._teller.join()  # which tells the last time in a moment
        return self.fit if len(self._runs) == 1 else self.fits

    def _started(self) -> threading.Thread:
        if self._thread is None:
            raise RuntimeError("this fit was not started: press start, or call start()")
        return self._thread

    @property
    def fits(self) -> list[Fit]:
        """One fit a config. Waits while a stopped fit is finished. Raises `RuntimeError` when it is
        not started, still running, or has failed."""
        thread = self._started()
        if self._end or self.status == "finishing":
            thread.join()
        if self.status == "failed":
            raise RuntimeError(f"the fit failed: {self.error}")
        if self.status != "done":
            raise RuntimeError(f"the fit is {self.status}: press stop, or call wait()")
        self._finish()
        return list(self._fits)

    @property
    def fit(self) -> Fit:
        """The fit, of the first config if there are two; else as `fits`."""
        return self.fits[0]

    def _receive(self, _, content: dict[str, Any], buffers) -> None:
        commands = {"start": self.start, "pause": self.pause, "resume": self.resume,
                    "stop": self.stop, "close": lambda: self.stop("its view was closed")}
        try:
            commands[content["command"]]()
        except Exception as error:  # else it would vanish in the kernel's log
            self.error = str(error)

    @plain_jax()
    def _work(self, before: threading.Thread | None) -> None:
        try:
            if before is not None and before.is_alive():
                self.message = "waiting for the fit before to stop"
                before.join()
            self._fit()
            if self._end == ABANDONED:
                return
            if self._end in ("", "stopped"):  # else nobody may ask for the result, or wait for it
                self.status, self.message = "finishing", "quantizing the networks"
                self._show()
                self._finish()
            self._show()
            where = "the result is in ." + ("fit" if len(self._runs) == 1 else "fits")
            self.message = f"{self._end or 'done'}: {where}"
            self._worked_s = time.perf_counter() - self._began
            self.status = "done"
        except Exception as error:
            self.error, self.message = str(error), "the fit failed"
            self.status = "failed"
        finally:
            atexit.unregister(self._abandon)
            if self._shown and self._end != ABANDONED:
                # so that what is saved has the end of the fit, not its beginning
                self._ipython_display_(update=True)

    def _fit(self) -> None:
        for run in self._runs:
            self.message = "compiling" + f" {run.name}" * (len(self._runs) > 1)
            if window_of(run.config, run.x.shape[1:]):
                self.message += " and fitting a window of it first"
            run.start_up(self._key, lambda: bool(self._end))
            run.advance(math.inf)
        shown, cost_s = -math.inf, 0.0
        going = [run for run in self._runs if run.done < run.total]
        while going:
            ahead, last = max(run.done for run in going), min(going, key=lambda run: run.done)
            if ahead > last.done:
                room = ahead - last.done
            elif self._end:
                return
            else:  # all are at one step
                if not self._going.is_set():
                    held = time.perf_counter()
                    self._going.wait()
                    self._began += time.perf_counter() - held
                    continue
                now = time.perf_counter()
                if now - shown > max(UPDATE_S, cost_s / UPDATE_SHARE):
                    if self.status == "running":
                        self.message = "running"
                    self._show()
                    shown = time.perf_counter()
                    cost_s = shown - now
                room = math.inf
            if self._end == ABANDONED:
                return
            if not last.advance(room):  # a second or so
                going.remove(last)

    def _finish(self) -> None:
        with self._finishing:
            if not self._fits:
                self._fits = [run.finish(bool(self._end)) for run in self._runs]

    def _show(self) -> None:
        self.live = {"runs": [run.report() for run in self._runs]}

    def _tell_time(self, thread: threading.Thread) -> None:
        while thread.is_alive():
            thread.join(1)
            left = [run.left_s for run in self._runs]
            if self.status in ("running", "finishing") and thread.is_alive():
                self._worked_s = time.perf_counter() - self._began
            self.clock = {"elapsed_s": self._worked_s, "beat": self.clock["beat"] + 1,
                          "left_s": None if None in left else sum(left)}

    def _ipython_display_(self, update: bool = False) -> None:
        self._shown = True
        publish_display_data(*self._repr_mimebundle_(), update=update,
                             transient={"display_id": self._display_id})

    def describe(self) -> str:
        if self.status == "ready":
            return ("A fit to watch, not started; the original. Run the cell and press start: the "
                    "picture, and curves of loss, rate and PSNR, follow the fit.")
        return f"A fit to watch, {self.status}. " + "; ".join(
            f"{run['name']}: {run['words']}" for run in self.live["runs"])

    def figure(self) -> Figure:
        if not all(run.done for run in self._runs):  # no curve yet
            figure = Figure(figsize=(5, 3), layout="constrained")
            plots.image(middle_frame(self._image), figure.subplots()).set_title(
                "the original: nothing is fitted yet", fontsize=9)
            return figure
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=(2, 3))
        reports = [run.report() for run in self._runs]
        for ax, name, label in zip(top.subplots(1, 3), ("loss", "bpp", "psnr"), (
                "loss", "rate of the latents (bpp)", "PSNR (dB)"), strict=True):
            for run, color in zip(reports, COLORS, strict=False):
                ax.plot(run["step"], run[name], color=color, label=run["name"])
            for step in self.data["stage2"]:
                ax.axvline(step, color="gray", linestyle="--", linewidth=1)
            plots.styles.finished(ax, xlim=(0, self.data["total"]), title=label,
                                  yscale="log" if name == "loss" else "linear")
        axes = bottom.subplots(1, len(self._runs) + 1)
        for run, report, ax in zip(self._runs, reports, axes, strict=False):
            plots.image(run.picture(), ax).set_title(
                f"{run.name}\n" + report["words"].replace("; ", "\n"), fontsize=8)
        plots.image(middle_frame(self._image), axes[-1]).set_title("the original", fontsize=8)
        return figure


class _Run:
    """One of the configs of a live fit."""

    def __init__(self, name: str, x: np.ndarray, config: Config):
        self.name, self.x, self.config = name, x, config
        self.total = int(config.steps) + int(config.stage2_steps)
        self.reset()

    def reset(self) -> None:
        """To before the first step."""
        self.state: State | None = None
        self.past: list[History] = []
        self.seconds = 0.0  # of this config alone, pauses not counted
        self.steps_a_second = 0.0  # in the last chunk; at first unknown, as that one compiled
        self.final: Fit | None = None

    def start_up(self, key: PRNGKeyArray, ended: Callable[[], bool]) -> None:
        began = time.perf_counter()
        state = best_start(self.x, self.config, begin(self.x, self.config, key), self.past)
        if (first := on_window(self.x, self.config, state)) and not ended():
            for small, _ in chunks(*first):  # noqa: B007
                if ended():
                    break
            state = with_networks_from(state, small)
        self.state = state
        self._room = math.inf
        self._chunks = chunks(self.x, self.config, self.state, self.past, most=lambda: self._room)
        self.seconds += time.perf_counter() - began

    def advance(self, room: int | float) -> bool:
        """Another chunk, of `room` steps at most; False at the end."""
        began = time.perf_counter()
        self._room = room
        found = next(self._chunks, None)
        self.seconds += time.perf_counter() - began
        if found is None:
            return False
        self.state = found[0]
        if len(self.past) > 1:  # the first was compiled
            self.steps_a_second = len(found[1].loss) / max(time.perf_counter() - began, 1e-9)
        return True

    @property
    def done(self) -> int:
        """Steps taken."""
        return sum(len(past.loss) for past in self.past)

    @property
    def left_s(self) -> float | None:
        """Seconds that its remaining steps should take, once that is known."""
        if self.done == self.total:
            return 0.0
        return (self.total - self.done) / self.steps_a_second if self.steps_a_second else None

    def finish(self, interrupted: bool) -> Fit:
        began = time.perf_counter() - self.seconds
        self.final = finish(self.x, self.config, best_codec(self.state), joined(self.past), began,
                            interrupted)
        return self.final

    def picture(self) -> np.ndarray:
        """What a decoder would show now, of a video in its middle; at first the original."""
        if self.final is not None:
            return middle_frame(self.final.reconstruction)
        return middle_frame(self.x if self.state is None else _decoded(self.config, self.state))

    def report(self) -> dict[str, Any]:
        past, pixels, done = joined(self.past), self.x[0].size, self.done
        steps = np.array_split(np.arange(done), min(POINTS, done) or 1) if done else []
        mean = {name: [float(np.mean(values[s])) for s in steps] for name, values in {
            "loss": past.loss, "bpp": past.bits / pixels,
            "psnr": -10 * np.log10(np.maximum(past.mse, 1e-12))}.items()}
        words = f"step {done:,} of {self.total:,}"
        if self.final is not None:
            words += (f"; result {self.final.psnr:.2f} dB, {self.final.bpp_estimate:.3f} bpp, "
                      "networks included")
        elif done:
            words += f"; {mean['psnr'][-1]:.2f} dB, latents {mean['bpp'][-1]:.3f} bpp"
            if self.steps_a_second:
                words += f"; {self.steps_a_second:.0f} steps a second"
        else:
            words += "; this is the original"
        return {"name": self.name, "done": done, "total": self.total, "words": words, **mean,
                "step": [int(s[-1]) + 1 for s in steps],
                "picture": jpeg(self.picture(), 90, PICTURE_WIDTH)}


def _decoded(config: Config, state: State) -> np.ndarray:
    """The reconstruction with hard rounding and unquantized networks, without a compilation."""
    codec = state.codec
    symbols = np.concatenate([
        np.rint(gain * np.asarray(z).ravel() / config.quantization_step)
        for gain, z in zip(np.asarray(codec.gains(config)), codec.grids, strict=True)])
    arrays = take_apart(config, list(map(np.asarray, jax.tree.leaves(
        parameters.networks_of(codec)))))
    return decoder.synthesize(config, codec.shape, symbols.astype(np.int32), arrays)
