import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from absl import logging
from etils import epath
from PIL import Image

from buresgan_jax.data import _pixels, folder_source
from buresgan_jax.data._listing import list_pictures
from buresgan_jax.errors import UserError

CIFAR_JPEG = Path(__file__).parents[3] / "shared" / "data" / "cifar10_jpeg.tar.gz"
RED, GREEN = (255, 0, 0), (0, 255, 0)


def _save(folder, name, image, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def _picture(size=(8, 8), color=RED, mode="RGB"):
    return Image.new(mode, size, color)


def _only_pixels(folder, **options):
    source = folder_source(folder, **{"image_size": 8, **options})
    assert source.num_examples == 1
    return source.fetch(np.array([0]))[0]


@pytest.fixture
def warnings_logged(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *arguments: messages.append(text % arguments))
    return messages


@pytest.mark.parametrize("in_memory", [True, False])
def test_pictures_come_in_the_order_of_their_paths(tmp_path, in_memory):
    for value, name in enumerate(["B.png", "a.JPG", "a/c.jpeg", "a/d/x.PNG", "b.png"]):
        _save(tmp_path, name, _picture(color=(10 * value,) * 3), quality=100)
    for name in ("notes.txt", ".hidden.png", "a/._c.jpeg", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    source = folder_source(tmp_path, image_size=8, in_memory=in_memory)
    pictures = source.fetch(np.arange(5))
    assert pictures.dtype == np.uint8
    assert pictures.shape == (5, 8, 8, 3)
    # Compared part by part: "B.png" < "a" (the folder) < "a.JPG" < "b.png".
    np.testing.assert_allclose(pictures[:, 0, 0, 0], [0, 20, 30, 10, 40], atol=1)
    assert source.labels is None
    np.testing.assert_array_equal(source.fetch(np.array([4, 0, 4])), pictures[[4, 0, 4]])


def test_subfolders_are_left_out_on_request(tmp_path):
    _save(tmp_path, "a.png", _picture())
    _save(tmp_path, "b/c.png", _picture())
    assert folder_source(tmp_path, image_size=8, recursive=False).num_examples == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("mode", "color", "suffix", "expected"),
    [
        ("L", 100, "png", (100, 100, 100)),
        ("1", 1, "png", (255, 255, 255)),
        ("RGB", (10, 200, 30), "png", (10, 200, 30)),
        ("RGBA", (0, 0, 200, 255), "png", (0, 0, 200)),
        ("RGBA", (0, 0, 0, 0), "png", (255, 255, 255)),  # transparency lies over white
        ("RGBA", (0, 0, 0, 51), "png", (204, 204, 204)),
        ("LA", (0, 51), "png", (204, 204, 204)),
        ("I;16", 257 * 100, "png", (100, 100, 100)),
        ("L", 100, "jpg", (100, 100, 100)),
        ("RGB", (10, 200, 30), "webp", (10, 200, 30)),
        ("RGBA", (0, 0, 0, 51), "webp", (204, 204, 204)),
        ("RGB", (10, 200, 30), "bmp", (10, 200, 30)),
        ("RGB", (10, 200, 30), "TIFF", (10, 200, 30)),
        ("RGBA", (0, 0, 0, 51), "tif", (204, 204, 204)),
        ("I;16", 257 * 100, "tif", (100, 100, 100)),
        ("I;16B", 257 * 100, "tif", (100, 100, 100)),
        ("CMYK", (0, 255, 255, 0), "tif", RED),
        ("L", 100, "gif", (100, 100, 100)),
        ("RGB", (10, 200, 30), "tga", (10, 200, 30)),
        ("RGB", (10, 200, 30), "ppm", (10, 200, 30)),
        ("L", 100, "pgm", (100, 100, 100)),
        ("RGB", (10, 200, 30), "jp2", (10, 200, 30)),
        ("RGB", (10, 200, 30), "pcx", (10, 200, 30)),
        ("RGB", (10, 200, 30), "ico", (10, 200, 30)),
        ("CMYK", (0, 255, 255, 0), "jpg", RED),
    ],
)
def test_every_color_mode_is_read(tmp_path, mode, color, suffix, expected, channels):
    _save(tmp_path, f"x.{suffix}", _picture(color=color, mode=mode), **{"lossless": True} if suffix == "webp" else {})
    pixels = _only_pixels(tmp_path, channels=channels)
    assert pixels.shape == (8, 8, channels)
    if channels == 1:
        expected = 0.299 * expected[0] + 0.587 * expected[1] + 0.114 * expected[2]
    tolerance = 3 if mode == "CMYK" else 1
    np.testing.assert_allclose(pixels.astype(float), np.broadcast_to(expected, pixels.shape), atol=tolerance)


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\xff"])
def test_palette_pictures_are_read(tmp_path, transparency):
    image = _picture(mode="P", color=0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (4, 0, 8, 8))
    options = {} if transparency is None else {"transparency": transparency}
    _save(tmp_path, "x.png", image, **options)
    pixels = _only_pixels(tmp_path)
    np.testing.assert_array_equal(pixels[0, 0], RED if transparency is None else (255, 255, 255))
    np.testing.assert_array_equal(pixels[0, 7], GREEN)


@pytest.mark.parametrize("in_memory", [True, False])
def test_exif_orientation_is_applied(tmp_path, in_memory):
    image = _picture()
    image.paste(GREEN, (0, 0, 8, 4))  # green above red
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to show: green comes to the right
    _save(tmp_path, "x.jpg", image, exif=exif, quality=100)
    pixels = _only_pixels(tmp_path, in_memory=in_memory).astype(int)
    np.testing.assert_allclose(pixels[:, 7], np.broadcast_to(GREEN, (8, 3)), atol=40)
    np.testing.assert_allclose(pixels[:, 0], np.broadcast_to(RED, (8, 3)), atol=40)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_the_first_frame_is_the_picture(tmp_path, suffix):
    frames = [_picture(color=color) for color in (RED, GREEN, RED)]
    _save(tmp_path, f"x.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(_only_pixels(tmp_path)[0, 0].astype(int), RED, atol=8)


@pytest.mark.parametrize(("mode", "color"), [("F", 0.5), ("I", 70_000), ("I", -1)])
def test_gray_values_of_an_unknown_range_are_refused(tmp_path, mode, color):
    _save(tmp_path, "x.tif", _picture(mode=mode, color=color))
    with pytest.raises(UserError, match=r"gray values of 32 bits, from .*, are not supported"):
        folder_source(tmp_path, image_size=8)


def test_pictures_of_phones_are_read(tmp_path):
    _picture().save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[_picture(color=GREEN)])
    np.testing.assert_allclose(_only_pixels(tmp_path)[0, 0].astype(int), RED, atol=2)


def _stripes():
    """12 wide, 4 high: 4 columns each of red, green and red."""
    image = _picture(size=(12, 4))
    image.paste(GREEN, (4, 0, 8, 4))
    return image


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        ("center", [GREEN] * 4),
        ("none", [RED, GREEN, GREEN, RED]),
        (2, [GREEN] * 4),
    ],
)
def test_pictures_are_cropped_as_asked(tmp_path, crop, expected):
    _save(tmp_path, "x.png", _stripes())
    pixels = _only_pixels(tmp_path, image_size=4, crop=crop, resize="nearest")
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (4, 4, 3)))


@pytest.mark.parametrize("resize", ["lanczos", "bicubic", "bilinear", "box", "nearest"])
def test_resizing_is_pillows(tmp_path, resize):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 47, 3), np.uint8))
    _save(tmp_path, "x.png", image)
    expected = image.resize((16, 16), Image.Resampling[resize.upper()], box=(8, 0, 39, 31))
    np.testing.assert_array_equal(_only_pixels(tmp_path, image_size=16, resize=resize), np.asarray(expected))


def test_pictures_of_the_right_size_are_not_changed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    _save(tmp_path, "x.png", Image.fromarray(pixels))
    np.testing.assert_array_equal(_only_pixels(tmp_path, image_size=9), pixels)


def test_memory_limit_makes_decoding_lazy_without_changing_it(tmp_path):
    for number in range(20):
        _save(tmp_path, f"{number}.png", _picture(color=(number, 0, 0)))
    eager, lazy = (folder_source(tmp_path, image_size=8, memory_limit_bytes=limit) for limit in (10**6, 10))
    indices = np.array([3, 19, 3, 0])
    np.testing.assert_array_equal(eager.fetch(indices), lazy.fetch(indices))
    (tmp_path / "11.png").unlink()  # "0", "1", "10", "11", ...
    eager.fetch(indices)
    with pytest.raises(UserError, match=r"11\.png.*cannot be opened"):
        lazy.fetch(indices)


@pytest.mark.parametrize("limit", [0.0, 1e9])
@pytest.mark.parametrize("num_files", [1, 2, 3, 600])
def test_threads_do_not_change_what_is_read(tmp_path, monkeypatch, limit, num_files):
    monkeypatch.setattr(_pixels, "_WORTH_A_THREAD_SECONDS", limit)
    for number in range(num_files):
        _save(tmp_path, f"{number:03}.png", _picture(size=(2, 2), color=(number % 256, number // 256, 0)))
    for in_memory in (True, False):
        pictures = folder_source(tmp_path, image_size=2, in_memory=in_memory).fetch(np.arange(num_files))
        np.testing.assert_array_equal(pictures[:, 0, 0].astype(int) @ [1, 256, 0], np.arange(num_files))


def _break_some(folder, *, num_good, num_broken):
    """Good pictures and files that are broken in different ways."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "PNG")
    data = buffer.getvalue()
    damages = [b"", b"not a picture", data[:2000], data[:1000] + b"\0" * 500 + data[1500:], data[:20]]
    for number in range(num_good):
        _save(folder, f"good{number:03}.png", _picture(color=(number, 0, 0)))
    for number in range(num_broken):
        (folder / f"bad{number:03}.png").write_bytes(damages[number % len(damages)])


def test_few_broken_pictures_are_left_out_with_one_warning(tmp_path, warnings_logged):
    _break_some(tmp_path, num_good=95, num_broken=5)
    source = folder_source(tmp_path, image_size=8)
    assert source.num_examples == 95
    np.testing.assert_array_equal(source.fetch(np.arange(95))[:, 0, 0, 0], np.arange(95))
    named = "bad000.png: not a picture, bad001.png: not a picture, bad002.png: image file is truncated, ..."
    assert warnings_logged == [f"{tmp_path}: using 95 pictures (95 PNG). Left out: 5 broken pictures ({named})."]


def test_lazy_reading_finds_broken_headers_now_and_broken_pixels_later(tmp_path, warnings_logged):
    _break_some(tmp_path, num_good=95, num_broken=5)
    source = folder_source(tmp_path, image_size=8, in_memory=False)
    assert (
        "using 97 pictures (97 PNG). Left out: 3 broken pictures (bad000.png: " in warnings_logged[0]
    )  # empty, text, cut within the header
    assert source.num_examples == 97
    np.testing.assert_array_equal(source.fetch(np.arange(2, 97))[:, 0, 0, 0], np.arange(95))
    with pytest.raises(UserError, match=r"Cannot decode .*bad002\.png.*Replace the file"):
        source.fetch(np.array([5, 0]))


@pytest.mark.parametrize(
    ("num_good", "num_broken", "options", "match"),
    [
        (89, 11, {}, r"11 of 100 pictures .* allowed fraction of 0\.1 \(bad000.png: not a picture, b"),
        (0, 3, {}, "3 of 3 pictures"),
        (0, 3, {"max_broken_fraction": 1.0}, "3 of 3 pictures"),
        (99, 1, {"on_broken": "error"}, r"\(bad000\.png: not a picture\)\. Mend or remove it"),
    ],
)
def test_too_many_broken_pictures_are_refused(tmp_path, num_good, num_broken, options, match):
    _break_some(tmp_path, num_good=num_good, num_broken=num_broken)
    with pytest.raises(UserError, match=match):
        folder_source(tmp_path, image_size=8, **options)


@pytest.mark.parametrize("in_memory", [True, False])
def test_picture_smaller_than_the_crop_is_named(tmp_path, in_memory):
    _save(tmp_path, "small.png", _picture())
    with pytest.raises(UserError, match=r"small\.png.*20x20 pixels out of a picture of 8x8"):
        folder_source(tmp_path, image_size=8, crop=20, in_memory=in_memory)


def test_what_is_used_and_left_out_is_said_in_one_line(tmp_path, warnings_logged):
    for number in range(3):
        _save(tmp_path, f"{number}.png", _picture())
    for name in ("a/0.webp", "a/1.WebP", "b/0.jpg", "b/1.bmp"):
        _save(tmp_path, name, _picture())
    assert folder_source(tmp_path, image_size=8).num_examples == 7
    assert not warnings_logged
    for name in ("notes.txt", "b/list.csv", "b/more.csv", "README"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "b" / "2.png").touch()
    assert folder_source(tmp_path, image_size=8, max_broken_fraction=0.2).num_examples == 7
    left_out = "1 broken picture (b/2.png: not a picture); 5 files of other kinds (.csv, .png, .txt, ...)"
    assert warnings_logged == [f"{tmp_path}: using 7 pictures (3 PNG, 2 WEBP, 1 JPEG, 1 BMP). Left out: {left_out}."]


def test_links_to_folders_are_followed_once(tmp_path, warnings_logged):
    _save(tmp_path, "elsewhere/0.png", _picture(color=(1, 0, 0)))
    _save(tmp_path, "elsewhere/deep/1.png", _picture(color=(2, 0, 0)))
    folder = tmp_path / "pictures"
    _save(folder, "own/2.png", _picture(color=(3, 0, 0)))
    os.symlink(tmp_path / "elsewhere", folder / "linked")
    os.symlink(folder / "own" / "2.png", folder / "again.png")  # links to files are pictures of their own
    source = folder_source(folder, image_size=8)
    np.testing.assert_array_equal(source.fetch(np.arange(4))[:, 0, 0, 0], [3, 1, 2, 3])
    assert not warnings_logged
    os.symlink(folder, folder / "own" / "loop")
    os.symlink(folder / "own", folder / "a")  # before `own` in order: the name of the folder itself stays
    os.symlink(folder / "self", folder / "self")
    os.symlink(folder, tmp_path / "elsewhere" / "back")
    again = folder_source(folder, image_size=8)
    np.testing.assert_array_equal(again.fetch(np.arange(4)), source.fetch(np.arange(4)))
    assert "1 file of another kind (self)" in warnings_logged[0]
    assert "3 links to folders that are read already (a, own/loop, linked/back)" in warnings_logged[0]


def test_folders_without_permission_are_left_out_with_a_word(tmp_path, monkeypatch, warnings_logged):
    for name in ("a/0.png", "b/1.png", "2.png"):
        _save(tmp_path, name, _picture())
    scan = os.scandir

    def scan_some(path):  # for root, every folder can be read
        if str(path).endswith("/b"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scan_some)
    assert folder_source(tmp_path, image_size=8).num_examples == 2
    assert "Left out: 1 folder that cannot be read (b: Permission denied)." in warnings_logged[0]
    with pytest.raises(UserError, match=r"A folder in .* cannot be read \(b: Permission denied\)\. Mend or remove it"):
        folder_source(tmp_path, image_size=8, on_broken="error")
    with pytest.raises(UserError, match=r"b' cannot be read: Permission denied. Fix its permissions."):
        folder_source(tmp_path / "b", image_size=8)


def test_dangling_link_is_refused_by_name(tmp_path):
    _save(tmp_path, "a.png", _picture())
    os.symlink(tmp_path / "nowhere", tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png.*cannot be opened"):
        folder_source(tmp_path, image_size=8)


def test_a_link_to_itself_is_refused_by_name(tmp_path):
    _save(tmp_path, "a.png", _picture())
    os.symlink(tmp_path / "b.png", tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b\.png.*cannot be opened"):
        folder_source(tmp_path, image_size=8)


def test_listing_a_folder_asks_no_file_for_its_kind(tmp_path, monkeypatch):
    _save(tmp_path, "a.png", _picture())
    _save(tmp_path, "sub/b.png", _picture())
    asked, stat = [], os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: asked.append(str(path)) or stat(path, **options))
    assert len(list_pictures(epath.Path(tmp_path), recursive=True).pictures) == 2
    assert not [path for path in asked if path.endswith(".png")]  # the folder's entries know it


def test_folders_that_cannot_be_used_are_refused(tmp_path):
    path = _save(tmp_path, "sub/a.png", _picture())
    (tmp_path / "empty").mkdir()
    for folder, options, match in [
        (tmp_path / "missing", {}, "does not exist"),
        (path, {}, "is a file"),
        (tmp_path / "empty", {}, "no pictures"),
        (tmp_path, {"recursive": False}, "recursive is off"),
    ]:
        with pytest.raises(UserError, match=match):
            folder_source(folder, image_size=8, **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"image_size": 0}, "image_size 0"),
        ({"channels": 4}, r"channels 4 .*1 \(gray\) or 3"),
        ({"crop": "middle"}, "crop 'middle'"),
        ({"crop": 0}, "crop 0"),
        ({"resize": "lanzcos"}, "resize 'lanzcos'.*lanczos, bicubic"),
        ({"on_broken": "ignore"}, "on_broken 'ignore'"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, options, match):
    with pytest.raises(UserError, match=match):
        folder_source(tmp_path, **{"image_size": 8, **options})


def test_real_jpegs_are_read(tmp_path):
    if not CIFAR_JPEG.exists():
        pytest.skip(f"needs {CIFAR_JPEG.name} in ../shared/data")
    import tarfile

    with tarfile.open(CIFAR_JPEG) as archive:
        for _ in range(200):
            member = archive.next()
            if member.isfile():
                archive.extract(member, tmp_path, filter="data")
    source = folder_source(tmp_path, image_size=32)
    pictures = source.fetch(np.arange(source.num_examples))
    assert source.num_examples > 100
    assert pictures.shape[1:] == (32, 32, 3)
    assert 80 < pictures.mean() < 170
    assert 40 < pictures.std() < 90
