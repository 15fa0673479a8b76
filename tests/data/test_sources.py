"""What --data names: every source, the forms that files come in, and how several become one data set."""

import gzip
import io
import lzma
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    ARRAYS,
    IMAGES,
    LETTERS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    assert_whole,
    csv,
    fill,
    idx,
    npy,
    npz,
    refusal,
    zip_of,
    zipped_idx,
)

from clothinggan.data import sources
from clothinggan.data.classes import CLASS_NAMES
from clothinggan.errors import ClothingGANError

# Sources and their names


def test_importing_the_module_imports_neither_tensorflow_nor_keras():
    code = "import sys, clothinggan.data.sources; sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    root = Path(sources.__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_folder_with_the_four_idx_files_is_read(tmp_path, ending):
    assert_whole(sources.load(str(fill(tmp_path, ending=ending))))


def test_a_folder_needs_no_more_than_the_training_images(tmp_path):
    dataset = sources.load(str(fill(tmp_path, without=("y_train", "x_test", "y_test"))))
    assert len(dataset.train_images) == 12
    assert dataset.train_labels is dataset.test_images is dataset.test_labels is None


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_as_keras_lays_it_out_is_read(tmp_path, save):
    save(tmp_path / "images.npz", **ARRAYS)
    assert_whole(sources.load(str(tmp_path / "images.npz")))


def test_an_npz_may_have_a_channel_axis_and_wider_labels(tmp_path):
    path = tmp_path / "images.npz"
    wider = {
        "y_train": ARRAYS["y_train"].astype(np.int64),
        "y_test": ARRAYS["y_test"].astype(">i4"),
    }
    np.savez(path, **ARRAYS | wider | {"x_train": IMAGES[..., np.newaxis]})
    assert_whole(sources.load(str(path)))


def test_labels_are_uint8_whatever_the_file_holds(tmp_path):
    np.savez(tmp_path / "images.npz", x_train=IMAGES, y_train=ARRAYS["y_train"].astype(np.int64))
    assert sources.load(str(tmp_path / "images.npz")).train_labels.dtype == np.uint8


def test_sample_is_built_in():
    dataset = sources.load("sample")
    assert dataset.train_images.shape == (6000, 28, 28)
    assert dataset.test_images.shape == (1000, 28, 28)
    assert dataset.class_names == CLASS_NAMES
    assert set(dataset.train_labels) == set(range(len(CLASS_NAMES)))


def test_the_default_is_fashion_mnist_unless_the_environment_names_another(monkeypatch):
    assert sources.default_source() == "fashion_mnist"
    monkeypatch.setenv("CLOTHINGGAN_DATA", "sample")
    assert sources.default_source() == "sample"


def test_a_path_is_recorded_absolute_and_a_keyword_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert sources.resolve("fashion_mnist") == "fashion_mnist"
    assert sources.resolve("./sample") == str(tmp_path / "sample")
    assert sources.resolve("~/images") == "/home/someone/images"


def test_a_data_set_says_what_to_load_it_from_again(tmp_path, monkeypatch):
    fill(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    assert sources.load("images").source == str(tmp_path / "images")


@pytest.mark.parametrize("source", ["fashion_minst", "a\0b", "~a\0b", "a\nb"])
def test_an_unknown_source_is_answered_with_the_possible_ones(source):
    assert sources.SOURCES in refusal(source)


# Parts and fingerprints


def test_take_keeps_the_first_training_images_and_the_whole_test_set(tmp_path):
    part = sources.load(str(fill(tmp_path))).take(7)
    np.testing.assert_array_equal(part.train_images, IMAGES[:7])
    np.testing.assert_array_equal(part.train_labels, ARRAYS["y_train"][:7])
    assert len(part.test_images) == 5


@pytest.mark.parametrize("examples", [0, 13])
def test_take_refuses_a_number_that_there_is_not_and_says_how_many_there_are(examples):
    with pytest.raises(ClothingGANError, match=f"--examples {examples}: .*12 training images"):
        sources.Dataset("some", IMAGES).take(examples)


def test_the_fingerprint_does_not_depend_on_the_format(tmp_path):
    np.savez(tmp_path / "images.npz", **ARRAYS)
    from_npz = sources.load(str(tmp_path / "images.npz"))
    assert from_npz.fingerprint == sources.load(str(fill(tmp_path / "folder"))).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        sources.Dataset("some", IMAGES),
        sources.Dataset("some", IMAGES[::-1], ARRAYS["y_train"]),
        sources.Dataset("some", IMAGES, ARRAYS["y_train"][::-1]),
        sources.Dataset("some", IMAGES, ARRAYS["y_train"]).take(11),
        sources.Dataset("some", IMAGES.reshape(-1, 14, 56), ARRAYS["y_train"]),
    ],
    ids=["no labels", "other images", "other labels", "fewer", "other shape"],
)
def test_other_training_data_have_another_fingerprint(other):
    assert other.fingerprint != sources.Dataset("some", IMAGES, ARRAYS["y_train"]).fingerprint


def test_the_test_set_leaves_the_fingerprint_alone():
    with_test_set = sources.Dataset("some", IMAGES, test_images=IMAGES)
    assert with_test_set.fingerprint == sources.Dataset("some", IMAGES).fingerprint


def test_files_of_runs_keep_their_fingerprints(tmp_path):
    images = np.arange(40 * 784, dtype=np.uint32).reshape(40, 28, 28)
    images = (images * 2654435761 >> 7).astype(np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images[..., np.newaxis], y_train=np.arange(40) * 7 % 10)
    assert sources.load(str(tmp_path / "images.npz")).fingerprint == (
        "b4cd60b192f056306e93032e5d203744a5180a50fec33d923074647ac9b9b9ac"
    )
    assert sources.load("sample").fingerprint == (
        "f1cb1e2494d31f9dff3af76032b9a916fa8c54c5635b00fb44baa6f97725a2b6"
    )


# The forms in which people have such data


@pytest.mark.parametrize(
    "names",
    [
        "train-images.idx3-ubyte train-labels.idx1-ubyte t10k-images.idx3-ubyte t10k-labels.idx1-ubyte",
        "my-digits-train-images-idx3-ubyte.gz my-digits-train-labels-idx1-ubyte.gz "
        "my-digits-test-images-idx3-ubyte.gz my-digits-test-labels-idx1-ubyte.gz",
        "train-images-idx3-ubyte/train-images-idx3-ubyte train-labels-idx1-ubyte/train-labels-idx1-ubyte "
        "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte t10k-labels-idx1-ubyte/t10k-labels-idx1-ubyte",
        "FashionMNIST/raw/train-images-idx3-ubyte FashionMNIST/raw/train-labels-idx1-ubyte "
        "FashionMNIST/raw/t10k-images-idx3-ubyte FashionMNIST/raw/t10k-labels-idx1-ubyte",
        "X_train.idx Y_train.idx X_test.idx Y_test.idx",
    ],
    ids=["dots", "prefix", "folders", "torchvision", "letters"],
)
@pytest.mark.parametrize("write", [idx, zipped_idx])
def test_idx_files_are_found_under_any_name_that_tells_them_apart(tmp_path, names, write):
    for name, array in zip(names.split(), ARRAYS.values(), strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(write(array))
    assert_whole(sources.load(str(tmp_path)))


def test_one_of_several_files_may_be_named_for_all(tmp_path):
    names = ("train-images", "train-labels", "test-images", "test-labels")
    for family in ("letters", "digits"):
        for name, array in zip(names, ARRAYS.values(), strict=True):
            (tmp_path / f"{family}-{name}-idx-ubyte").write_bytes(idx(array))
    assert_whole(sources.load(str(tmp_path / "letters-train-images-idx-ubyte")))


def test_a_folder_of_several_data_sets_is_refused_with_what_to_say(tmp_path):
    for name in ("letters-train-images-idx3-ubyte", "digits-train-images-idx3-ubyte"):
        (tmp_path / name).write_bytes(idx(IMAGES))
    said = f"say which with --data {tmp_path}/digits-train-images-idx3-ubyte or --data"
    assert said in refusal(tmp_path)


def test_emnists_files_are_turned_upright(tmp_path):
    (tmp_path / "emnist-letters-train-images-idx3-ubyte.gz").write_bytes(zipped_idx(IMAGES))
    (tmp_path / "emnist-letters-train-labels-idx1-ubyte.gz").write_bytes(zipped_idx(LETTERS + 10))
    dataset = sources.load(str(tmp_path))
    np.testing.assert_array_equal(dataset.train_images, IMAGES.swapaxes(1, 2))
    assert dataset.class_names == ("11", "12", "13", "14")


@pytest.mark.parametrize("name", ["", "fashion-mnist_train.csv"])
def test_kaggles_csv_files_are_read(tmp_path, name):
    for split in ("train", "test"):
        path = tmp_path / f"fashion-mnist_{split}.csv"
        path.write_bytes(csv(ARRAYS[f"x_{split}"], ARRAYS[f"y_{split}"]))
    assert_whole(sources.load(str(tmp_path / name)))


def test_a_csv_that_tells_of_pictures_is_no_data_set_beside_them(tmp_path):
    from PIL import Image

    (tmp_path / "train.csv").write_text("id,label\n1,boot\n")
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    assert len(sources.load(str(tmp_path)).train_images) == 11


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("trainX", "trainY", "testX", "testY"),
        ("train_images", "train_labels", "val_images", "val_labels"),
    ],
)
def test_an_npz_may_call_its_arrays_otherwise(tmp_path, names):
    np.savez(tmp_path / "images.npz", **dict(zip(names, ARRAYS.values(), strict=True)))
    assert_whole(sources.load(str(tmp_path / "images.npz")))


@pytest.mark.parametrize("name", ["", "kmnist-train-imgs.npz"])
def test_four_npz_files_of_an_array_each_are_one_data_set(tmp_path, name):
    names = ("train-imgs", "train-labels", "test-imgs", "test-labels")
    for part, array in zip(names, ARRAYS.values(), strict=True):
        np.savez(tmp_path / f"kmnist-{part}.npz", array)
    assert_whole(sources.load(str(tmp_path / name)))


def test_an_array_alone_is_images_without_labels(tmp_path):
    np.savez(tmp_path / "images.npz", IMAGES)
    np.save(tmp_path / "cat.npy", IMAGES.reshape(12, 784))
    for name in ("images.npz", "cat.npy"):
        dataset = sources.load(str(tmp_path / name))
        np.testing.assert_array_equal(dataset.train_images, IMAGES)
        assert dataset.class_names is None


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x_train": IMAGES, "train_images": IMAGES}, "both x_train and train_images; leave one of them out"),
        ({"arr_0": IMAGES, "arr_1": LETTERS}, "save them as x_train, and labels as y_train"),
        ({"x_train": IMAGES.astype(np.float32) - 100}, "scale them to 0 to 255"),
    ],
)
def test_what_is_ambiguous_is_refused_with_what_to_do(tmp_path, arrays, says):
    np.savez(tmp_path / "images.npz", **arrays)
    assert says in refusal(tmp_path / "images.npz")


def test_what_was_scaled_is_said(tmp_path):
    np.savez(tmp_path / "images.npz", x_train=IMAGES / np.float32(255))
    dataset = sources.load(str(tmp_path / "images.npz"))
    np.testing.assert_array_equal(dataset.train_images, IMAGES)
    assert dataset.notes == ("floats from 0 to 1 are scaled to 255",)


def test_images_may_be_inverted(tmp_path):
    np.savez(tmp_path / "images.npz", **ARRAYS)
    dataset = sources.load(str(tmp_path / "images.npz"), invert="yes")
    np.testing.assert_array_equal(dataset.train_images, 255 - IMAGES)
    np.testing.assert_array_equal(dataset.test_images, 255 - ARRAYS["x_test"])


def test_bright_borders_of_arrays_are_told_and_left_as_they_are(tmp_path):
    images = IMAGES.copy()
    images[:, [0, -1]] = images[:, :, [0, -1]] = 250
    np.savez(tmp_path / "images.npz", x_train=images)
    dataset = sources.load(str(tmp_path / "images.npz"))
    np.testing.assert_array_equal(dataset.train_images, images)
    assert "--invert yes turns them" in dataset.notes[0]
    assert "--invert yes turns" not in str(sources.load(str(tmp_path / "images.npz"), invert="no").notes)


# Classes


def test_an_npz_may_name_its_classes(tmp_path):
    names = np.array(["hat", "scarf", "odd sock", "glove"])
    np.savez(tmp_path / "images.npz", x_train=IMAGES, y_train=LETTERS - 1, classes=names)
    dataset = sources.load(str(tmp_path / "images.npz"))
    assert dataset.class_names == ("hat", "scarf", "odd sock", "glove")
    assert dataset.description.endswith("12 training images of 28x28, 4 classes")


def test_what_display_exports_is_a_source_with_the_same_classes(tmp_path):
    names = np.array(["hat", "scarf", "odd sock", "glove"])
    arrays = {"images": IMAGES / np.float32(255), "latent_vectors": np.zeros((12, 64), np.float32)}
    np.savez(tmp_path / "images.npz", **arrays, classes=LETTERS - 1, class_names=names)
    dataset = sources.load(str(tmp_path / "images.npz"))
    np.testing.assert_array_equal(dataset.train_images, IMAGES)
    assert dataset.train_labels.tolist() == (LETTERS - 1).tolist()
    assert dataset.class_names == tuple(names)


def test_the_names_of_fashion_mnist_are_nobody_elses(tmp_path):
    assert sources.load(str(fill(tmp_path))).class_names == tuple("0123456789")


def test_labels_that_start_at_one_are_numbered_anew_and_keep_their_names(tmp_path):
    np.savez(tmp_path / "images.npz", x_train=IMAGES, y_train=LETTERS + 10)
    dataset = sources.load(str(tmp_path / "images.npz"))
    np.testing.assert_array_equal(dataset.train_labels, LETTERS - 1)
    assert dataset.class_names == ("11", "12", "13", "14")
    assert dataset.notes == ("labels are numbered anew: 11, 12, 13, 14 are their names now",)


@pytest.mark.parametrize(
    ("labels", "flaw"),
    [
        (ARRAYS["y_train"][:-1], "y_train has the shape (11,); a label for each of 12 images is expected"),
        (np.full(12, 0.5), "y_train holds labels that are no whole numbers"),
        (np.full(12, None), "y_train holds object values"),
        (IMAGES, "y_train has the shape (12, 28, 28)"),
    ],
)
def test_labels_that_cannot_be_used_are_no_reason_to_refuse(tmp_path, labels, flaw):
    (tmp_path / "images.npz").write_bytes(npz({"x_train": IMAGES, "y_train": labels}))
    dataset = sources.load(str(tmp_path / "images.npz"))
    assert dataset.train_labels is dataset.class_names is None
    assert flaw in dataset.labels_flaw
    assert flaw in dataset.notes[0]


def test_a_broken_file_of_labels_is_no_reason_to_refuse(tmp_path):
    fill(tmp_path, ending="")
    (tmp_path / TRAIN_LABELS).write_bytes(idx(ARRAYS["y_train"])[:-1])
    dataset = sources.load(str(tmp_path))
    assert dataset.labels_flaw == f"{tmp_path / TRAIN_LABELS}: is cut short: its header promises 12 bytes"


def test_labels_of_test_images_that_name_no_class_are_left_out(tmp_path):
    arrays = ARRAYS | {"y_test": np.full(5, -1)}
    np.savez(tmp_path / "images.npz", **arrays)
    dataset = sources.load(str(tmp_path / "images.npz"))
    assert dataset.test_labels is None
    assert dataset.class_names == tuple("0123456789")
    assert "name no class of the training images: -1" in dataset.notes[0]


def three_classes(*names):
    return sources.Dataset("some", IMAGES, (np.arange(12) % 3).astype(np.uint8), class_names=names)


def test_other_images_are_classified_as_a_run_calls_its_classes():
    run = ("hat", "scarf", "glove", "shoe")
    dataset = three_classes("glove", "hat", "shoe").classified_as(run)
    assert dataset.train_labels.tolist() == [2, 0, 3] * 4
    assert dataset.class_names == run
    assert three_classes("0", "1", "2").classified_as(run).train_labels.tolist() == [0, 1, 2] * 4
    assert three_classes("0", "1", "2").classified_as([]).train_labels is None
    with pytest.raises(ClothingGANError, match="has the class tie, which is none of hat, scarf, glove, shoe"):
        three_classes("glove", "hat", "tie").classified_as(run)
    with pytest.raises(ClothingGANError, match="some has no labels"):
        sources.Dataset("some", IMAGES).classified_as(run)


# What is named, and is not what it should be


def test_a_broken_idx_file_is_named(tmp_path):
    (tmp_path / TRAIN_IMAGES).write_bytes(idx(IMAGES)[:-1])
    assert refusal(tmp_path).startswith(f"{tmp_path / TRAIN_IMAGES}: is cut short")


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", "not an .npz"),
        (npz({"x_train": IMAGES[:, :27]}), "x_train has the shape"),
        (npz({"x_train": np.array(7, np.uint8)}), "x_train has the shape"),
        (npz({"x_train": np.array([{}])}), "x_train holds object"),
        (npz({}), "no training images"),
    ],
)
def test_a_broken_npz_is_named(tmp_path, content, flaw):
    path = tmp_path / "images.npz"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: ")
    assert flaw in refusal(path)


def tar_of(name):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        file.addfile(tarfile.TarInfo(name))
    return content.getvalue()


FOREIGN_FILES = {
    "train.parquet": (
        b"PAR1" + bytes(40) + b"PAR1",
        "is a Parquet file, as Hugging Face keeps data sets; save",
    ),
    "data.arrow": (b"ARROW1\0\0", "is an Arrow file, as Hugging Face keeps data sets; save"),
    "data-00000-of-00001.arrow": (b"\xff\xff\xff\xff\x10\0", "is an Arrow file, as Hugging Face keeps"),
    "images.h5": (b"\x89HDF\r\n\x1a\n", "is an HDF5 file; save"),
    "images.mat": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(90), "is a MATLAB file; save"),
    "training.pt": (zip_of("training/data.pkl"), "is a file of PyTorch; name the folder"),
    "old.pt": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "is a file of PyTorch"),
    "images.pkl": (pickle.dumps([1, 2]), "is a pickle, which can run any program when it is opened; save"),
    "images.json": (b'{"images": []}', "is a JSON text; save"),
    "shirt.png": (b"\x89PNG\r\n\x1a\n", "is one picture; name the folder that it is in"),
    "shirt.webp": (b"RIFF\0\0\0\0WEBPVP8 ", "is one picture; name the folder that it is in"),
    "images.tar": (tar_of("1.png"), "is a tar archive; unpack it first"),
    "images.tar.gz": (gzip.compress(tar_of("1.png")), "is a tar archive; unpack it first"),
    "images.tar.xz": (lzma.compress(tar_of("1.png")), "is compressed with xz; unpack it first"),
    "images.zip": (
        zip_of("images/1.png"),
        "is an archive without NumPy's arrays; unpack it, and name the folder",
    ),
    "images.xlsx": (zip_of("[Content_Types].xml"), "is a document; save the table in it as CSV"),
    "images.csv": (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
    "shirt.svg": (b'<?xml version="1.0"?>\n<svg width="9">', "is an SVG drawing; save it as a PNG picture"),
    "page.npy": (b"\n<!DOCTYPE html><html>", "is a web page, not the file that it was to be"),
}


@pytest.mark.parametrize("name", FOREIGN_FILES)
def test_a_file_that_is_not_read_is_told_what_it_is(tmp_path, name):
    content, says = FOREIGN_FILES[name]
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert message.startswith(f"{tmp_path / name}: {says}")
    assert "replace it" not in message


@pytest.mark.parametrize("name", ["train.parquet", "images.tar.gz", "images.zip", "training.pt"])
def test_a_folder_of_such_files_alone_is_told_what_they_are(tmp_path, name):
    content, says = FOREIGN_FILES[name]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content)
    (tmp_path / "README.md").write_text("# A data set")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert refusal(tmp_path).startswith(f"{tmp_path}: holds no images that can be read; data/{name} {says}")


def test_the_only_file_of_a_folder_is_named_with_what_is_wrong_with_it(tmp_path):
    (tmp_path / "images.npz").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert refusal(tmp_path).startswith(f"{tmp_path / 'images.npz'}: is a pointer of Git LFS")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Fashion-MNIST", "did you mean fashion_mnist?"),
        ("samples", "did you mean sample?"),
        (
            "https://example.com/x.npz",
            "https://example.com/x.npz: no such data; download it, and name the file",
        ),
    ],
)
def test_a_source_that_there_is_none_of_is_asked_after(source, said):
    assert said in refusal(source)


@pytest.mark.parametrize(
    "content", [b"", bytes(range(256)), b"\x89PNG\r\n\x1a\n", npy(IMAGES)[:40], b"1,2,3"]
)
def test_a_file_of_another_kind_is_named(tmp_path, content):
    path = tmp_path / "something.bin"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: ")


def test_a_folder_without_training_images_is_told_what_it_lacks(tmp_path):
    assert TRAIN_IMAGES in refusal(tmp_path)


def make_fifo(path):
    os.mkfifo(path)


def make_link_to_device(path):
    path.symlink_to("/dev/zero")


def make_dangling_link(path):
    path.symlink_to(path.with_name("nowhere"))


def make_endless_link(path):
    path.symlink_to(path)


NO_FILES = [make_fifo, make_link_to_device, make_dangling_link, make_endless_link]


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_regular_file_is_not_opened_as_idx(tmp_path, make):
    make(tmp_path / TRAIN_IMAGES)
    assert refusal(tmp_path).startswith(f"{tmp_path / TRAIN_IMAGES}: ")


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_regular_file_is_not_opened_as_npz(tmp_path, make):
    make(tmp_path / "images.npz")
    assert refusal(tmp_path / "images.npz").startswith(f"{tmp_path / 'images.npz'}: ")


def test_a_line_break_in_a_name_does_not_break_the_message(tmp_path):
    (tmp_path / "two\nlines.npz").touch()
    assert "two\\nlines.npz" in refusal(tmp_path / "two\nlines.npz")


# The real thing


def test_all_of_fashion_mnist_is_read(fashion_mnist):
    assert fashion_mnist.class_names == CLASS_NAMES
    assert fashion_mnist.is_fashion_mnist
    assert fashion_mnist.fingerprint == "e08db243c9cf893a2a488b625476849e1992339f787a9e80e5a649dd2838f8f9"
    assert fashion_mnist.train_images.shape == (60_000, 28, 28)
    assert fashion_mnist.test_images.shape == (10_000, 28, 28)
    assert np.bincount(fashion_mnist.train_labels).tolist() == [6_000] * 10


# TensorFlow Datasets


@pytest.fixture(scope="module")
def prepare(tmp_path_factory):
    """Writes a data set as TensorFlow Datasets itself does; gives the folder that they are in."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path_factory.mktemp("tensorflow_datasets")

    # Where TensorFlow Datasets keeps what it writes, and leaves it, while it writes.
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("meanwhile")))

    def write(name, side, splits, **classes):
        features = {"image": tfds.features.Image(shape=(side, side, 1))}
        features["label"] = tfds.features.ClassLabel(**classes or {"num_classes": 10})
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="3.0.1",
            data_dir=str(folder),
            features=tfds.features.FeaturesDict(features),
            split_datasets={
                split: [
                    (index, {"image": image[:side, :side, np.newaxis], "label": int(label)})
                    for index, (image, label) in enumerate(zip(*arrays, strict=True))
                ]
                for split, arrays in splits.items()
            },
        )

    train, test = ((ARRAYS[f"x_{split}"], ARRAYS[f"y_{split}"]) for split in ("train", "test"))
    write("fashion_mnist", 28, {"train": train, "test": test})
    write("my_own", 28, {"train": train})
    write("too_small", 20, {"train": train})
    write("letters", 28, {"train": (train[0], LETTERS + 10)}, num_classes=27)
    write("my_emnist", 28, {"train": (train[0], LETTERS + 10)}, num_classes=27)
    write("syllables", 28, {"train": train}, names=[*"abcdefghij"])
    monkeypatch.undo()
    return folder


@pytest.fixture
def tensorflow_datasets(prepare, monkeypatch):
    import tensorflow_datasets as tfds

    # What $TFDS_DATA_DIR says when the library is imported.
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(prepare))


def by_label_and_content(images, labels):
    return sorted((int(label), image.tobytes()) for image, label in zip(images, labels, strict=True))


def test_tensorflow_datasets_are_read(tensorflow_datasets):
    dataset = sources.load("tfds:fashion_mnist")
    assert dataset.source == "tfds:fashion_mnist"
    assert (dataset.train_images.shape, dataset.train_images.dtype) == ((12, 28, 28), np.uint8)
    # In an order of its own, which it drew when it wrote them.
    for split in ("train", "test"):
        found = (getattr(dataset, f"{split}_{what}") for what in ("images", "labels"))
        assert by_label_and_content(*found) == by_label_and_content(
            ARRAYS[f"x_{split}"], ARRAYS[f"y_{split}"]
        )
    assert sources.load("tfds:fashion_mnist").fingerprint == dataset.fingerprint


def test_a_tensorflow_dataset_needs_no_test_images(tensorflow_datasets):
    dataset = sources.load("tfds:my_own")
    assert len(dataset.train_images) == 12
    assert dataset.test_images is dataset.test_labels is None


def test_classes_of_a_tensorflow_dataset_have_its_names(tensorflow_datasets):
    assert sources.load("tfds:syllables").class_names == tuple("abcdefghij")
    assert sources.load("tfds:letters").class_names == ("11", "12", "13", "14")


def test_emnist_is_turned_upright_and_says_so(tensorflow_datasets):
    dataset = sources.load("tfds:my_emnist")
    upright = by_label_and_content(IMAGES.swapaxes(1, 2), LETTERS - 1)
    assert by_label_and_content(dataset.train_images, dataset.train_labels) == upright
    assert "EMNIST stores its images lying on their side: they are turned upright" in dataset.notes


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("too_small", "holds images of the shape (20, 20, 1)"),
        ("absent", "TensorFlow Datasets cannot load it (Dataset absent not found.)"),
        ("fashion_mnist:9.9.9", "cannot be loaded at version 9.9.9"),
        ("", "not the name of a data set"),
        ("huggingface:somebody/something", "not the name of a data set"),
        ("../elsewhere", "not the name of a data set"),
    ],
)
def test_a_tensorflow_dataset_that_cannot_be_had_is_refused(tensorflow_datasets, name, says):
    assert says in refusal(f"tfds:{name}")


def test_without_tensorflow_datasets_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(sources, "is_installed", lambda name: False)
    assert "pip install 'clothinggan[tfds]'" in refusal("tfds:fashion_mnist")


def test_the_name_of_a_tensorflow_dataset_is_kept():
    assert sources.resolve("tfds:fashion_mnist") == "tfds:fashion_mnist"
