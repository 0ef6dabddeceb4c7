"""A running fit to watch: start, pause, resume, stop; one config, or two side by side."""

from __future__ import annotations

import atexit
import io
import threading
import time
from typing import Any

import jax
import numpy as np
import traitlets
from jaxtyping import ArrayLike, Float, PRNGKeyArray
from matplotlib.figure import Figure

from c3lite import plots
from c3lite.coding import pixels as decoder
from c3lite.config import C3, Config
from c3lite.fitting import parameters
from c3lite.fitting.fit import Fit, check_image, finish
from c3lite.fitting.loop import chunks
from c3lite.fitting.training import History, State, begin, best_codec, joined, plain_jax
from c3lite.fitting.warm_up import warm_up
from c3lite.model import latents
from c3lite.widgets.base import Explorer, pillow, script

UPDATE_S = 2.0
"""The browser hears of the fit about this often."""

UPDATE_SHARE = 0.025
"""Updates take at most this share of the time; where they are slow, there are fewer of them."""

POINTS = 300
"""A curve has at most this many points, each the mean over some steps."""

PICTURE_WIDTH = 640


class LiveFit(Explorer):
    """Fit an image while you watch. Two configs advance side by side, from the same seed.

        live = widgets.LiveFit(photo, c3.edit(c3.C3, steps=2000, stage2_steps=200))
        live            # press start; then, in another cell, live.fit

    The fit runs in a thread, and the notebook stays free. Without a mouse: `start`, `pause`,
    `resume`, `stop`, `wait`. Raises `ValueError` for bad input, as `c3lite.fit` does.
    """

    _esm = script("live.js")
    status = traitlets.Unicode("ready").tag(sync=True, shown=True)
    """ready, running, paused, finishing, done or failed."""
    message = traitlets.Unicode("ready: press start").tag(sync=True, shown=True)
    live = traitlets.Dict().tag(sync=True, shown=True)

    def __init__(
        self,
        image: Float[ArrayLike, "3 *shape"],
        config: Config = C3,
        config2: Config | None = None,
        *,
        names: tuple[str, ...] = ("A", "B"),
        key: PRNGKeyArray | None = None,
    ):
        self._image = check_image(image)
        self._key = jax.random.key(0) if key is None else key
        configs = [config] if config2 is None else [config, config2]
        names = names if config2 is not None else ("the fit",)
        self._runs = [_Run(name, self._image, c) for name, c in zip(names, configs, strict=False)]
        self._going = threading.Event()
        self._stopped = self._abandoned = False
        self._thread: threading.Thread | None = None
        self._fits: list[Fit] = []
        super().__init__(data={"configs": len(configs)})
        self._show()
        self.on_msg(self._receive)

    def start(self) -> None:
        """Begin to fit, in a thread. Raises `RuntimeError` when it has been started before."""
        if self._thread is not None:
            raise RuntimeError("this fit was started before; make a new LiveFit")
        self._going.set()
        self.set_trait("status", "running")
        self.message = "starting: the first steps compile the program"
        self._thread = threading.Thread(target=self._work, name="LiveFit", daemon=True)
        atexit.register(self._abandon)
        self._thread.start()

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

    def stop(self) -> None:
        """End the fit and keep the best so far; `fit` has it some seconds later."""
        self._stopped = True
        self._going.set()

    def _abandon(self) -> None:
        # Python ends: a thread cut off inside XLA would abort the process
        self._abandoned = True
        self.stop()
        self._thread.join(10)

    def wait(self, timeout_s: float | None = None) -> Fit | list[Fit] | None:
        """Wait for the end and give back `fit` (`fits` of two configs); None after `timeout_s`.

        An interrupt (Ctrl-C, the notebook's stop button) stops the fit and keeps the best so far.
        Raises `RuntimeError` when the fit was not started or has failed.
        """
        if self._thread is None:
            raise RuntimeError("this fit was not started: press start, or call start()")
        try:
            self._thread.join(timeout_s)
        except KeyboardInterrupt:
            self.stop()
            self._thread.join()
        if self._thread.is_alive():
            return None
        return self.fit if len(self._runs) == 1 else self.fits

    @property
    def fits(self) -> list[Fit]:
        """One fit a config. Waits while a stopped fit is finished.

        Raises `RuntimeError` when it is not started, still running, or has failed.
        """
        if self._thread is None:
            raise RuntimeError("this fit was not started: press start, or call start()")
        if self._stopped or self.status == "finishing":
            self._thread.join()
        if self.status == "failed":
            raise RuntimeError(f"the fit failed: {self.error}")
        if self.status != "done":
            raise RuntimeError(f"the fit is {self.status}: press stop, or call wait()")
        return list(self._fits)

    @property
    def fit(self) -> Fit:
        """The fit, of the first config if there are two; else as `fits`."""
        return self.fits[0]

    def _receive(self, _, content: dict[str, Any], buffers) -> None:
        commands = {"start": self.start, "pause": self.pause, "resume": self.resume,
                    "stop": self.stop}
        try:
            commands[content["command"]]()
        except Exception as error:  # else it would vanish in the kernel's log
            self.error = str(error)

    @plain_jax()
    def _work(self) -> None:
        try:
            for run in self._runs:
                run.begin(self._key)
            shown, cost_s = time.perf_counter(), 0.0
            going = list(self._runs)
            while going and not self._stopped:
                last = min(going, key=lambda run: run.done)  # so that they stay side by side
                if not last.advance():  # a second or so
                    going.remove(last)
                now = time.perf_counter()
                if now - shown > max(UPDATE_S, cost_s / UPDATE_SHARE):
                    if self.status == "running":
                        self.message = "running"
                    self._show()
                    shown = time.perf_counter()
                    cost_s = shown - now
                self._going.wait()
            if self._abandoned:
                return
            self.status, self.message = "finishing", "finishing: quantizing the networks"
            self._show()
            self._fits = [run.finish(self._stopped) for run in self._runs]
            for run, fit in zip(self._runs, self._fits, strict=True):
                run.final = fit
            self._show()
            self.message = ("stopped" if self._stopped else "done") + ": the result is in .fit"
            self.status = "done"
        except Exception as error:
            self.error, self.message = str(error), "the fit failed"
            self.status = "failed"
        finally:
            atexit.unregister(self._abandon)

    def _show(self) -> None:
        self.live = {"runs": [run.report() for run in self._runs]}

    def describe(self) -> str:
        return f"A fit to watch, {self.status}. " + "; ".join(
            f"{run['name']}: {run['words']}" for run in self.live["runs"])

    def figure(self) -> Figure:
        figure = Figure(figsize=(9, 3), layout="constrained")
        left, *right = figure.subplots(1, 1 + len(self._runs))
        for run, ax in zip(self._runs, right, strict=True):
            report = run.report()
            left.plot(report["step"] or [0], report["loss"] or [1], label=report["name"])
            plots.image(run.picture(), ax).set_title(report["name"])
            ax.set_xlabel(report["words"], fontsize=8)
        left.set_xlim(0, max(run.total for run in self._runs))
        left.set_yscale("log")
        left.set_xlabel("step")
        left.set_title("loss")
        left.legend()
        return figure


class _Run:
    """One of the configs of a live fit."""

    def __init__(self, name: str, x: np.ndarray, config: Config):
        self.name, self.x, self.config = name, x, config
        self.total = int(config.steps) + int(config.stage2_steps)
        self.state: State | None = None
        self.past: list[History] = []
        self.seconds = 0.0  # of this config alone, pauses not counted
        self.steps_a_second = 0.0  # in the last chunk
        self.final: Fit | None = None

    def begin(self, key: PRNGKeyArray) -> None:
        began = time.perf_counter()
        state = begin(self.x, self.config, key)
        self.state = warm_up(self.x, self.config, state, self.past)
        self._chunks = chunks(self.x, self.config, self.state, self.past)
        self.seconds += time.perf_counter() - began

    def advance(self) -> bool:
        """Another chunk of steps; False at the end."""
        began = time.perf_counter()
        found = next(self._chunks, None)
        self.seconds += time.perf_counter() - began
        if found is None:
            return False
        self.state = found[0]
        self.steps_a_second = len(found[1].loss) / max(time.perf_counter() - began, 1e-9)
        return True

    @property
    def done(self) -> int:
        """Steps taken."""
        return sum(len(past.loss) for past in self.past)

    def history(self) -> History:
        return joined(self.past)

    def finish(self, interrupted: bool) -> Fit:
        began = time.perf_counter() - self.seconds
        return finish(self.x, self.config, best_codec(self.state), self.history(), began,
                      interrupted)

    def picture(self) -> np.ndarray:
        """What a decoder would show now (3, height, width); of a video, its middle frame.

        Before the start, the original.
        """
        if self.final is not None:
            x = self.final.reconstruction
        elif self.state is None:
            x = self.x
        else:
            x = _decoded(self.config, self.state)
        return x if x.ndim == 3 else x[:, x.shape[1] // 2]

    def report(self) -> dict[str, Any]:
        past, pixels, done = self.history(), self.x[0].size, self.done
        steps = np.array_split(np.arange(done), min(POINTS, done) or 1) if done else []
        mean = {name: [float(np.mean(values[s])) for s in steps] for name, values in {
            "loss": past.loss, "bpp": past.bits / pixels,
            "psnr": -10 * np.log10(np.maximum(past.mse, 1e-12))}.items()}
        words = f"step {done:,} of {self.total:,}"
        if self.state is None:
            words += "; this is the original"
        if self.final is not None:
            words += (f"; result: {self.final.psnr:.2f} dB, {self.final.bpp_estimate:.3f} bpp, "
                      "networks included")
        elif done:
            words += (f"; {mean['psnr'][-1]:.2f} dB, {mean['bpp'][-1]:.3f} bpp, "
                      f"{self.steps_a_second:.1f} steps a second")
        picture = pillow(self.picture())
        if picture.width > PICTURE_WIDTH:
            picture = picture.resize(
                (PICTURE_WIDTH, max(1, round(picture.height * PICTURE_WIDTH / picture.width))))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=90)
        return {"name": self.name, "done": done, "total": self.total, "words": words, **mean,
                "step": [int(s[-1]) + 1 for s in steps],
                "picture": {"mime": "image/jpeg", "bytes": file.getvalue(),
                            "width": picture.width, "height": picture.height}}


def _decoded(config: Config, state: State) -> np.ndarray:
    """The reconstruction with hard rounding and unquantized networks, without a compilation."""
    codec = state.codec
    gains = (latents.initial_gains(config) if codec.log2_gains is None
             else np.maximum(2.0 ** np.asarray(codec.log2_gains), config.gain_floor))
    symbols = np.concatenate([
        np.rint(gain * np.asarray(z).ravel() / config.quantization_step)
        for gain, z in zip(gains, codec.grids, strict=True)]).astype(np.int32)
    arrays = [np.asarray(a) for a in jax.tree.leaves(parameters.networks_of(codec))]
    return decoder.synthesize(config, codec.shape, symbols, arrays, 1.0, 1.0)
