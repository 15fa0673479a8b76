"""The formats of files: what is read, and every way in which a file can be broken."""

import gzip
import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
from image_files import ARRAYS, IMAGES, WHOLE, csv, idx, npy, npz, npz_of, zipped_idx

from clothinggan.data import formats
from clothinggan.data.formats import Flaw


def read_npz(content):
    return formats.Npz(io.BytesIO(content)).read("x_train")


@pytest.mark.parametrize("write", [idx, zipped_idx])
def test_an_idx_file_is_read_gzipped_or_not(write):
    np.testing.assert_array_equal(formats.read_idx(io.BytesIO(write(IMAGES))), IMAGES)


def test_numbers_of_any_type_and_order_are_read():
    for array in (IMAGES.astype(">f4"), IMAGES.astype("<f8"), np.asfortranarray(IMAGES), IMAGES > 100):
        np.testing.assert_array_equal(read_npz(npz({"x_train": array})), array)
    shorts = IMAGES.astype(">i2")
    np.testing.assert_array_equal(formats.read_idx(io.BytesIO(idx(shorts, type_code=0x0B))), shorts)


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", "cut short"),
        (b"\0\0\x08\x03\0\0", "cut short"),
        (idx(IMAGES)[:-1], "cut short"),
        (idx(IMAGES, shape=(1_000_000, 28, 28)), "cut short"),
        (idx(IMAGES) + b"\0", "goes on"),
        (idx(IMAGES) + bytes(5000), "larger than its header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(800), "not an IDX file"),
        (idx(IMAGES, type_code=0x07), "not an IDX file"),
        (b"\0\0\x08\xff" + bytes(2000), "not an IDX file"),
        (idx(IMAGES[:0]), "0 images"),
        (idx(IMAGES, shape=(2**32 - 1, 28, 28)), "4294967295 images"),
        (idx(IMAGES, shape=(12, 280, 280)), "has the shape"),
        (WHOLE[:5], "cut short"),
        (WHOLE[:-9], "cut short"),
        (WHOLE[:-8] + bytes(8), "gunzipped"),
        (WHOLE[:10] + b"\xff" * 100, "gunzipped"),
        (WHOLE[:300] + bytes(300) + WHOLE[600:], "gunzipped"),
        (WHOLE + b"rubbish", "gunzipped"),
        (WHOLE + gzip.compress(b"more"), "goes on"),
        (WHOLE + bytes(5000), "larger than its header"),
        (gzip.compress(idx(IMAGES, shape=(13, 28, 28))), "cut short"),
    ],
)
def test_a_broken_idx_file_has_its_flaw_told(content, flaw):
    with pytest.raises(Flaw, match=flaw):
        formats.read_idx(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", "not an .npz"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not an .npz"),
        (npz(ARRAYS)[:-30], "not an .npz"),
        (npz(ARRAYS).replace(IMAGES.tobytes(), bytes(IMAGES.nbytes)), "not an .npz"),
        (npz({"x_train": np.array([{}])}), "x_train holds object"),
        (npz({"x_train": np.array(7, np.uint8)}), "x_train has the shape"),
        (npz({"x_train": IMAGES[:0]}), "x_train declares 0 images"),
        (npz({"x_train": IMAGES}, compression=zipfile.ZIP_LZMA), "compressed"),
        (npz_of(b"rubbish"), "not an .npz"),
        (npz_of(npy(IMAGES, version=(2, 0))), "version 1.0"),
        (npz_of(npy(IMAGES, shape=(13, 28, 28))), "x_train is cut short"),
        (npz_of(npy(IMAGES, shape=(11, 28, 28))), "x_train goes on"),
        (npz_of(npy(IMAGES, shape=(10**12, 28, 28))), "x_train declares 1000000000000 images"),
        (npz_of(npy(IMAGES, shape=(-12, 28, 28))), "x_train declares -12 images"),
        (npz_of(npy(IMAGES, shape=(12, 10**9, 28))), "x_train has the shape"),
        (npz_of(b"\x93NUMPY\1\0\x20\3" + b"(" * 800), "not an .npz"),
    ],
)
def test_a_broken_npz_has_its_flaw_told(content, flaw):
    with pytest.raises(Flaw, match=flaw):
        read_npz(content)


def test_nothing_in_an_npz_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "gone off"),)

    with pytest.raises(Flaw):
        read_npz(npz({"x_train": np.array([Bomb()])}))
    assert not (tmp_path / "gone off").exists()


def images_and_50_megabytes(*, as_npz):
    images, more = np.zeros((1000, 28, 28), np.uint8), bytes(50_000_000)
    return npz_of(npy(images) + more) if as_npz else gzip.compress(idx(images) + more)


@pytest.mark.parametrize("as_npz", [True, False])
def test_a_compression_bomb_is_not_inflated(as_npz):
    content = images_and_50_megabytes(as_npz=as_npz)
    read = read_npz if as_npz else lambda content: formats.read_idx(io.BytesIO(content))
    tracemalloc.start()
    with pytest.raises(Flaw, match="goes on"):
        read(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


# CSV

LABELS = ARRAYS["y_train"]


@pytest.mark.parametrize(
    "content",
    [
        csv(IMAGES, LABELS),
        csv(IMAGES, LABELS, header=False),
        gzip.compress(csv(IMAGES, LABELS)),
        b"\xef\xbb\xbf" + csv(IMAGES, LABELS),
        csv(IMAGES, LABELS).replace(b",", b";"),
        csv(IMAGES, LABELS).replace(b"label", b'"class"') + b"\r\n\r\n",
    ],
    ids=["Kaggle's", "no names", "gzipped", "Excel's", "semicolons", "quotes"],
)
def test_a_csv_is_read_in_the_forms_that_it_comes_in(content):
    images, labels = formats.read_csv(io.BytesIO(content))
    np.testing.assert_array_equal(images, IMAGES.reshape(12, 784))
    assert images.dtype == np.uint8
    assert labels.astype(int).tolist() == LABELS.tolist()


def test_a_csv_may_have_no_labels_or_have_them_last_and_count_its_lines():
    assert formats.read_csv(io.BytesIO(csv(IMAGES)))[1] is None
    lines = csv(IMAGES).decode().split("\r\n")
    wider = [
        f"{'' if index == 0 else index},{line},{'boot' if index else 'kind'}"
        for index, line in enumerate(lines)
    ]
    images, labels = formats.read_csv(io.BytesIO("\n".join(wider).encode()))
    np.testing.assert_array_equal(images, IMAGES.reshape(12, 784))
    assert labels.tolist() == ["boot"] * 12


def test_a_csv_may_hold_floats():
    images, _ = formats.read_csv(io.BytesIO(csv(IMAGES / np.float32(255), LABELS)))
    np.testing.assert_allclose(images, IMAGES.reshape(12, 784) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", "has 1 column;"),
        (csv(IMAGES, LABELS)[:-100], r"columns in line 13, and 785 in the first"),
        (
            csv(IMAGES, LABELS).replace(b"\r\n", b"\r\nx", 1)[:-5] + b"x",
            "columns in line 13|no number in line 13",
        ),
        (csv(IMAGES[:0], LABELS), "holds no images"),
        (b"id,file\n1,a.png\n", "has 2 columns"),
        (gzip.compress(csv(IMAGES))[:-20], "cut short"),
        (csv(IMAGES, ["x" * 101] * 12), "more than 100 characters"),
        (b"9" * 10**6, "has 1 column;"),
    ],
)
def test_a_broken_csv_has_its_flaw_told(content, flaw):
    with pytest.raises(Flaw, match=flaw):
        formats.read_csv(io.BytesIO(content))
