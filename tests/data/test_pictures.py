"""A folder of pictures: any kind and size, classes by folders, what is left out, and what is kept."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from image_files import IMAGES, refusal
from PIL import Image

from clothinggan.data import pictures, sources
from clothinggan.data.formats import Flaw
from clothinggan.data.pictures import ReadPicture, read_picture


def block(height=60, width=40, *, grey=200, background=0):
    """A picture of a bright block, 30 high and 20 wide, with a notch that tells up from down."""
    picture = np.full((height, width), background, np.uint8)
    top, left = (height - 30) // 2, (width - 20) // 2
    picture[top : top + 30, left : left + 20] = grey
    picture[top : top + 8, left : left + 8] = background
    return picture


def drawn(number):
    """A picture that is like no other."""
    image = np.zeros((28, 28), np.uint8)
    image[6:22, 8:20] = np.random.default_rng(number).integers(100, 256, (16, 12))
    return image


def save(array, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def fill(folder, classes=("hats", "scarves"), each=10):
    for number in range(each * len(classes)):
        save(drawn(number), folder / classes[number % len(classes)] / f"{number}.png")
    return folder


def difference(image, other):
    return np.abs(image.astype(int) - other).mean()


# One picture


def test_a_picture_of_28_by_28_stays_as_it_is(tmp_path):
    image = read_picture(save(IMAGES[0], tmp_path / "a.png")).image
    np.testing.assert_array_equal(image, IMAGES[0])


@pytest.mark.parametrize("background", [0, 90, 255])
def test_a_picture_is_trimmed_and_gets_its_border_around_it(tmp_path, background):
    picture = block(90, 50, grey=170, background=background)
    read = read_picture(save(picture, tmp_path / "a.png"))
    image = read.image
    # 30 by 20 becomes 28 by 19: the longer side fills the square, and what is around is the background.
    assert (image[:, :4] == background).all()
    assert (image[:, -4:] == background).all()
    assert np.abs(image[12:26, 7:20].astype(int) - 170).max() < 3
    assert read.has_bright_border == (background == 255)


def test_crop_cuts_the_middle_out_and_trims_nothing(tmp_path):
    picture = block(56, 112)
    image = read_picture(save(picture, tmp_path / "a.png"), "crop").image
    halved = picture[:, 28:84].reshape(28, 2, 28, 2).mean(axis=(1, 3))
    assert difference(image, halved) < 3


def as_mode(array, mode):
    if mode == "I;16":
        return Image.fromarray(array.astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(array.astype(np.float32) / 255)
    picture = Image.fromarray(array)
    if mode in ("RGBA", "LA"):
        picture = picture.convert(mode)
        picture.putalpha(Image.fromarray(np.where(array > 0, 255, 0).astype(np.uint8)))
        return picture
    return picture.convert(mode)


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        ("1", "png"), ("L", "png"), ("P", "png"), ("RGB", "png"), ("RGBA", "png"), ("LA", "png"),
        ("I;16", "png"), ("L", "jpg"), ("RGB", "JPEG"), ("CMYK", "jpg"), ("P", "gif"), ("RGB", "bmp"),
        ("RGB", "webp"), ("RGBA", "webp"), ("L", "tif"), ("I;16", "tiff"), ("F", "tiff"),
    ],
)  # fmt: skip
def test_every_kind_and_mode_of_picture_is_read_as_the_same_greys(tmp_path, mode, ending):
    array = block(grey=255 if mode == "1" else 200)
    expected = read_picture(save(array, tmp_path / "plain.png")).image
    as_mode(array, mode).save(tmp_path / f"a.{ending}")
    read = read_picture(tmp_path / f"a.{ending}")
    assert difference(read.image, expected) < 6
    assert not read.has_bright_border


def cut_out(grey, path, alpha=None):
    """Saves a block of one grey without background."""
    alpha = block(grey=255) if alpha is None else alpha
    picture = Image.new("RGBA", alpha.shape[::-1], (grey, grey, grey, 255))
    picture.putalpha(Image.fromarray(alpha))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path


def test_what_is_transparent_is_black(tmp_path):
    read = read_picture(cut_out(255, tmp_path / "a.png"))
    assert not read.has_bright_border
    assert difference(read.image, read_picture(save(block(grey=255), tmp_path / "b.png")).image) < 1


def test_what_is_cut_out_close_to_its_edges_has_a_black_background(tmp_path):
    alpha = np.full((60, 30), 255, np.uint8)
    alpha[:10, :10] = 0
    image = read_picture(cut_out(200, tmp_path / "a.png", alpha)).image
    assert (image[:, 0] == 0).all()
    assert np.abs(image[15:25, 10:18].astype(int) - 200).max() < 3


def test_a_photograph_with_round_corners_is_not_cut_out(tmp_path):
    alpha = np.full((60, 60), 255, np.uint8)
    alpha[:3, :3] = alpha[-3:, -3:] = 0
    read = read_picture(cut_out(250, tmp_path / "a.png", alpha))
    assert read.inverted is None
    assert read.has_bright_border


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_its_camera_was_held(tmp_path, orientation):
    upright = Image.fromarray(block())
    back = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}.get(orientation)
    stored = upright if back is None else upright.transpose(pictures._UPRIGHT[back])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    expected = read_picture(save(block(), tmp_path / "plain.png")).image
    assert difference(read_picture(tmp_path / "a.jpg").image, expected) < 6


def png_of_size(width, height):
    """A PNG of a few bytes whose header promises so many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(bytes(1000)), b"IEND"]
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def content(array, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"no picture", "broken"),
    "cut": (content(IMAGES[0])[:200], "broken"),
    "tiny": (content(IMAGES[0, :3]), "tiny: 28x3"),
    "monstrous": (png_of_size(100_000, 100_000), "monstrous"),
    "large": (png_of_size(10_000, 10_000), "monstrous: 10000x10000"),
}


@pytest.mark.parametrize(("held", "flaw"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_read_says_why(tmp_path, held, flaw):
    (tmp_path / "a.png").write_bytes(held)
    with pytest.raises(Flaw, match=flaw):
        read_picture(tmp_path / "a.png")


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(Flaw, match="no regular file"):
        read_picture(tmp_path / "a.png")


# A folder of them


def test_subfolders_are_classes_in_the_order_of_their_names(tmp_path):
    dataset = sources.load(str(fill(tmp_path, ("scarves", "odd socks", "hats"))))
    assert dataset.class_names == ("hats", "odd socks", "scarves")
    assert np.bincount(dataset.train_labels).tolist() == [9, 9, 9]
    assert np.bincount(dataset.test_labels).tolist() == [1, 1, 1]
    assert dataset.description == f"{tmp_path} (dark borders): 27 training images of 28x28, 3 classes"
    assert dataset.notes == (
        "3 of 30 pictures are held out as test images; "
        "evaluate needs 10: add pictures, or make folders train/ and test/",
    )


def test_each_picture_has_the_class_of_its_folder(tmp_path):
    dataset = sources.load(str(fill(tmp_path)))
    of = {drawn(number).tobytes(): number % 2 for number in range(20)}
    for images, labels in (
        (dataset.train_images, dataset.train_labels),
        (dataset.test_images, dataset.test_labels),
    ):
        assert [of[image.tobytes()] for image in images] == labels.tolist()


def test_folders_that_are_numbers_are_in_the_order_of_the_numbers(tmp_path):
    assert sources.load(str(fill(tmp_path, ("10", "9", "1")))).class_names == ("1", "9", "10")


def test_a_folder_without_subfolders_has_no_classes(tmp_path):
    for number in range(20):
        save(drawn(number), tmp_path / f"{number}.png")
    dataset = sources.load(str(tmp_path))
    assert (len(dataset.train_images), len(dataset.test_images)) == (18, 2)
    assert dataset.class_names is dataset.train_labels is dataset.test_labels is None


def test_pictures_beside_the_folders_are_named_and_left_out(tmp_path):
    fill(tmp_path)
    save(drawn(99), tmp_path / "cover.png")
    dataset = sources.load(str(tmp_path))
    assert len(dataset.train_images) + len(dataset.test_images) == 20
    assert "left out, outside the folders that are classes: cover.png" in dataset.notes


@pytest.mark.parametrize("test", ["test", "val", "Validation"])
def test_folders_for_training_and_tests_are_taken_as_such(tmp_path, test):
    fill(tmp_path / "archive" / "train")
    fill(tmp_path / "archive" / test, ("hats", "scarves", "ties"), each=2)
    save(drawn(99), tmp_path / "archive" / "more" / "a.png")
    dataset = sources.load(str(tmp_path))
    assert (len(dataset.train_images), len(dataset.test_images)) == (20, 4)
    assert dataset.class_names == ("hats", "scarves")
    assert "left out, of no class in train/" in dataset.notes[0]
    assert f"left out, outside train/ and {test}/: archive/more/a.png" in dataset.notes


def test_renaming_and_moving_files_changes_nothing(tmp_path):
    before = sources.load(str(fill(tmp_path / "before")))
    for path in sorted((tmp_path / "before").rglob("*.png")):
        new = tmp_path / "after" / path.parent.name / "deeper" / f"{zlib.crc32(path.name.encode())}.PNG"
        new.parent.mkdir(parents=True, exist_ok=True)
        path.rename(new)
    after = sources.load(str(tmp_path / "after"))
    assert after.fingerprint == before.fingerprint
    np.testing.assert_array_equal(after.test_images, before.test_images)


def test_a_picture_more_is_other_images(tmp_path):
    before = sources.load(str(fill(tmp_path)))
    save(drawn(99), tmp_path / "hats" / "new.png")
    assert sources.load(str(tmp_path)).fingerprint != before.fingerprint


def test_hidden_files_are_ignored_and_others_that_are_no_pictures_are_named(tmp_path):
    fill(tmp_path)
    for name in (".DS_Store", "Thumbs.db", "hats/._1.png", "__MACOSX/hats/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert len(sources.load(str(tmp_path)).notes) == 1
    (tmp_path / "README.txt").write_text("Mine.")
    assert sources.load(str(tmp_path)).notes[0].endswith("JPEG, GIF, BMP, WebP or TIFF: README.txt")


def test_a_folder_of_kinds_that_are_not_read_is_refused_with_what_is_there(tmp_path):
    for name in ("a/x.svg", "a/y.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert "what is there is no PNG, JPEG, GIF, BMP, WebP or TIFF: a/x.svg, a/y.heic" in refusal(tmp_path)


def test_a_folder_that_is_no_class_for_want_of_pictures_is_named(tmp_path):
    (fill(tmp_path) / "phone").mkdir()
    (tmp_path / "phone" / "1.HEIC").write_bytes(b"x")
    dataset = sources.load(str(tmp_path))
    assert dataset.class_names == ("hats", "scarves")
    assert dataset.notes[0].endswith("phone/1.HEIC; so there is no class of phone/")


def test_pictures_that_cannot_be_read_are_named_counted_and_left_out(tmp_path):
    fill(tmp_path, each=30)
    for name in BROKEN:
        (tmp_path / "hats" / f"{name}.png").write_bytes(BROKEN[name][0])
    dataset = sources.load(str(tmp_path))
    assert len(dataset.train_images) + len(dataset.test_images) == 60
    note = dataset.notes[0]
    assert note.startswith("left out, 6 of 66 pictures: hats/cut.png (broken), hats/empty.png (empty)")
    assert note.endswith("and 1 more")


def test_more_than_a_tenth_that_cannot_be_read_is_a_refusal(tmp_path):
    fill(tmp_path, each=8)
    for name in ("a", "b"):
        (tmp_path / "hats" / f"{name}.png").write_bytes(b"")
    assert "2 of 18 pictures cannot be read: hats/a.png (empty), hats/b.png (empty)" in refusal(tmp_path)


def test_a_folder_of_one_picture_is_trained_on_and_one_of_none_is_refused(tmp_path):
    assert "holds no training images, which are pictures" in refusal(tmp_path)
    save(drawn(0), tmp_path / "a.png")
    assert sources.load(str(tmp_path)).test_images is None
    (tmp_path / "a.png").write_bytes(b"")
    assert "1 of 1 pictures cannot be read" in refusal(tmp_path)


# Bright on black


def invert_some(folder, count):
    for number in range(20):
        image = drawn(number)
        save(255 - image if number < count else image, folder / f"{number}.png")
    return folder


def dark_borders(dataset):
    images = np.concatenate([dataset.train_images, dataset.test_images])
    return int((images[:, 0, 0] == 0).sum())


@pytest.mark.parametrize(
    ("count", "finding", "dark"),
    [
        (0, "dark borders", 20),
        (20, "bright borders: inverted", 20),
        (10, "bright borders in 50%: these are inverted", 20),
    ],
)
def test_borders_tell_whether_pictures_are_inverted(tmp_path, count, finding, dark):
    dataset = sources.load(str(invert_some(tmp_path, count)))
    assert dataset.origin == finding
    assert dark_borders(dataset) == dark


def test_the_user_may_say_whether_pictures_are_inverted(tmp_path):
    invert_some(tmp_path, 20)
    assert dark_borders(sources.load(str(tmp_path), invert="no")) == 0
    assert dark_borders(sources.load(str(tmp_path), invert="yes")) == 20
    assert sources.load(str(tmp_path), invert="no").origin == "--invert no"


def blocks_seen(dataset):
    """The grey of each image's block, on black: from the darkest to the brightest."""
    images = np.concatenate([dataset.train_images, dataset.test_images])
    assert (images[:, 0, 0] == 0).all()
    return sorted(images[:, 20, 14].tolist())


@pytest.mark.parametrize(
    ("greys", "seen", "finding"),
    [
        ([100, 180, 200], [100, 180, 200], "3 with transparent background: black"),
        ([10, 180, 200], [180, 200, 245], "3 with transparent background: black, 1 of them inverted"),
        ([0, 20, 75, 120], [135, 180, 235, 255], "4 with transparent background: black, inverted"),
        ([0, 20, 250], [235, 250, 255], "3 with transparent background: black, 2 of them inverted"),
    ],
)
def test_what_is_cut_out_is_made_bright_all_alike_but_what_would_not_be_seen(tmp_path, greys, seen, finding):
    for grey in greys:
        cut_out(grey, tmp_path / f"{grey}.png")
    dataset = sources.load(str(tmp_path))
    np.testing.assert_allclose(blocks_seen(dataset), seen, atol=3)
    assert dataset.origin == finding


@pytest.mark.parametrize(("background", "seen"), [(255, [175, 175]), (0, [80, 80])])
def test_what_is_cut_out_is_as_bright_as_the_same_with_a_background(tmp_path, background, seen):
    cut_out(80, tmp_path / "cut out.png")
    save(block(grey=80, background=background), tmp_path / "photograph.png")
    np.testing.assert_allclose(blocks_seen(sources.load(str(tmp_path))), seen, atol=3)


@pytest.mark.parametrize(("invert", "seen"), [("no", 30), ("yes", 225)])
def test_the_user_may_say_whether_what_is_cut_out_is_inverted(tmp_path, invert, seen):
    for number in range(2):
        cut_out(30, tmp_path / f"{number}.png")
    assert blocks_seen(sources.load(str(tmp_path), invert=invert)) == pytest.approx([seen, seen], abs=3)


# What was read is kept


def test_pictures_are_read_once(tmp_path, monkeypatch):
    before = sources.load(str(fill(tmp_path / "images")))
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "read_picture", None)
        assert sources.load(str(tmp_path / "images")).fingerprint == before.fingerprint
    # Same name, size and time; another content.
    path = tmp_path / "images" / "hats" / "0.png"
    status, size = path.stat(), path.stat().st_size
    changed = bytearray(path.read_bytes())
    path.unlink()
    save(drawn(77), path)
    path.write_bytes(path.read_bytes()[:size].ljust(size, b"\0") if path.stat().st_size > size else changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    reads = []
    monkeypatch.setattr(
        pictures, "read_picture", lambda path, fit: reads.append(path) or ReadPicture(IMAGES[0], False)
    )
    sources.load(str(tmp_path / "images"))
    assert len(reads) == 20


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(sources.load(str(fill(tmp_path / "images"))).train_images) == 18
