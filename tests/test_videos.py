"""c3lite.data.video and the named clips: what is written is read, and bad input is named."""

import hashlib
import inspect
from importlib.resources import files

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


def write_stream(path, codec, pixel_format, arrays, options=None, colorspace=2, color_range=0):
    """A file by PyAV from what `av.VideoFrame.from_ndarray` takes."""
    with av.open(str(path), "w") as container:
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


def test_raw_planes_of_other_formats(tmp_path):
    rng = np.random.default_rng(2)
    for kind, (down, across) in {"420": (2, 2), "422": (1, 2), "444": (1, 1)}.items():
        for deep, top, sample in (("", 256, "u1"), ("10le", 1024, "<u2")):
            shapes = ((H, W), *2 * [(H // down, W // across)])
            planes = [[rng.integers(0, top, s).astype(sample) for s in shapes] for _ in range(2)]
            path = write_raw(tmp_path / "clip.yuv", planes)
            clip = data.video(path, size=(H, W), pixel_format=f"yuv{kind}p{deep}")
            assert (clip == rgb_of(planes, depth=10 if deep else 8)).all()


@pytest.mark.parametrize("stated, full", [
    ("C420jpeg", False), ("C420mpeg2 XCOLORRANGE=LIMITED", False),
    ("C420jpeg XCOLORRANGE=FULL", True)])
def test_y4m(tmp_path, stated, full):
    planes = planes_of()
    path = write_y4m(tmp_path / "clip.y4m", planes, stated)
    assert (data.video(path) == rgb_of(planes, full_range=full)).all()
    assert (data.video(path, full_range=not full) == rgb_of(planes, full_range=not full)).all()


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


def test_a_folder_of_frames_in_the_order_of_their_numbers(tmp_path):
    pictures = pictures_of(12)
    expected = pictures.transpose(3, 0, 1, 2) / np.float32(255)
    folder = write_folder(tmp_path / "plain", pictures, "frame{}.png")  # frame2 after frame10
    (folder / "SOURCES.md").write_text("not a frame")
    (folder / "._frame1.png").write_bytes(b"")  # macOS
    assert (data.video(folder) == expected).all()
    assert (data.video(folder, start=3, frames=2) == expected[:, 3:5]).all()
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
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_raw_files_that_do_not_fit_their_size(tmp_path):
    path = write_raw(tmp_path / "clip.yuv", planes_of(2))
    frame = H * W * 3 // 2
    says(ValueError, r"clip\.yuv has no header: give its size", path)
    path.write_bytes(path.read_bytes()[:-10])
    says(data.DataError, rf"cut off.* 12 x 16 .*after 1 whole frames of {frame} bytes it has "
         rf"{frame - 10} bytes more", path, size=(H, W))
    says(ValueError, r"cannot be yuv420p of 11 x 16 .*multiples of 2 and 2", path, size=(11, W))
    says(ValueError, r"cannot be yuv422p of 12 x 15", path, size=(H, 15), pixel_format="yuv422p")
    says(ValueError, r"cannot be yuv420p of 0 x 16", path, size=(0, W))
    says(ValueError, r"unknown pixel format 'nv12' of .*clip\.yuv: yuv420p, ", path, size=(H, W),
         pixel_format="nv12")


def test_files_that_are_cut_off_damaged_or_no_video(tmp_path):
    planes = planes_of(3, 32, W)
    y4m = write_y4m(tmp_path / "clip.y4m", planes)
    whole = y4m.read_bytes()
    for left_out in (1, 700):
        y4m.write_bytes(whole[:-left_out])
        says(data.DataError, r"clip\.y4m is cut off after 2 whole frames", y4m)
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
    folder = write_folder(tmp_path / "clip", pictures_of(9), first=45)
    (folder / "f047.png").unlink()
    (folder / "f050.png").unlink()
    says(data.DataError, r"clip has frames 45 to 53 without 47, 50: ", folder)
    equal = write_folder(tmp_path / "sizes", pictures_of(3))
    PIL.Image.fromarray(pictures_of(1, 8)[0]).save(equal / "f002.png")
    says(data.DataError, r"f002\.png is 8 x 16, and the frames before it are 12 x 16", equal)
    (equal / "f002.png").write_bytes(b"no picture")
    says(data.DataError, r"f002\.png is not a picture", equal)
    twice = write_folder(tmp_path / "twice", pictures_of(2))
    PIL.Image.fromarray(pictures_of(1)[0]).save(twice / "g2.png")
    says(data.DataError, r"twice has two frames numbered 2", twice)
    (tmp_path / "empty").mkdir()
    says(data.DataError, r"empty holds no frame", tmp_path / "empty")


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
