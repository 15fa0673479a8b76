"""Images are read as they were written, and any other content is read or refused in one line."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import few, fewer, refused_in_one_line
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from image_files import csv, idx, npy, npz, zipped_idx

from clothinggan.data import formats, sources
from clothinggan.data.download import IDX_FILES

images = arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(28), st.just(28)), fill=st.just(0))


def read_csv(content):
    pixels, _ = formats.read_csv(content)
    return pixels.reshape(-1, 28, 28)


FORMATS = {
    "idx": (idx, formats.read_idx),
    "idx, gzipped": (zipped_idx, formats.read_idx),
    "npy": (npy, formats.read_npy),
    "npz": (lambda array: npz({"x": array}), lambda content: formats.Npz(content).read("x")),
    "csv": (csv, read_csv),
}


@pytest.mark.parametrize(("write", "read"), FORMATS.values(), ids=FORMATS)
@fewer
@given(array=images)
def test_images_are_read_as_they_were_written(write, read, array):
    np.testing.assert_array_equal(read(io.BytesIO(write(array))), array)


@pytest.mark.parametrize(("write", "read"), FORMATS.values(), ids=FORMATS)
@few
@given(data=st.data())
def test_a_file_that_was_cut_and_spliced_is_read_or_has_its_flaw_told(write, read, data):
    content = write(np.zeros((2, 28, 28), np.uint8))
    start, end = (data.draw(st.integers(0, len(content))) for _ in range(2))
    said = ""
    try:
        read(io.BytesIO(content[:start] + data.draw(st.binary(max_size=20)) + content[end:]))
    except formats.Flaw as flaw:
        said = str(flaw)
    assert said.isprintable()


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x_train.csv", IDX_FILES["x_train"], "picture.png"])
@fewer
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_as_images_or_refused_in_one_line(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        with refused_in_one_line():
            sources.load(str(path if path.suffix in (".npz", ".npy") else folder))
