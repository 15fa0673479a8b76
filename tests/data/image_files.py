"""Files of images for the tests of data: a few arrays, and the bytes of files that hold them."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from clothinggan.data import sources
from clothinggan.data.download import IDX_FILES
from clothinggan.errors import ClothingGANError

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x_train": RANDOM.integers(0, 256, (12, 28, 28), np.uint8),
    "y_train": RANDOM.integers(0, 10, 12, np.uint8),
    "x_test": RANDOM.integers(0, 256, (5, 28, 28), np.uint8),
    "y_test": RANDOM.integers(0, 10, 5, np.uint8),
}
IMAGES = ARRAYS["x_train"]
TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
LETTERS = (np.arange(12) % 4 + 1).astype(np.uint8)  # labels from 1 to 4


def idx(array, *, type_code=0x08, shape=None):
    """The bytes of an IDX file, with a header that lies where it is told to."""
    shape = array.shape if shape is None else shape
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, type_code, len(shape), *shape) + array.tobytes()


def zipped_idx(array):
    return gzip.compress(idx(array), mtime=0)


WHOLE = zipped_idx(IMAGES)


def npz(arrays, **options):
    """The bytes of an .npz; ``options`` go to the zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", **options) as archive:
        for name, array in arrays.items():
            archive.writestr(f"{name}.npy", npy(array))
    return content.getvalue()


def npy(array, *, shape=None, version=(1, 0)):
    """The bytes of an .npy; ``shape`` is what its header claims."""
    content = io.BytesIO()
    np.lib.format.write_array(content, array, version)
    if shape is None:
        return content.getvalue()
    header = io.BytesIO()
    fields = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue() + array.tobytes()


def zip_of(name):
    """The bytes of an archive with one file that is no array."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, b"content")
    return content.getvalue()


def npz_of(member):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", member)
    return content.getvalue()


def fill(folder, *, ending=".gz", without=()):
    folder.mkdir(parents=True, exist_ok=True)
    for name, file_name in IDX_FILES.items():
        if name not in without:
            content = zipped_idx(ARRAYS[name]) if ending else idx(ARRAYS[name])
            (folder / (file_name + ending)).write_bytes(content)
    return folder


def csv(images, labels=None, header=True):
    """The bytes of a CSV as Kaggle's are."""
    lines = [",".join(["label"] * (labels is not None) + [f"pixel{i}" for i in range(1, 785)])] * header
    for index, image in enumerate(images.reshape(-1, 784)):
        lines.append(",".join(([str(labels[index])] if labels is not None else []) + [str(v) for v in image]))
    return "\r\n".join(lines).encode()


def assert_whole(dataset):
    np.testing.assert_array_equal(dataset.train_images, ARRAYS["x_train"])
    np.testing.assert_array_equal(dataset.train_labels, ARRAYS["y_train"])
    np.testing.assert_array_equal(dataset.test_images, ARRAYS["x_test"])
    np.testing.assert_array_equal(dataset.test_labels, ARRAYS["y_test"])


def refusal(source):
    """The one line that a source is refused with."""
    with pytest.raises(ClothingGANError) as raised:
        sources.load(source)
    message = str(raised.value)
    assert message.isprintable()
    return message
