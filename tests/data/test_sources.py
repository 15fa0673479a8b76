"""Where training images come from: every source, and every way in which one can be broken."""

import gzip
import io
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from clothinggan.data import sources
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


def idx(array, *, type_code=0x08, shape=None):
    """The bytes of an IDX file, with a header that lies where it is told to."""
    shape = array.shape if shape is None else shape
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, type_code, len(shape), *shape) + array.tobytes()


def zipped_idx(array):
    return gzip.compress(idx(array), mtime=0)


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


def npz_of(member):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", member)
    return content.getvalue()


def fill(folder, *, ending=".gz", without=()):
    folder.mkdir(parents=True, exist_ok=True)
    for name, file_name in sources.IDX_FILES.items():
        if name not in without:
            content = zipped_idx(ARRAYS[name]) if ending else idx(ARRAYS[name])
            (folder / (file_name + ending)).write_bytes(content)
    return folder


def assert_whole(dataset):
    np.testing.assert_array_equal(dataset.train_images, ARRAYS["x_train"])
    np.testing.assert_array_equal(dataset.train_labels, ARRAYS["y_train"])
    np.testing.assert_array_equal(dataset.test_images, ARRAYS["x_test"])
    np.testing.assert_array_equal(dataset.test_labels, ARRAYS["y_test"])


def refusal(source):
    """The one line that a source is refused with."""
    with pytest.raises(ClothingGANError) as raised:
        sources.load(str(source))
    message = str(raised.value)
    assert message.isprintable()
    return message


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
    assert set(dataset.train_labels) == set(range(len(sources.CLASS_NAMES)))


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


# Broken files

WHOLE = zipped_idx(IMAGES)


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
        (idx(IMAGES.astype(">f4"), type_code=0x0D), "float32"),
        (idx(ARRAYS["y_train"]), "28 by 28"),
        (idx(IMAGES[:, :27]), "28 by 28"),
        (idx(IMAGES[:0]), "0 images"),
        (idx(IMAGES, shape=(2**32 - 1, 28, 28)), "4294967295 images"),
    ],
)
def test_a_broken_idx_file_is_named_with_its_flaw(tmp_path, content, flaw):
    path = tmp_path / TRAIN_IMAGES
    path.write_bytes(content)
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: ")
    assert flaw in message


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", "cut short"),
        (WHOLE[:5], "cut short"),
        (WHOLE[:-9], "cut short"),
        (WHOLE[:-8] + bytes(8), "gunzipped"),
        (WHOLE[:10] + b"\xff" * 100, "gunzipped"),
        (WHOLE[:300] + bytes(300) + WHOLE[600:], "gunzipped"),
        (idx(IMAGES), "gunzipped"),
        (WHOLE + b"rubbish", "gunzipped"),
        (WHOLE + gzip.compress(b"more"), "goes on"),
        (WHOLE + bytes(5000), "larger than its header"),
        (gzip.compress(idx(IMAGES, shape=(13, 28, 28))), "cut short"),
    ],
)
def test_a_broken_gzip_file_is_named_with_its_flaw(tmp_path, content, flaw):
    path = tmp_path / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(content)
    message = refusal(tmp_path)
    assert message.startswith(f"{path}: ")
    assert flaw in message


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (idx(ARRAYS["y_train"][:-1]), "12 images"),
        (idx(IMAGES), "12 images"),
        (idx(np.full(12, 10, np.uint8)), "0 to 9"),
        (idx(np.full(12, -1, np.int8), type_code=0x09), "0 to 9"),
        (idx(np.zeros(12, ">f8"), type_code=0x0E), "float64"),
    ],
)
def test_labels_that_do_not_fit_the_images_are_refused(tmp_path, content, flaw):
    fill(tmp_path, ending="", without=("x_test", "y_test"))
    (tmp_path / TRAIN_LABELS).write_bytes(content)
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path / TRAIN_LABELS}: ")
    assert flaw in message


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"", "not an .npz"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not an .npz"),
        (npz(ARRAYS)[:-30], "not an .npz"),
        (npz(ARRAYS).replace(IMAGES.tobytes(), bytes(IMAGES.nbytes)), "not an .npz"),
        (npz({"images": IMAGES}), "no training images"),
        (npz({"x_train": IMAGES.astype(np.float32)}), "x_train holds float32"),
        (npz({"x_train": np.array([{}])}), "x_train holds object"),
        (npz({"x_train": IMAGES.reshape(12, 784)}), "x_train has the shape"),
        (npz({"x_train": np.array(7, np.uint8)}), "x_train has the shape"),
        (npz({"x_train": IMAGES[:0]}), "x_train declares 0 images"),
        (npz({"x_train": np.asfortranarray(IMAGES)}), "Fortran order"),
        (npz({"x_train": IMAGES, "y_train": ARRAYS["y_train"][1:]}), "y_train has the shape"),
        (npz({"x_train": IMAGES, "y_train": np.full(12, 10)}), "y_train holds 10 to 10"),
        (npz({"x_train": IMAGES, "y_train": np.zeros(12)}), "y_train holds float64"),
        (npz({"x_train": IMAGES, "y_train": np.full(12, None)}), "y_train holds object"),
        (npz({"x_train": IMAGES}, compression=zipfile.ZIP_LZMA), "compressed"),
        (npz_of(b"rubbish"), "not an .npz"),
        (npz_of(npy(IMAGES, version=(2, 0))), "version 1.0"),
        (npz_of(npy(IMAGES, shape=(13, 28, 28))), "x_train is cut short"),
        (npz_of(npy(IMAGES, shape=(11, 28, 28))), "x_train goes on"),
        (npz_of(npy(IMAGES, shape=(10**12, 28, 28))), "x_train declares 1000000000000 images"),
        (npz_of(npy(IMAGES, shape=(-12, 28, 28))), "x_train declares -12 images"),
        (npz_of(b"\x93NUMPY\1\0\x20\3" + b"(" * 800), "not an .npz"),
    ],
)
def test_a_broken_npz_is_named_with_its_flaw(tmp_path, content, flaw):
    path = tmp_path / "images.npz"
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"{path}: ")
    assert flaw in message


def test_nothing_in_an_npz_is_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "gone off"),)

    np.savez(tmp_path / "images.npz", x_train=np.array([Bomb()]))
    refusal(tmp_path / "images.npz")
    assert not (tmp_path / "gone off").exists()


def bomb(name):
    """A small file that holds what its header promises and 50 MB more."""
    images, more = np.zeros((1000, 28, 28), np.uint8), bytes(50_000_000)
    if name.endswith(".npz"):
        return npz_of(npy(images) + more)
    return gzip.compress(idx(images) + more)


@pytest.mark.parametrize("name", [f"{TRAIN_IMAGES}.gz", "images.npz"])
def test_a_compression_bomb_is_not_inflated(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bomb(name))
    tracemalloc.start()
    assert "goes on" in refusal(path if path.suffix == ".npz" else tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_folder_without_training_images_is_told_what_it_lacks(tmp_path):
    assert TRAIN_IMAGES in refusal(tmp_path)


def make_folder(path):
    path.mkdir()


def make_fifo(path):
    os.mkfifo(path)


def make_link_to_device(path):
    path.symlink_to("/dev/zero")


def make_dangling_link(path):
    path.symlink_to(path.with_name("nowhere"))


def make_endless_link(path):
    path.symlink_to(path)


NO_FILES = [make_folder, make_fifo, make_link_to_device, make_dangling_link, make_endless_link]


@pytest.mark.parametrize("make", NO_FILES)
def test_what_is_no_regular_file_is_not_opened_as_idx(tmp_path, make):
    make(tmp_path / TRAIN_IMAGES)
    assert refusal(tmp_path).startswith(f"{tmp_path / TRAIN_IMAGES}: ")


@pytest.mark.parametrize("make", NO_FILES[1:])
def test_what_is_no_regular_file_is_not_opened_as_npz(tmp_path, make):
    make(tmp_path / "images.npz")
    assert refusal(tmp_path / "images.npz").startswith(f"{tmp_path / 'images.npz'}: ")


def test_a_line_break_in_a_name_does_not_break_the_message(tmp_path):
    (tmp_path / "two\nlines.npz").touch()
    assert "two\\nlines.npz" in refusal(tmp_path / "two\nlines.npz")


# Keras's cache and the download


class Server(ThreadingHTTPServer):
    """Serves ``files``, a dictionary, on loopback; ``behaviour`` says how badly."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/{n}.gz": zipped_idx(ARRAYS[k]) for k, n in sources.IDX_FILES.items()}
        self.asked = []
        self.behaviour = "well"
        self.released = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.server.behaviour == "not found":
            return self.send_error(404)
        if self.server.behaviour == "silent":
            return self.server.released.wait(30)
        content = self.server.files[self.path]
        self.send_response(200)
        self.send_header("Content-Length", len(content))
        self.end_headers()
        if self.server.behaviour == "well":
            return self.wfile.write(content)
        self.wfile.write(content[: len(content) // 2])
        if self.server.behaviour == "stuck":
            self.wfile.flush()
            self.server.released.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(sources, "DOWNLOAD_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def impatience(monkeypatch):
    monkeypatch.setattr(sources, "DOWNLOAD_TIMEOUT", 1.0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "datasets" / "fashion-mnist"


@pytest.mark.parametrize("proxy", ["http:/there", "http://a..b:1"])
def test_a_proxy_that_cannot_be_one_is_a_download_that_failed(proxy, cache, monkeypatch):
    monkeypatch.setattr(sources, "DOWNLOAD_URL", "http://garments.invalid/")
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr("urllib.request._opener", None)  # It keeps the proxies of the first download.
    with pytest.raises(ClothingGANError, match=r"the download http://garments\.invalid/.* failed"):
        sources.load("fashion_mnist")


def test_kerass_cache_is_used_without_a_network(cache, server):
    fill(cache)
    assert_whole(sources.load("fashion_mnist"))
    assert server.asked == []


@pytest.mark.parametrize(("keras_home", "folder"), [("", ".keras"), ("~/elsewhere", "elsewhere")])
def test_kerass_cache_is_in_the_home_folder(keras_home, folder, tmp_path, monkeypatch, server):
    monkeypatch.setenv("KERAS_HOME", keras_home)
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / folder / "datasets" / "fashion-mnist")
    sources.load("fashion_mnist")
    assert server.asked == []


def test_fashion_mnist_is_downloaded_on_first_use(cache, server):
    assert_whole(sources.load("fashion_mnist"))


def test_a_download_is_kept_byte_for_byte_where_keras_looks(cache, server):
    sources.load("fashion_mnist")
    kept = {f"/{path.name}": path.read_bytes() for path in cache.iterdir()}
    assert kept == server.files


def test_only_what_is_missing_is_downloaded(cache, server):
    fill(cache, without=("y_test",))
    sources.load("fashion_mnist")
    assert server.asked == [f"/{sources.IDX_FILES['y_test']}.gz"]


def test_each_download_is_announced_with_its_size(cache, server, capsys):
    fill(cache, without=("x_train",))
    sources.load("fashion_mnist")
    url = f"{sources.DOWNLOAD_URL}{TRAIN_IMAGES}.gz"
    assert capsys.readouterr().err == f"clothinggan: downloading {url} ({len(WHOLE):,} bytes)\n"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("not found", "404"),
        ("half", "cut short"),
        ("silent", "timed out"),
        ("stuck", "timed out"),
    ],
)
def test_a_failed_download_says_why_and_what_else_to_use(cache, server, impatience, behaviour, reason):
    server.behaviour = behaviour
    message = refusal("fashion_mnist")
    assert f"{TRAIN_IMAGES}.gz" in message
    assert reason in message
    assert "--data FOLDER" in message
    assert "--data sample" in message


def test_without_a_network_the_message_says_what_else_to_use(cache, server):
    server.shutdown()
    server.server_close()
    message = refusal("fashion_mnist")
    assert "refused" in message
    assert "--data sample" in message


@pytest.mark.parametrize("behaviour", ["not found", "half", "stuck"])
def test_a_failed_download_leaves_nothing_in_the_cache(cache, server, impatience, behaviour):
    server.behaviour = behaviour
    refusal("fashion_mnist")
    assert not cache.exists()


def test_a_download_of_something_else_does_not_reach_the_cache(cache, server):
    server.files[f"/{TRAIN_IMAGES}.gz"] = b"<html>Please log in to this network</html>"
    refusal("fashion_mnist")
    assert not cache.exists()


def test_a_hanging_server_is_given_up_soon(cache, server, impatience):
    server.behaviour = "stuck"
    start = time.monotonic()
    refusal("fashion_mnist")
    assert time.monotonic() - start < 5


@pytest.fixture
def broken(cache):
    """A file of the cache that a crash has cut short."""
    path = fill(cache) / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(path.read_bytes()[:1000])
    return path


def test_a_broken_file_in_the_cache_is_replaced(broken, server):
    assert_whole(sources.load("fashion_mnist"))
    assert broken.read_bytes() == WHOLE


def test_replacing_a_broken_file_is_said_aloud(broken, server, capsys):
    sources.load("fashion_mnist")
    assert f"{broken}: is cut short; downloading it again\n" in capsys.readouterr().err


def test_a_broken_file_that_cannot_be_replaced_is_named_and_stays(broken, server):
    server.behaviour = "not found"
    assert f"{broken}: is cut short" in refusal("fashion_mnist")
    assert broken.stat().st_size == 1000


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(cache, server, capsys):
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    assert_whole(sources.load("fashion_mnist"))
    assert "not kept for the next time" in capsys.readouterr().err


# The real thing


def test_all_of_fashion_mnist_is_read(fashion_mnist):
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

    def write(name, side, splits, classes=10):
        features = {"image": tfds.features.Image(shape=(side, side, 1))}
        features["label"] = tfds.features.ClassLabel(num_classes=classes)
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
    write("letters", 28, {"train": train}, classes=26)
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


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("too_small", "holds images of the shape (20, 20, 1)"),
        ("letters", "has 26 classes; 10 at most are expected"),
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
