"""c3lite.data: the shipped pictures, the ways to the others, and what becomes of a user's file."""

import hashlib
import itertools
import os
import struct
import threading
import traceback
import zipfile
import zlib
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

import av
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from c3lite import data
from c3lite.data import images

SHIPPED = files("c3lite") / "data" / "assets" / "kodak"

# The files as published, and their pixels as Pillow decodes them (RGB, row-major, 8 bits).
FILE_SHA256 = {
    19: "b7450b264b1b0a411390d8931b112c27905a992520fc90569dc4b920aa32bbdc",
    23: "e3111a2fd4da24af15d6459ef9eacfe54106b38e27b4a21821b75c3f5d2d5baf",
}
PIXELS_SHA256 = {
    19: "7956408ef24222d37ac53f579bd24d5b2c3557b16c657e8b71c1b6ae9f18de1b",
    23: "81992a83592267e69125666f3e3e04c1819529b4c4c1e55fde0a6a741bac4219",
}

rgb_arrays = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))
)


def channels_first(pixels):
    """(height, width, 3) 8-bit samples as c3lite wants them: (3, height, width) in [0, 1]."""
    return np.moveaxis(np.asarray(pixels), -1, 0).astype(np.float32) / np.float32(255)


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv("C3LITE_DATA", raising=False)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty download cache."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(images.pooch, "os_cache", lambda project: folder / project)
    return folder / "c3lite"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A web site on this machine: (its address, the folder it serves, the paths asked for)."""
    folder, asked = tmp_path / "site", []
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            asked.append(self.path)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", folder, asked
        server.shutdown()


# The Kodak suite


@pytest.mark.parametrize("n", [19, 23])
def test_shipped_kodak_is_the_published_file(n):
    published = (SHIPPED / f"kodim{n}.png").read_bytes()
    assert hashlib.sha256(published).hexdigest() == FILE_SHA256[n]
    picture = data.kodak(n)
    assert picture.dtype == np.float32
    assert picture.shape == ((3, 768, 512) if n == 19 else (3, 512, 768))
    pixels = np.rint(picture * 255).astype(np.uint8)
    assert hashlib.sha256(pixels.transpose(1, 2, 0).tobytes()).hexdigest() == PIXELS_SHA256[n]
    assert (pixels.astype(np.float32) / np.float32(255) == picture).all()


def test_digests_name_all_24_and_agree_with_the_shipped_two():
    lines = [line.split() for line in (SHIPPED / "SHA256SUMS").read_text().splitlines()]
    digests = {name: digest for digest, name in lines}
    assert sorted(digests) == [f"kodim{n:02d}.png" for n in range(1, 25)]
    assert len(set(digests.values())) == 24
    for n, digest in FILE_SHA256.items():
        assert digests[f"kodim{n}.png"] == digest


@pytest.mark.parametrize("n", [0, 25, -1])
def test_kodak_has_24(n):
    with pytest.raises(ValueError, match=f"1 to 24, not {n}"):
        data.kodak(n)


def test_kodak_from_a_folder(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    (tmp_path / "kodak").mkdir()
    PIL.Image.fromarray(pixels).save(tmp_path / "kodak" / "kodim07.png")
    PIL.Image.fromarray(pixels).save(tmp_path / "kodak" / "kodim19.png")
    monkeypatch.setenv("C3LITE_DATA", str(tmp_path))
    assert (data.kodak(7) == channels_first(pixels)).all()
    # The shipped file comes first: what a test or a lesson computes depends on no variable.
    assert data.kodak(19).shape == (3, 768, 512)


def serve_kodak_05(monkeypatch, site, content):
    """Serve `content` as Kodak 5, and expect image 23's digest of it."""
    address, folder, asked = site
    (folder / "kodim05.png").write_bytes(content)
    sums = folder / "data" / "assets" / "kodak" / "SHA256SUMS"
    sums.parent.mkdir(parents=True)
    sums.write_text(f"{FILE_SHA256[23]}  kodim05.png\n")
    monkeypatch.setattr(images, "files", lambda package: folder)
    monkeypatch.setattr(images, "KODAK_URL", address)
    return asked


def test_kodak_is_downloaded_once_and_kept(monkeypatch, site, cache, capsys):
    asked = serve_kodak_05(monkeypatch, site, (SHIPPED / "kodim23.png").read_bytes())
    picture = data.kodak(5)
    assert "100%" in capsys.readouterr().err  # the progress bar
    assert (cache / "kodim05.png").exists()
    assert (data.kodak(5) == picture).all()
    assert asked == ["/kodim05.png"]
    monkeypatch.undo()
    assert (picture == data.kodak(23)).all()


def test_a_changed_download_is_refused_and_not_kept(monkeypatch, site, cache):
    serve_kodak_05(monkeypatch, site, (SHIPPED / "kodim19.png").read_bytes())
    with pytest.raises(data.DataError, match=r"SHA-256 differs.*DIR/kodak/kodim05\.png") as caught:
        data.kodak(5)
    assert_alone(caught.value)
    assert not list(cache.iterdir())


def test_a_spoilt_cache_is_downloaded_again(monkeypatch, site, cache):
    serve_kodak_05(monkeypatch, site, (SHIPPED / "kodim23.png").read_bytes())
    cache.mkdir(parents=True)
    (cache / "kodim05.png").write_bytes(b"half a file")
    assert data.kodak(5).shape == (3, 512, 768)


@pytest.mark.parametrize("missing", ["server", "file"])
def test_no_network_says_what_to_do(monkeypatch, site, cache, missing):
    address, _, _ = site
    # Port 9, "discard": nothing answers there.
    address = "http://127.0.0.1:9/" if missing == "server" else address
    monkeypatch.setattr(images, "KODAK_URL", address)
    with pytest.raises(data.DataError) as caught:
        data.kodak(5)
    message = str(caught.value)
    assert f"{address}kodim05.png" in message
    assert "DIR/kodak/kodim05.png" in message and "C3LITE_DATA=DIR" in message
    assert "\n" not in message
    assert_alone(caught.value)


def assert_alone(error):
    """Without the tracebacks of the errors that led to it."""
    assert "".join(traceback.format_exception(error)).count("Traceback") == 1


# CLIC 2020


def test_clic2020_from_a_folder(tmp_path, monkeypatch):
    folder = tmp_path / "clic2020"
    folder.mkdir()
    shades = {"beach.png": 10, "alley.png": 20, "._alley.png": 30, "notes.txt": 40}
    for name, shade in shades.items():
        PIL.Image.new("RGB", (5, 4), (shade, 0, 0)).save(folder / name, format="PNG")
    monkeypatch.setenv("C3LITE_DATA", str(tmp_path))
    assert data.clic2020_names() == ("alley.png", "beach.png")
    for which, shade in [(1, 20), (2, 10), ("alley", 20), ("beach.png", 10)]:
        assert (data.clic2020(which)[0] == np.float32(shade) / np.float32(255)).all()
    for which in (0, 3, "harbor"):
        with pytest.raises(ValueError, match="from 1 to 2"):
            data.clic2020(which)


def test_clic2020_empty_folder(tmp_path, monkeypatch):
    (tmp_path / "clic2020").mkdir()
    monkeypatch.setenv("C3LITE_DATA", str(tmp_path))
    with pytest.raises(data.DataError, match=r"no PNG file in .*clic2020"):
        data.clic2020_names()


def test_clic2020_from_the_archive(tmp_path, monkeypatch, site, cache):
    address, folder, asked = site
    pixels = np.random.default_rng(0).integers(0, 256, (3, 7, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    archive = folder / "clic.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.write(tmp_path / "a.png", "valid/b.png")
        content.write(tmp_path / "a.png", "valid/a.png")
        content.writestr("__MACOSX/valid/._a.png", b"not a picture")
    monkeypatch.setattr(images, "CLIC2020_URL", address + "clic.zip")
    monkeypatch.setattr(images, "CLIC2020_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    assert data.clic2020_names() == ("a.png", "b.png")
    assert (data.clic2020("b") == channels_first(pixels)).all()
    assert asked == ["/clic.zip"]


# A user's own picture


@given(rgb_arrays)
def test_rgb_is_divided_by_255(tmp_path_factory, pixels):
    """Any size, one pixel wide or high included."""
    path = tmp_path_factory.getbasetemp() / "rgb.png"
    PIL.Image.fromarray(pixels).save(path)
    picture = data.image(path)
    assert picture.dtype == np.float32 and picture.flags.c_contiguous
    assert (picture == channels_first(pixels)).all()


# What the EXIF tag says was done to the upright picture, undone (rows, columns, channels).
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: stored.transpose(1, 0, 2)[:, ::-1],
    7: lambda stored: stored.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda stored: stored.transpose(1, 0, 2)[::-1],
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_exif_orientation_is_applied(tmp_path, orientation, bits, suffix):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    dtype = np.dtype(f"uint{bits}")
    stored = np.arange(6, dtype=dtype).reshape(2, 3) * dtype.type(40)
    PIL.Image.fromarray(stored).save(tmp_path / f"turned.{suffix}", exif=exif)
    gray = stored[..., None].astype(np.float32) / np.float32(2**bits - 1)
    upright = np.moveaxis(UPRIGHT[orientation](gray), -1, 0)
    picture = data.image(tmp_path / f"turned.{suffix}")
    assert (picture == np.repeat(upright, 3, axis=0)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    suffix = "png" if mode in ("1", "L", "P") else "tif"
    source = PIL.Image.open(SHIPPED / "kodim23.png").resize((24, 16)).convert(mode)
    source.save(tmp_path / f"picture.{suffix}")
    with PIL.Image.open(tmp_path / f"picture.{suffix}") as stored:
        assert stored.mode == mode
    expected = channels_first(source.convert("RGB"))
    assert (data.image(tmp_path / f"picture.{suffix}") == expected).all()


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif", "gif", "bmp", "tif", "ppm"])
def test_formats(tmp_path, suffix):
    """Lossy ones change a smooth picture a little; none turns it or swaps its channels."""
    ramp = np.linspace(0, 255, 24).astype(np.uint8)
    smooth = np.stack(
        [np.tile(ramp, (16, 1)), np.tile(ramp[:16, None], (1, 24)), np.full((16, 24), 40)], axis=-1
    ).astype(np.uint8)
    PIL.Image.fromarray(smooth).save(tmp_path / f"smooth.{suffix}")
    picture = data.image(str(tmp_path / f"smooth.{suffix}"))
    assert np.abs(picture - channels_first(smooth)).mean() < 0.03


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_16_bit_gray_keeps_its_bits(tmp_path_factory, gray):
    for suffix in ("png", "tif", "pgm"):
        path = tmp_path_factory.getbasetemp() / f"gray16.{suffix}"
        PIL.Image.fromarray(gray).save(path)
        picture = data.image(path)
        assert picture.shape == (3, *gray.shape)
        assert (picture == gray.astype(np.float32) / np.float32(65535)).all()


def test_16_bit_color_is_within_the_upper_8_bits(tmp_path):
    stored = np.random.default_rng(0).integers(0, 2**16, (16, 16, 3), np.uint16)
    encoder = av.CodecContext.create("png", "w")  # Pillow does not write 16-bit color
    encoder.width, encoder.height, encoder.pix_fmt = 16, 16, "rgb48be"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(stored, format="rgb48be")
    packets = encoder.encode(frame) + encoder.encode(None)
    (tmp_path / "deep.png").write_bytes(b"".join(bytes(packet) for packet in packets))
    picture = data.image(tmp_path / "deep.png")
    exact = np.moveaxis(stored, -1, 0).astype(np.float64) / 65535
    assert 0 < np.abs(picture - exact).max() < 1 / 256
    assert (picture == channels_first(stored >> 8)).all()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_of_unknown_range_are_refused(tmp_path, mode):
    PIL.Image.new(mode, (4, 4)).save(tmp_path / "deep.tif")
    with pytest.raises(data.DataError, match=r"deep\.tif has samples of unknown range"):
        data.image(tmp_path / "deep.tif")


def write_tiff(path, samples, bits, photometric, order="<", fill=1, sample_format=1, palette=None,
               extra=None, deflate=False):
    """Samples (rows, columns, channels), packed by hand as the TIFF 6.0 specification says."""
    rows, columns, channels = samples.shape
    if bits == 16:
        strip = samples.astype(f"{order}u2").tobytes()
    else:
        digits = samples[..., None] >> np.arange(bits - 1, -1, -1) & 1
        strip = np.packbits(digits.reshape(rows, -1).astype(np.uint8), axis=1).tobytes()
    strip = zlib.compress(strip) if deflate else strip
    if fill == 2:
        strip = bytes(int(f"{byte:08b}"[::-1], 2) for byte in strip)
    tags = {256: columns, 257: rows, 258: [bits] * channels, 259: 8 if deflate else 1,
            262: photometric, 266: fill, 273: 8, 277: channels, 278: rows, 279: len(strip),
            320: palette, 338: extra, 339: [sample_format] * channels}
    tags = {tag: np.atleast_1d(value) for tag, value in tags.items() if value is not None}
    strip += bytes(len(strip) % 2)
    at, table, values = 8 + len(strip) + 2 + 12 * len(tags) + 4, b"", b""
    for tag, value in tags.items():
        packed = value.astype(f"{order}u2").tobytes()
        if len(packed) > 4:
            packed, values = struct.pack(f"{order}I", at + len(values)), values + packed
        table += struct.pack(f"{order}HHI", tag, 3, value.size) + packed.ljust(4, b"\0")
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8 + len(strip))
    path.write_bytes(head + strip + struct.pack(f"{order}H", len(tags)) + table + bytes(4) + values)
    return path


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("fill", [1, 2])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_gray_tiff_of_all_depths(tmp_path, bits, fill, photometric, order, deflate):
    top = 2**bits - 1
    stored = np.array([[0, 1, top, top // 2], [top - 1, top // 3, 0, top]])
    path = write_tiff(tmp_path / "a.tif", stored[..., None], bits, photometric, order, fill,
                      deflate=deflate)
    try:
        gray = data.image(path)
    except data.DataError as error:
        # what Pillow cannot open; whatever it opens has to be right
        assert "could not be read" in str(error) or "not a picture" in str(error)
        assert (bits, fill, photometric, order) in {
            (8, 2, 0, "<"), (8, 2, 0, ">"), (16, 1, 0, ">"), (16, 2, 0, "<"), (16, 2, 0, ">"),
            (16, 2, 1, ">"), *((12, *rest) for rest in itertools.product((1, 2), (0, 1), "<>"))}
        assert (bits, fill, photometric, order) != (12, 1, 1, "<")
        return
    values = (stored if photometric == 1 else top - stored) / top
    np.testing.assert_allclose(gray, np.broadcast_to(values, (3, 2, 4)), atol=1e-7)


@pytest.mark.parametrize("order", "<>")
def test_color_tiff_of_all_photometrics(tmp_path, order):
    color = np.random.default_rng(0).integers(0, 256, (3, 5, 3))

    def read(*args, **kwargs):
        return data.image(write_tiff(tmp_path / "a.tif", *args, order=order, **kwargs))

    expected = channels_first(color)
    assert (read(color, 8, 2) == expected).all()
    for deflate in (False, True):
        assert (read(color * 256 + 77, 16, 2, deflate=deflate) == expected).all()
    opaque = np.dstack([color, np.full((3, 5), 255)])
    assert (read(opaque, 8, 2, extra=2) == expected).all()
    assert (read(opaque, 8, 2, extra=1) == expected).all()
    assert (read(np.dstack([255 - color, np.zeros((3, 5), int)]), 8, 5) == expected).all()
    gray = color[..., :1]
    for extra in (0, 1, 2):  # unspecified, premultiplied and plain alpha
        assert (read(np.dstack([gray, opaque[..., 3:]]), 8, 1, extra=extra) == expected[:1]).all()
    for bits in (1, 2, 4, 8):
        entries = 2**bits
        palette = np.random.default_rng(1).integers(0, 256, (3, entries)) * 257
        indices = np.arange(15).reshape(3, 5) % entries
        assert (read(indices[..., None], bits, 3, palette=palette.ravel())
                == (palette / 65535).astype(np.float32)[:, indices]).all()
    # YCbCr and CIELAB of gray and of black and white: their matrices are not what is tested here
    assert (read(np.dstack([gray, *2 * [np.full((3, 5), 128)]]), 8, 6) == expected[:1]).all()
    lab = read(np.array([[[0, 0, 0], [255, 0, 0]]]), 8, 8)
    np.testing.assert_allclose(lab, [[[0, 1]]] * 3, atol=1.01 / 255)


def test_pictures_without_a_known_range_are_refused(tmp_path):
    for bits in (8, 16):
        path = write_tiff(tmp_path / "odd.tif", np.ones((2, 3, 1), int), bits, 1, sample_format=2)
        with pytest.raises(data.DataError, match=r"odd\.tif has samples of unknown range"):
            data.image(path)
    cards = {"SIMPLE": "T", "BITPIX": 16, "NAXIS": 2, "NAXIS1": 3, "NAXIS2": 2}
    lines = [f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()] + ["END"]
    (tmp_path / "odd.fits").write_bytes("".join(lines).ljust(2880).encode() + bytes(12))
    with pytest.raises(data.DataError, match=r"odd\.fits has samples of unknown range"):
        data.image(tmp_path / "odd.fits")


@pytest.mark.parametrize("bits", [1, 2, 4, 7, 8, 9, 10, 12, 16])
def test_jpeg_2000_of_all_depths(tmp_path, bits):
    """Pillow writes 8 or 16 bits; with another precision in the header, these are shifted by the
    difference of the two middles."""
    full = 8 if bits <= 8 else 16
    values = np.linspace(0, 2**bits - 1, 16 * 16).round().astype(int).reshape(16, 16)
    stored = (values + 2 ** (full - 1) - 2 ** (bits - 1)).astype(f"u{full // 8}")
    path = tmp_path / "a.jp2"
    PIL.Image.fromarray(stored).save(path, irreversible=False)
    content = bytearray(path.read_bytes())
    precision = content.index(b"\xff\x4f\xff\x51") + 42
    assert content[precision] == full - 1
    content[precision] = bits - 1
    path.write_bytes(content)
    np.testing.assert_allclose(data.image(path)[0], values / (2**bits - 1), atol=1e-7)


@pytest.mark.parametrize("top", [1, 3, 100, 255, 1023, 65535])
def test_pgm_of_any_largest_value(tmp_path, top):
    values = np.linspace(0, top, 12).round().astype(int)
    (tmp_path / "a.pgm").write_bytes(
        b"P5 12 1 %d\n" % top + values.astype(np.uint8 if top < 256 else ">u2").tobytes())
    atol = 0.5 / (255 if top < 256 else 65535)
    np.testing.assert_allclose(data.image(tmp_path / "a.pgm")[2, 0], values / top, atol=atol)


@given(rgb_arrays, st.data())
def test_alpha(tmp_path_factory, pixels, draw):
    """Opaque: dropped. Transparent: refused, or the mixture with white to half an 8-bit level."""
    path = tmp_path_factory.getbasetemp() / "alpha.png"
    opaque = np.full(pixels.shape[:2], 255, np.uint8)
    PIL.Image.fromarray(np.dstack([pixels, opaque])).save(path)
    for choice in ("refuse", "composite"):
        assert (data.image(path, alpha=choice) == channels_first(pixels)).all()

    alpha = draw.draw(hnp.arrays(np.uint8, pixels.shape[:2]))
    alpha.flat[0] = draw.draw(st.integers(0, 254))
    PIL.Image.fromarray(np.dstack([pixels, alpha])).save(path)
    with pytest.raises(ValueError, match=r'alpha\.png is partly transparent: alpha="composite"'):
        data.image(path)
    weight = alpha.astype(np.float64) / 255
    expected = channels_first(pixels) * weight + (1 - weight)
    assert np.abs(data.image(path, alpha="composite") - expected).max() < 1 / 255


def test_transparency_without_an_alpha_channel(tmp_path):
    """One shade or palette entry declared transparent counts as well, if the picture uses it."""
    gray = PIL.Image.fromarray(np.array([[0, 100, 200]], np.uint8))
    gray.save(tmp_path / "gray.png", transparency=100)
    with pytest.raises(ValueError, match="partly transparent"):
        data.image(tmp_path / "gray.png")
    expected = np.array([0, 255, 200], np.float32) / np.float32(255)
    assert (data.image(tmp_path / "gray.png", alpha="composite") == expected).all()
    gray.save(tmp_path / "unused.png", transparency=101)
    assert (data.image(tmp_path / "unused.png")[0, 0] * 255 == [0, 100, 200]).all()
    gray.convert("P").save(tmp_path / "palette.gif", transparency=0)
    with pytest.raises(ValueError, match="partly transparent"):
        data.image(tmp_path / "palette.gif")


def write_png(path, samples, bits, key):
    """Samples (rows, columns, channels) and a transparency key for them, packed by hand."""
    rows, columns, channels = samples.shape
    digits = samples[..., None] >> np.arange(bits - 1, -1, -1) & 1
    lines = np.packbits(digits.reshape(rows, -1).astype(np.uint8), axis=1)
    parts = {b"IHDR": struct.pack(">IIBBBBB", columns, rows, bits, channels - 1, 0, 0, 0),
             b"tRNS": np.array(key, ">u2").tobytes(),
             b"IDAT": zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines)),
             b"IEND": b""}
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts.items()))
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_shade_of_all_depths(tmp_path, bits):
    """Each shade in turn: only its own pixel is transparent."""
    top = 2**bits - 1
    shades = np.unique(np.linspace(0, top, 16).round().astype(int))
    for n, key in enumerate(shades):
        path = write_png(tmp_path / "a.png", shades[None, :, None], bits, key)
        with pytest.raises(ValueError, match="partly transparent"):
            data.image(path)
        expected = shades / top
        expected[n] = 1
        np.testing.assert_allclose(data.image(path, "composite")[1, 0], expected, atol=1e-7)
        others = np.delete(shades, n)
        path = write_png(tmp_path / "unused.png", others[None, :, None], bits, key)
        np.testing.assert_allclose(data.image(path)[1, 0], others / top, atol=1e-7)


def test_a_transparent_color(tmp_path):
    color = np.array([[[1, 2, 3], [200, 100, 0]]])
    path = write_png(tmp_path / "a.png", color, 8, (200, 100, 0))
    with pytest.raises(ValueError, match="partly transparent"):
        data.image(path)
    white = channels_first([[[1, 2, 3], [255, 255, 255]]])
    assert (data.image(path, "composite") == white).all()
    # of 16 bits, Pillow keeps 8: another color may have the same
    path = write_png(tmp_path / "deep.png", color * 256 + 9, 16, np.array([200, 100, 0]) * 256 + 8)
    for alpha in ("refuse", "composite"):
        with pytest.raises(ValueError, match=r"deep\.png has a transparent 16-bit color"):
            data.image(path, alpha)
    path = write_png(tmp_path / "unused.png", color * 256 + 9, 16, (200, 100, 0))
    assert (data.image(path) == channels_first(color)).all()


def test_a_pipe_is_read_once(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    for sent in (content, b""):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[sent])
        writer.start()
        if sent:
            assert (data.image(tmp_path / "pipe") == channels_first(pixels)).all()
        else:
            with pytest.raises(data.DataError, match=r"pipe is empty \(0 bytes\)"):
                data.image(tmp_path / "pipe")
        writer.join()


def test_animation_gives_its_first_frame(tmp_path):
    frames = [PIL.Image.new("RGB", (4, 3), color) for color in ("red", "lime", "blue")]
    for suffix in ("gif", "png", "tif"):
        path = tmp_path / f"moving.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        assert (data.image(path) == np.float32([1, 0, 0])[:, None, None]).all()


# Bad input


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("nowhere.png", FileNotFoundError, "there is no file"),
        ("folder", IsADirectoryError, "is a folder"),
        ("empty.png", data.DataError, "empty"),
        ("text.png", data.DataError, "not a picture"),
        ("half.png", data.DataError, "could not be read"),
        ("half.jpg", data.DataError, "could not be read"),
    ],
)
def test_unreadable_files_are_named_in_one_sentence(tmp_path, name, error, says):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("a text that somebody named .png")
    for suffix in ("png", "jpg"):
        whole = tmp_path / f"whole.{suffix}"
        PIL.Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(whole)
        content = whole.read_bytes()
        (tmp_path / f"half.{suffix}").write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(error, match=says) as caught:
        data.image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_damage_anywhere_is_a_data_error_or_a_picture(tmp_path_factory, noise):
    """Random bytes over the middle of a PNG never escape as an error of Pillow's own."""
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:20] + noise + content[20 + len(noise) :])
    try:
        picture = data.image(path)
    except data.DataError as error:
        assert str(path) in str(error)
    except ValueError as error:
        assert "transparent" in str(error)
    else:
        assert picture.shape[0] == 3 and 0 <= picture.min() <= picture.max() <= 1


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    PIL.Image.new("RGB", (2, 1)).save(tmp_path / "mine.png")
    assert data.image("~/mine.png").shape == (3, 1, 2)


# Cropping


@given(st.data())
def test_crop_is_the_window(draw):
    shape = draw.draw(hnp.array_shapes(min_dims=3, max_dims=4, max_side=8))
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    rows, columns = shape[-2:]
    y, x = draw.draw(st.integers(0, rows - 1)), draw.draw(st.integers(0, columns - 1))
    height = draw.draw(st.integers(1, rows - y))
    width = draw.draw(st.integers(1, columns - x))
    window = data.crop(array, y, x, height, width)
    assert window.shape == (*shape[:-2], height, width)
    assert window[..., 0, 0].flat[0] == array[..., y, x].flat[0]
    assert (window == array[..., y:, x:][..., :height, :width]).all()
    assert not np.shares_memory(window, array)


@pytest.mark.parametrize(
    ("window", "says"),
    [
        ((-1, 0, 2, 2), "rows -1 to 0"),
        ((0, -1, 2, 2), "columns -1 to 0"),
        ((3, 0, 2, 2), "4 rows and 5 columns"),
        ((0, 4, 2, 2), "columns 4 to 5"),
        ((0, 0, 0, 2), "not 0 x 2"),
        ((0, 0, 2, -1), "not 2 x -1"),
    ],
)
def test_crop_outside_is_refused(window, says):
    with pytest.raises(ValueError, match=says):
        data.crop(np.zeros((3, 4, 5), np.float32), *window)
