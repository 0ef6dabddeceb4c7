"""What a browser shows, and how fast."""

import base64
import io

import numpy as np
import PIL.Image


def pixels(canvas):
    """What a canvas shows, (3, height, width), 0 to 255."""
    data = base64.b64decode(canvas.evaluate("(c) => c.toDataURL()").partition(",")[2])
    with PIL.Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"), np.float64).transpose(2, 0, 1)


def put(panel, label, value):
    """Move a slider."""
    panel.locator(f'input[aria-label="{label}"]').evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", value)


def latency(panel, control, values, when=""):
    """Print median and largest milliseconds from a slider's event to the end of its drawing, and to
    the frame that shows it; and how often a second the slider can move."""
    times = panel.locator(f'input[aria-label="{control}"]').evaluate("""async (input, values) => {
      const drawn = [], shown = [];
      const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      await frame();
      for (const value of values) {
        input.value = value;
        const start = performance.now();
        input.dispatchEvent(new Event('input'));
        drawn.push(performance.now() - start);
        await frame();
        shown.push(performance.now() - start);
      }
      return [drawn, shown]; }""", list(values))
    drawn, shown = np.array(times)
    print(f"{control}{when}: drawn in {np.median(drawn):.1f} ms (largest {drawn.max():.1f}), on "
          f"the screen after {np.median(shown):.1f} ms (largest {shown.max():.1f}), "
          f"{1000 / shown.mean():.0f} a second")
