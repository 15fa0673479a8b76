"""HDF5 is parsed apart, within limits, and does not lead out of the file."""

import h5py
import numpy as np
import pytest
from conftest import ten_terabytes

from clothinggan.checkpoint import hdf5
from clothinggan.errors import ClothingGANError


@pytest.fixture
def parse(tmp_path):
    """Parses what `fill` writes into a new file."""

    def run(fill):
        path = tmp_path / "x.h5"
        with h5py.File(path, "w") as file:
            fill(file)
        return hdf5.parse(path.read_bytes(), path)

    return run


def test_arrays_and_attributes_come_out_as_they_are(parse):
    def fill(file):
        file["a/b"] = np.float32([1.5, 2.5])
        file["a"].attrs["names"] = [b"one", b"two"]
        file.attrs["text"] = "word"

    contents = parse(fill)
    assert contents.arrays["a/b"].tolist() == [1.5, 2.5]
    assert contents.attributes["a"] == {"names": ["one", "two"]}
    assert contents.attributes[""] == {"text": "word"}


def test_the_child_imports_from_where_this_process_does_and_not_from_the_folder_it_is_in(parse, tmp_path):
    (tmp_path / "h5py.py").write_text("raise SystemExit('run')")
    assert parse(lambda file: file.attrs.update(text="word")).attributes[""] == {"text": "word"}


def external_link(file):
    file["x"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link_in_a_circle(file):
    file["x"] = h5py.SoftLink("/")


def external_storage(file):
    file.create_dataset("x", (10,), "u1", external=[("/etc/passwd", 0, 10)])


def virtual_dataset(file):
    layout = h5py.VirtualLayout((10,), "u1")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (10,))
    file.create_virtual_dataset("x", layout)


def object_references(file):
    file.create_dataset("x", (1,), h5py.ref_dtype)


def many_groups(file):
    for index in range(hdf5.MAX_OBJECTS + 1):
        file.create_group(str(index))


@pytest.mark.parametrize(
    ("fill", "says"),
    [
        (external_link, "a link, 'x'"),
        (soft_link_in_a_circle, "a link, 'x'"),
        (external_storage, "'x' in another file"),
        (virtual_dataset, "'x' in another file"),
        (object_references, "where numbers are expected"),
        (ten_terabytes("x"), "MiB of numbers"),
        (many_groups, "10,000 objects"),
    ],
)
def test_what_a_model_file_does_not_need_is_refused(fill, says, parse):
    with pytest.raises(ClothingGANError, match=says):
        parse(fill)


def test_a_parser_that_cannot_start_is_no_fault_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "_CHILD", "import a_module_that_is_not_there")
    with pytest.raises(ClothingGANError, match=r"reads HDF5 files fails \(ModuleNotFoundError"):
        hdf5.parse(b"", tmp_path / "x.h5")


def test_a_parser_whose_time_ran_out_once_is_tried_again(parse, monkeypatch):
    # As where the process was stopped meanwhile.
    seconds = iter([0.001, hdf5.WALL_SECONDS])
    run = hdf5._run_child

    def within_other_seconds(*arguments):
        monkeypatch.setattr(hdf5, "WALL_SECONDS", next(seconds))
        return run(*arguments)

    monkeypatch.setattr(hdf5, "_run_child", within_other_seconds)
    assert list(parse(lambda file: file.create_dataset("x", data=[1])).arrays) == ["x"]
    assert list(seconds) == []


def test_a_parser_that_never_ends_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "WALL_SECONDS", 0.01)
    with pytest.raises(ClothingGANError, match="never ends"):
        hdf5.parse(b"", tmp_path / "x.h5")
