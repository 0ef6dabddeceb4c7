"""c3lite.data.video and the named clips: what is written is read, and bad input is named."""

import hashlib
import inspect
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from c3lite import data
from c3lite.data import yuv

T, H, W = 5, 12, 16
BUNNY_PIXELS_SHA256 = "e0533e16bb69e745a740defcc70620ecd73dc1ff6be2582e98e2842b5e2743e0"


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv("C3LITE_DATA", raising=False)


def planes_of(frames=T, height=H, width=W, top=255, seed=0):
    """Random Y, Cb, Cr of each frame, 4:2:0."""
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if top < 256 else "<u2"
    return [[rng.integers(0, top + 1, s).astype(dtype)
             for s in ((height, width), *2 * [(-(-height // 2), -(-width // 2))])]
            for _ in range(frames)]


def rgb_of(planes, matrix="bt601", full_range=False, depth=8):
    return np.stack([yuv.to_rgb(p, matrix, full_range, depth) for p in planes], axis=1)


def write_raw(path, planes):
    path.write_bytes(b"".join(p.tobytes() for frame in planes for p in frame))
    return path


def write_y4m(path, planes, header="C420jpeg", frame_header=b"FRAME\n"):
    height, width = planes[0][0].shape
    body = b"".join(frame_header + b"".join(p.tobytes() for p in frame) for frame in planes)
    path.write_bytes(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 {header}\n".encode() + body)
    return path


def write_stream(path, codec, pixel_format, arrays, options=None, colorspace=2, color_range=0,
                 file_options=None):
    """A file by PyAV from what `av.VideoFrame.from_ndarray` takes."""
    with av.open(str(path), "w", options=file_options) as container:
        stream = container.add_stream(codec, rate=25)
        frames = [av.VideoFrame.from_ndarray(a, format=pixel_format) for a in arrays]
        stream.width, stream.height = frames[0].width, frames[0].height
        stream.pix_fmt, stream.options = pixel_format, options or {}
        stream.codec_context.colorspace = colorspace
        stream.codec_context.color_range = color_range
        for frame in frames:
            frame.colorspace, frame.color_range = colorspace, color_range
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copy_packets(source, path, change):
    """The packets of a file in another one, as `change(n, packet)` leaves them, or none of it."""
    with av.open(str(source)) as container, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        for n, packet in enumerate(container.demux(container.streams.video[0])):
            if packet.dts is not None and change(n, packet):
                packet.stream = stream
                copy.mux(packet)
    return path


def stacked(planes):
    """Planes of even width as from_ndarray wants them."""
    return [np.concatenate([p.ravel() for p in frame]).reshape(-1, W) for frame in planes]


def write_folder(path, pictures, name="f{:03}.png", first=1):
    path.mkdir()
    for n, picture in enumerate(pictures, first):
        PIL.Image.fromarray(picture).save(path / name.format(n))
    return path


def pictures_of(frames=T, height=H, width=W, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


# What is read is what was written


def test_raw_planes(tmp_path):
    planes = planes_of()
    path = write_raw(tmp_path / "clip.yuv", planes)
    clip = data.video(path, size=(H, W))
    assert clip.dtype == np.float32
    assert clip.shape == (3, T, H, W)
    assert (clip == rgb_of(planes)).all()
    assert clip.min() >= 0 and clip.max() <= 1
    named = write_raw(tmp_path / f"clip_{W}x{H}_30fps.yuv", planes)
    assert (data.video(named) == clip).all()  # width x height, as such files are named
    for matrix in ("bt601", "bt709"):
        for full in (False, True):
            seen = data.video(named, matrix=matrix, full_range=full)
            assert (seen == rgb_of(planes, matrix, full)).all()


def raw_planes(kind, depth):
    rng = np.random.default_rng(2)
    down, across = {"420": (2, 2), "422": (1, 2), "444": (1, 1), "gray": (1, 1)}[kind]
    shapes = ((H, W), *(0 if kind == "gray" else 2) * [(H // down, W // across)])
    return [[rng.integers(0, 2**depth, s).astype("u1" if depth == 8 else "<u2") for s in shapes]
            for _ in range(2)]


@pytest.mark.parametrize("kind", ["420", "422", "444", "gray"])
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_raw_planes_of_every_format_by_argument_and_by_name(tmp_path, kind, depth):
    planes = raw_planes(kind, depth)
    expected = rgb_of(planes, depth=depth)
    deep = "" if depth == 8 else f"{depth}le"
    full = f"{kind}{deep}" if kind == "gray" else f"yuv{kind}p{deep}"
    path = write_raw(tmp_path / "clip.yuv", planes)
    assert (data.video(path, size=(H, W), pixel_format=full) == expected).all()
    names = [f"clip_{W}x{H}_30_{full}", f"{full.upper()}-{W}x{H}", f"clip {W}x{H}{full}",
             f"clip_{W}x{H}_120fps_{kind}_{depth}bit_YUV", f"{depth}-bit.{kind}.{W}X{H}",
             f"clip_{W}x{H}_50_{depth}b_{kind}", f"a_{W}x{H}_{kind}_{depth} bits_crop"]
    if kind == "gray":
        names.append(f"clip_{W}x{H}_400_{depth}bit")
    else:
        names += [f"clip_{W}x{H}_{kind}p{deep}", f"clip_{W}x{H}_yuv{kind}_{deep or '8bit'}"]
    for name in names:
        path = write_raw(tmp_path / f"{name}.yuv", planes)
        assert (data.video(path) == expected).all(), name
    # arguments overrule a name
    wrong = write_raw(tmp_path / "clip_99x99_yuv411p_9bit.yuv", planes)
    assert (data.video(wrong, size=(H, W), pixel_format=full) == expected).all()


def test_numbers_in_a_name_that_are_no_format(tmp_path):
    planes = planes_of()
    for name in ("crowd_run_{}_1080p50", "a_{}_25fps", "b420c_{}_frame400to800", "cuda_{}_v2",
                 "take10_{}_2b", "{}_720p", "habit_{}", "0010_{}"):
        path = write_raw(tmp_path / f"{name.format(f'{W}x{H}')}.yuv", planes)
        assert (data.video(path) == rgb_of(planes)).all()


@pytest.mark.parametrize("name, stated", [
    ("yuv411p", "yuv411p"), ("nv12", "nv12"), ("p010le", "p010le"), ("rgb24", "rgb24"),
    ("RGB", "rgb"), ("yv12", "yv12"), ("yuv420p10be", "yuv420p10be"), ("uyvy422", "uyvy422"),
    ("gray10be", "gray10be"), ("422_yuv444p", "yuv422p, yuv444p"), ("8bit_p10_yuv420p10le",
    "10 bits, 8 bits"), ("yuv422p_10bit_12bit", "yuv422p, 10 bits, 12 bits"), ("9bit", "9 bits"),
    ("yuv420p14le", "14 bits"), ("32bit", "32 bits")])
def test_a_raw_name_that_cannot_be_read_or_contradicts_itself(tmp_path, name, stated):
    path = write_raw(tmp_path / f"clip_{W}x{H}_{name}.yuv", planes_of())
    for part in stated.split(", "):
        message = says(ValueError, rf"name of .*{name}\.yuv states .*rename it, or give", path)
        assert part in message


def test_a_raw_name_that_its_file_contradicts(tmp_path):
    planes = planes_of(3)
    path = write_raw(tmp_path / f"clip_{W}x{H}_10bit.yuv", planes)
    says(data.DataError, r"is cut off, or not yuv420p10le of 12 x 16", path)
    path = write_raw(tmp_path / f"clip_{W}x{H}_10bit.yuv", planes_of(2, top=1023))
    path.write_bytes(path.read_bytes()[:-1] + b"\x04")
    message = says(data.DataError, r"is not yuv420p10le: frame 1 has a sample of 1\d\d\d", path)
    assert path.name in message
    path = write_raw(tmp_path / f"crop_{W}x{H}_of_1920x1080.yuv", planes)
    says(ValueError, r"its name states 2 sizes: .* give its size", path)
    assert data.video(path, size=(H, W)).shape == (3, 3, H, W)


@pytest.mark.parametrize("stated, full", [
    ("C420jpeg", False), ("C420mpeg2 XCOLORRANGE=LIMITED", False),
    ("C420jpeg XCOLORRANGE=FULL", True)])
def test_y4m(tmp_path, stated, full):
    planes = planes_of()
    path = write_y4m(tmp_path / "clip.y4m", planes, stated)
    assert (data.video(path) == rgb_of(planes, full_range=full)).all()
    assert (data.video(path, full_range=not full) == rgb_of(planes, full_range=not full)).all()


@pytest.mark.parametrize("frame_header", [b"FRAME\n", b"FRAME Ip\n", b"FRAME Ip XA=b\n"])
def test_y4m_may_end_with_blank_lines_and_with_nothing_else(tmp_path, frame_header):
    planes = planes_of()
    path = write_y4m(tmp_path / "clip.y4m", planes, frame_header=frame_header)
    whole = path.read_bytes()
    for tail in (b"\n", b"\r\n", b"\n\n", b" "):
        path.write_bytes(whole + tail)
        assert (data.video(path) == rgb_of(planes)).all()
    for cut in (whole[:-1], whole[: -H * W * 3 // 2], whole + b"FRA", whole + frame_header,
                whole + frame_header + bytes(7)):
        path.write_bytes(cut)
        says(data.DataError, r"clip\.y4m is cut off", path)


def test_y4m_of_odd_sides_gray_and_ten_bits(tmp_path):
    planes = planes_of(2, 7, 9)
    clip = data.video(write_y4m(tmp_path / "odd.y4m", planes, "C420mpeg2"))
    assert clip.shape == (3, 2, 7, 9)
    assert (clip == rgb_of(planes)).all()
    gray = [frame[:1] for frame in planes]
    assert (data.video(write_y4m(tmp_path / "gray.y4m", gray, "Cmono")) == rgb_of(gray)).all()
    deep = planes_of(2, top=1023)
    clip = data.video(write_y4m(tmp_path / "deep.y4m", deep, "C420p10 XYSCSS=420P10"))
    assert (clip == rgb_of(deep, depth=10)).all()
    parameters = write_y4m(tmp_path / "ip.y4m", planes, "C420mpeg2", b"FRAME Ip\n")
    assert (data.video(parameters) == rgb_of(planes)).all()


@pytest.mark.parametrize("codec, suffix, options", [
    ("libx264", "mp4", {"qp": "0"}), ("ffv1", "mkv", {}),
    ("libx265", "mkv", {"x265-params": "lossless=1:log-level=none"})])
@pytest.mark.parametrize("matrix, number", [("bt601", 6), ("bt709", 1)])
def test_lossless_streams_with_their_own_colors(tmp_path, codec, suffix, options, matrix, number):
    planes = planes_of(3, 32, W)
    path = write_stream(tmp_path / f"clip.{suffix}", codec, "yuv420p", stacked(planes), options,
                        colorspace=number, color_range=1)
    assert (data.video(path) == rgb_of(planes, matrix)).all()
    other = "bt709" if matrix == "bt601" else "bt601"
    assert (data.video(path, matrix=other) == rgb_of(planes, other)).all()


def test_full_range_streams_and_rgb_streams(tmp_path):
    planes = planes_of(3, 32, W)
    path = write_stream(tmp_path / "full.mp4", "libx264", "yuv420p", stacked(planes), {"qp": "0"},
                        colorspace=1, color_range=2)
    assert (data.video(path) == rgb_of(planes, "bt709", True)).all()
    pictures = pictures_of()
    path = write_stream(tmp_path / "rgb.mkv", "libx264rgb", "rgb24", pictures, {"qp": "0"})
    assert (data.video(path) == pictures.transpose(3, 0, 1, 2) / np.float32(255)).all()


def test_a_clip_that_does_not_say_is_709_from_720_rows_on(tmp_path):
    for rows, matrix in ((718, "bt601"), (720, "bt709")):
        planes = planes_of(1, rows, 4)
        path = write_y4m(tmp_path / "clip.y4m", planes, "C420mpeg2")
        assert (data.video(path) == rgb_of(planes, matrix)).all()
        # a part of a high-definition clip is as the whole
        part = data.video(path, patch=(1, 2, 2), start=(0, 2, 2))
        assert (part == rgb_of(planes, matrix)[:, :, 2:4, 2:4]).all()


def moving(frames, height=48, width=64):
    """Luma and chroma of a moving ramp, as from_ndarray wants them: small files."""
    ramp = np.add.outer(np.arange(height * 3 // 2), np.arange(width))
    return [((ramp + 2 * t) % 200).astype(np.uint8) for t in range(frames)]


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_trimmed_clip_begins_where_its_edit_list_says(tmp_path, suffix):
    source = write_stream(tmp_path / "source.mp4", "libx264", "yuv420p", moving(60), {"g": "30"})

    def earlier(_, packet):
        ticks = int(0.6 / packet.time_base)
        packet.pts, packet.dts = packet.pts - ticks, packet.dts - ticks
        return True

    trimmed = copy_packets(source, tmp_path / f"trimmed.{suffix}", earlier)
    with av.open(str(trimmed)) as container:
        assert container.streams.video[0].frames == 60  # it counts what is not shown
    clip = data.video(trimmed)
    assert clip.shape == (3, 45, 48, 64)
    assert (clip == data.video(source, start=15)).all()
    assert (data.video(trimmed, frames=2, start=3) == clip[:, 3:5]).all()


@pytest.mark.parametrize("codec, options", [
    ("libx265", {"x265-params": "open-gop=1:keyint=20:bframes=4:log-level=none"}),
    ("libx264", {"x264-params": "open-gop=1:keyint=20:bframes=3:scenecut=0"})])
def test_an_open_gop_begins_with_what_can_be_decoded(tmp_path, codec, options):
    source = write_stream(tmp_path / "source.mp4", codec, "yuv420p", moving(60), options)
    shown, seen = [], []

    def from_the_second_key_frame(_, packet):
        seen.append(packet.is_keyframe)
        if sum(seen) < 2:
            return False
        shown.append((packet.pts, packet.is_keyframe))
        return True

    cut = copy_packets(source, tmp_path / "cut.mp4", from_the_second_key_frame)
    # what is shown before the key frame needs frames that are gone
    left = sum(pts >= shown[0][0] for pts, _ in shown)
    assert 30 < left < len(shown) == 60 - seen.index(True, 1)
    clip = data.video(cut)
    assert (clip == data.video(source, start=60 - left)).all()


def test_a_clip_with_gaps_has_the_frames_that_are_there(tmp_path):
    source = write_stream(tmp_path / "source.avi", "mpeg4", "yuv420p", moving(20))

    def later(n, packet):
        packet.dts += 5 * (n > 8)
        packet.pts = packet.dts
        return True

    gaps = copy_packets(source, tmp_path / "gaps.avi", later)
    with av.open(str(gaps)) as container:
        assert container.streams.video[0].frames == 25
    assert (data.video(gaps) == data.video(source)).all()


@pytest.mark.parametrize("name, codec, options, file_options", [
    ("a.mp4", "libx264", {"g": "8"}, {"movflags": "frag_keyframe+empty_moov"}),
    ("a.mp4", "libx264", {"g": "8"}, {"movflags": "faststart"}), ("a.mov", "libx264", {}, {}),
    ("a.mkv", "libx264", {}, {}), ("a.webm", "libvpx-vp9", {}, {}), ("a.avi", "mpeg4", {}, {})])
def test_a_file_cut_off_anywhere_is_an_error(tmp_path, name, codec, options, file_options):
    path = write_stream(tmp_path / name, codec, "yuv420p", moving(24, 32, 32), options,
                        file_options=file_options)
    whole = path.read_bytes()
    assert data.video(path).shape == (3, 24, 32, 32)
    for end in np.linspace(1, len(whole) - 1, 60).astype(int):
        if whole[end + 4 : end + 8] in (b"moof", b"mfra"):
            continue  # between whole fragments nothing tells that there were more
        path.write_bytes(whole[:end])
        says(data.DataError, "cut off|could not be read|no video in it|no frame|codec that", path)
    if "frag_keyframe" in file_options.get("movflags", ""):
        # between a fragment's table of contents and the fragment
        for end in range(whole.rindex(b"mdat") - 4, whole.rindex(b"mdat") + 9):
            path.write_bytes(whole[:end])
            says(data.DataError, "cut off", path)
    else:
        path.write_bytes(whole + bytes(100))  # some programs fill files up
        assert data.video(path).shape == (3, 24, 32, 32)


def test_lengths_that_a_program_could_not_fill_in(tmp_path):
    """A Matroska file or AVI that was written to a pipe does not state its length."""
    for name, codec, at, unknown in (("a.mkv", "libx264", None, b"\x01" + 7 * b"\xff"),
                                     ("a.avi", "mpeg4", 4, bytes(4)),
                                     ("a.avi", "mpeg4", 4, 4 * b"\xff")):
        path = write_stream(tmp_path / name, codec, "yuv420p", moving(5))
        content = bytearray(path.read_bytes())
        at = at or content.index(b"\x18S\x80g") + 4
        content[at : at + len(unknown)] = unknown
        path.write_bytes(content)
        assert data.video(path).shape == (3, 5, 48, 64)


def test_many_short_looks_at_a_clip_while_pyav_logs(tmp_path):
    """Closing a decoder whose threads log waited for ever."""
    path = write_stream(tmp_path / "a.mp4", "libx264", "yuv420p", moving(60), {"g": "30"})
    code = ("import av, sys; from c3lite import data; av.logging.set_level(av.logging.DEBUG)\n"
            "for _ in range(40): data.video(sys.argv[1], frames=1)\n"
            "print('all', file=sys.stdout)")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True,
                          timeout=120, check=True)
    assert done.stdout.endswith("all\n")


def test_a_folder_of_frames_in_the_order_of_their_numbers(tmp_path):
    pictures = pictures_of(12)
    expected = pictures.transpose(3, 0, 1, 2) / np.float32(255)
    folder = write_folder(tmp_path / "plain", pictures, "frame{}.png")  # frame2 after frame10
    (folder / "SOURCES.md").write_text("not a frame")
    (folder / "._frame1.png").write_bytes(b"")  # macOS
    assert (data.video(folder) == expected).all()
    assert (data.video(folder, start=3, frames=2) == expected[:, 3:5]).all()
    # names that do not count lack nothing: nanoseconds, every tenth frame
    for n, (start, step) in enumerate([(1700000000000000000, 40000000), (0, 10), (9, 991)]):
        stamps = tmp_path / f"stamps{n}"
        stamps.mkdir()
        for t, picture in enumerate(pictures):
            PIL.Image.fromarray(picture).save(stamps / f"{start + t * step}.png")
        assert (data.video(stamps) == expected).all()
    letters = tmp_path / "letters"
    letters.mkdir()
    for letter, picture in zip("ab", pictures[:2], strict=True):
        PIL.Image.fromarray(picture).save(letters / f"{letter}.png")
    assert (data.video(letters) == expected[:, :2]).all()


@pytest.mark.parametrize("kind", ["raw", "y4m", "folder", "stream"])
def test_parts(tmp_path, kind):
    planes = planes_of()
    path = {
        "raw": lambda: write_raw(tmp_path / f"clip_{W}x{H}.yuv", planes),
        "y4m": lambda: write_y4m(tmp_path / "clip.y4m", planes),
        "folder": lambda: write_folder(tmp_path / "clip", pictures_of()),
        "stream": lambda: write_stream(tmp_path / "clip.mkv", "libx264", "yuv420p",
                                       stacked(planes), {"qp": "0"}),
    }[kind]()
    whole = data.video(path)
    assert whole.shape == (3, T, H, W)
    assert (data.video(path, frames=2) == whole[:, :2]).all()
    assert (data.video(path, start=3) == whole[:, 3:]).all()
    assert (data.video(path, frames=1, start=4) == whole[:, 4:]).all()
    part = data.video(path, patch=(2, 5, 7), start=(1, 3, 9))
    assert (part == whole[:, 1:3, 3:8, 9:16]).all()
    assert (data.video(path, patch=(T, H, W), frames=T) == whole).all()


def test_a_name_with_a_colon_or_a_pattern_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    planes = planes_of()
    for name in ("12:30.y4m", "http:x.y4m", "pipe:0.y4m", "a%03d.y4m"):
        write_y4m(tmp_path / name, planes)
        assert (data.video(name) == rgb_of(planes)).all()
        assert (data.video(Path(name)) == rgb_of(planes)).all()


def test_a_folder_with_transparent_frames(tmp_path):
    pictures = np.dstack([pictures_of(1)[0], np.full((H, W), 255, np.uint8)])[None].repeat(2, 0)
    pictures[1, :3, :, 3] = 0
    folder = write_folder(tmp_path / "clip", pictures)
    says(ValueError, r'f002\.png is partly transparent: alpha="composite"', folder)
    clip = data.video(folder, alpha="composite")
    assert (clip[:, 1, :3] == 1).all() and (clip[:, 1, 3:] == clip[:, 0, 3:]).all()


# UVG


def test_uvg_by_name(tmp_path, monkeypatch):
    folder = tmp_path / "uvg"
    folder.mkdir()
    monkeypatch.setenv("C3LITE_DATA", str(tmp_path))
    planes = planes_of(2, 1080, 1920)
    write_raw(folder / "Jockey_1920x1080_120fps_420_8bit_YUV.yuv", planes)
    patch = data.uvg("jockey", patch=(2, 18, 24), start=(0, 180, 240))
    part = [[y[180:198, 240:264], *(c[90:99, 120:132] for c in chroma)] for y, *chroma in planes]
    assert (patch == rgb_of(part, "bt709")).all()
    assert data.uvg("Jockey", frames=1, start=1).shape == (3, 1, 1080, 1920)
    small = planes_of(2, seed=1)
    for n, name in enumerate(("Beauty_1920x1080_120fps_420_8bit_YUV.y4m", "ShakeNDry.y4m",
                              "ReadySteadyGo_1920x1080_120fps_420_8bit_YUV_Y4M.y4m")):
        write_y4m(folder / name, small[: 1 + n % 2])
    assert (data.uvg("Beauty") == rgb_of(small[:1], "bt709")).all()  # BT.709 whatever its size
    assert (data.uvg("shakendry") == rgb_of(small, "bt709")).all()
    assert (data.uvg("readysetgo") == data.uvg("ReadySteadyGo")).all()
    with pytest.raises(data.DataError, match=r"no HoneyBee_1920x1080_.*\.yuv \(or \.y4m\) in"):
        data.uvg("HoneyBee")
    with pytest.raises(ValueError, match=r"Beauty, Bosphorus, .* not 'Bunny'"):
        data.uvg("Bunny")
    assert len(set(data.UVG_NAMES)) == 7


def test_uvg_without_a_folder(tmp_path, monkeypatch):
    for folder in (None, tmp_path):
        if folder:
            monkeypatch.setenv("C3LITE_DATA", str(folder))
        with pytest.raises(data.DataError, match=r"put Beauty_1920.* set C3LITE_DATA=DIR"):
            data.uvg("Beauty")


# Shipped clips


def test_bunny():
    folder = files("c3lite") / "data" / "assets" / "video"
    clip = data.bunny()
    assert clip.shape == (3, 33, 180, 320)
    pixels = np.rint(255 * clip).astype(np.uint8)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == BUNNY_PIXELS_SHA256
    assert (data.bunny(patch=(2, 30, 40), start=(5, 20, 10)) == clip[:, 5:7, 20:50, 10:50]).all()
    notes = (folder / "SOURCES.md").read_text()
    assert "Blender Foundation" in notes and "Attribution 3.0" in notes
    assert sum(f.stat().st_size for f in folder.iterdir()) < 1_500_000


@pytest.mark.parametrize("dx, dy", [(0, 0), (6, 0), (-18, 5), (20, -6)])
def test_a_moving_window(dx, dy):
    clip = data.moving_window(dx, dy, frames=4, height=32, width=48)
    assert clip.shape == (3, 4, 32, 48)
    photo = data.kodak(19)
    (y, x), = {(y, x) for y in range(768 - 31) for x in range(512 - 47)
               if photo[0, y, x] == clip[0, 0, 0, 0]
               and (photo[:, y : y + 32, x : x + 48] == clip[:, 0]).all()}
    for t in range(4):
        at = data.crop(photo, y + t * dy, x + t * dx, 32, 48)
        assert (clip[:, t] == at).all()
    # the way lies in the middle of the photo
    middle = np.array([y + 1.5 * dy + 16, x + 1.5 * dx + 24])
    assert np.abs(middle - [384, 256]).max() <= 1


def test_a_moving_window_may_touch_the_edge_and_not_leave():
    clip = data.moving_window(4, -2, frames=5, height=20, width=30, photo=23, corner=(8, 0))
    assert (clip[:, 4] == data.kodak(23)[:, :20, 16:46]).all()
    with pytest.raises(ValueError, match=r"leaves photo 23: 6 frames with dy = -2 need rows -2 to"):
        data.moving_window(4, -2, frames=6, height=20, width=30, photo=23, corner=(8, 0))
    with pytest.raises(ValueError, match=r"dx = 60 need columns -\d+ to \d+, and it has 0 to 511"):
        data.moving_window(60, 0, frames=9, height=64, width=96)
    with pytest.raises(ValueError, match="at least one frame, row and column, not 0 x 64 x 96"):
        data.moving_window(0, 0, frames=0)
    with pytest.raises(ValueError, match="1 to 24, not 25"):
        data.moving_window(0, 0, photo=25)


# Bad input: a sentence each, which names the file


def says(error, sentence, *args, **kwargs):
    with pytest.raises(error, match=sentence) as caught:
        inspect.unwrap(data.video)(*args, **kwargs)
    assert "\n" not in str(caught.value) and caught.value.__cause__ is None
    return str(caught.value)


def test_raw_files_that_do_not_fit_their_size(tmp_path):
    path = write_raw(tmp_path / "clip.yuv", planes_of(2))
    frame = H * W * 3 // 2
    says(ValueError, r"clip\.yuv has no header, and its name states 0 sizes: .* its size", path)
    path.write_bytes(path.read_bytes()[:-10])
    says(data.DataError, rf"cut off.* 12 x 16 .*after 1 whole frames of {frame} bytes it has "
         rf"{frame - 10} bytes more", path, size=(H, W))
    says(ValueError, r"cannot be yuv420p of 11 x 16 .*multiples of 2 and 2", path, size=(11, W))
    says(ValueError, r"cannot be yuv422p of 12 x 15", path, size=(H, 15), pixel_format="yuv422p")
    says(ValueError, r"cannot be yuv420p of 0 x 16", path, size=(0, W))
    says(ValueError, r"clip\.yuv cannot be read as nv12: choose one of yuv420p, ", path,
         size=(H, W), pixel_format="nv12")


def test_files_that_are_cut_off_damaged_or_no_video(tmp_path):
    planes = planes_of(3, 32, W)
    y4m = write_y4m(tmp_path / "clip.y4m", planes)
    whole = y4m.read_bytes()
    for left_out in (1, 700):
        y4m.write_bytes(whole[:-left_out])
        says(data.DataError, r"clip\.y4m is cut off: it has [\d,]+ bytes", y4m)
    mp4 = write_stream(tmp_path / "clip.mp4", "libx264", "yuv420p", stacked(planes),
                       {"qp": "0", "movflags": "faststart"})
    content = mp4.read_bytes()
    mp4.write_bytes(content[: len(content) // 2])
    says(data.DataError, r"clip\.mp4 could not be read as a video: |clip\.mp4 is cut off", mp4)
    for content in (b"YUV4MPEG2 W16 H12 F25:1 C420jpeg", b"not a video" * 99,
                    whole.replace(b"C420jpeg", b"Cunknown")):
        y4m.write_bytes(content)
        says(data.DataError, r"clip\.y4m could not be read as a video: ", y4m)
    y4m.write_bytes(whole[: whole.index(b"\n") + 1])
    says(data.DataError, r"clip\.y4m (holds no frame|could not be read)", y4m)
    for suffix in (".yuv", ".y4m", ".mp4"):
        empty = tmp_path / f"empty{suffix}"
        empty.write_bytes(b"")
        says(data.DataError, r"is empty \(0 bytes\)", empty)
    says(FileNotFoundError, r"no file or folder .*nothing\.y4m", tmp_path / "nothing.y4m")


def test_formats_that_are_not_read(tmp_path):
    rng = np.random.default_rng(0)
    alpha = [rng.integers(0, 256, (H, W, 4), np.uint8)]
    path = write_stream(tmp_path / "alpha.mov", "qtrle", "argb", alpha)
    message = says(data.DataError, r"frame 0 of .*alpha\.mov has pixel format argb", path)
    assert "-pix_fmt yuv420p" in message
    path = write_stream(tmp_path / "hdr.mp4", "libx264", "yuv420p", stacked(planes_of(1, 32)),
                        {"qp": "0"}, colorspace=9)
    says(data.DataError, r'states color matrix 9 .*matrix="bt709"', path)
    assert data.video(path, matrix="bt709").shape == (3, 1, 32, W)
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    says(data.DataError, r"sound\.wav has no video in it", tmp_path / "sound.wav")


def test_folders_with_missing_or_unequal_frames(tmp_path):
    folder = write_folder(tmp_path / "clip", pictures_of(12), first=45)
    (folder / "f047.png").unlink()
    (folder / "f050.png").unlink()
    says(data.DataError, r"clip has frames 45 to 56 without 47, 50: ", folder)
    (folder / "f045.png").rename(folder / "f1000000000000.png")
    says(data.DataError, r"frames 46 to 1000000000000 without 47, 50, 57 to 999999999999: ", folder)
    equal = write_folder(tmp_path / "sizes", pictures_of(3))
    PIL.Image.fromarray(pictures_of(1, 8)[0]).save(equal / "f002.png")
    says(data.DataError, r"f002\.png is 8 x 16, and the frames before it are 12 x 16", equal)
    (equal / "f002.png").write_bytes(b"no picture")
    says(data.DataError, r"f002\.png is not a picture", equal)
    twice = write_folder(tmp_path / "twice", pictures_of(2))
    PIL.Image.fromarray(pictures_of(1)[0]).save(twice / "g2.png")
    says(data.DataError, r"twice has two frames numbered 2", twice)
    (twice / "g2.png").rename(twice / "cover.png")
    says(data.DataError, r"twice.cover\.png has no number, and other pictures", twice)
    (tmp_path / "empty").mkdir()
    says(data.DataError, r"empty holds no frame", tmp_path / "empty")


def test_pipes_and_unknown_codecs(tmp_path):
    os.mkfifo(tmp_path / "clip.y4m")
    says(data.DataError, r"clip\.y4m is a pipe or a device", tmp_path / "clip.y4m")
    path = write_stream(tmp_path / "odd.mkv", "libx264", "yuv420p", moving(3))
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_NEVER/SEEN/IT"))
    says(data.DataError, r"odd\.mkv is of a codec that FFmpeg does not know", path)


def test_parts_that_are_not_there(tmp_path):
    path = write_y4m(tmp_path / "clip.y4m", planes_of())
    says(ValueError, r"clip\.y4m has 5 frames; frame 0 to 5 .* was asked for", path, frames=6)
    says(ValueError, r"has 5 frames; frame 3 to 5", path, frames=3, start=3)
    says(ValueError, r"has at most 5 frames; frame 5 \(", path, start=5)
    says(ValueError, r"at least one frame, not 0", path, frames=0)
    says(ValueError, r"patch is .* each at least 1", path, patch=(2, 0, 4))
    says(ValueError, r"rows 0 to 12 and columns 0 to 15 .*not all inside the 12 x 16 of", path,
         patch=(2, 13, 16))
    says(ValueError, r"has 5 frames; frame 0 to 5", path, patch=(6, 4, 4))
    says(ValueError, r"columns 8 to 16", path, patch=(2, 4, 9), start=(0, 0, 8))
    says(ValueError, r"3 frames and a patch of 2 frames exclude", path, frames=3, patch=(2, 4, 4))
    says(ValueError, r"start is a frame or", path, start=-1)
    says(ValueError, r"start is a frame or", path, start=(0, 1))
    says(ValueError, r"needs a patch", path, start=(0, 1, 0))
    says(ValueError, r'"bt601" or "bt709", not', path, matrix="bt2020")
    says(ValueError, r"size is for raw", path, size=(H, W))
