"""Fashion-MNIST from Keras's cache, from Debian's package, and by download: every way in which that fails."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from image_files import ARRAYS, TRAIN_IMAGES, WHOLE, assert_whole, fill, refusal, zipped_idx

from clothinggan.data import download, sources
from clothinggan.errors import ClothingGANError


class Server(ThreadingHTTPServer):
    """Serves ``files``, a dictionary, on loopback; ``behaviour`` says how badly."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"/{n}.gz": zipped_idx(ARRAYS[k]) for k, n in download.IDX_FILES.items()}
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
    monkeypatch.setattr(download, "DOWNLOAD_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def impatience(monkeypatch):
    monkeypatch.setattr(download, "DOWNLOAD_TIMEOUT", 1.0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(download, "PACKAGE_FOLDER", tmp_path / "package")
    return tmp_path / "keras" / "datasets" / "fashion-mnist"


@pytest.mark.parametrize("proxy", ["http:/there", "http://a..b:1"])
def test_a_proxy_that_cannot_be_one_is_a_download_that_failed(proxy, cache, monkeypatch):
    monkeypatch.setattr(download, "DOWNLOAD_URL", "http://garments.invalid/")
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
    assert server.asked == [f"/{download.IDX_FILES['y_test']}.gz"]


def test_each_download_is_announced_with_its_size(cache, server, capsys):
    fill(cache, without=("x_train",))
    sources.load("fashion_mnist")
    url = f"{download.DOWNLOAD_URL}{TRAIN_IMAGES}.gz"
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


# The package of Debian and Ubuntu


def test_the_package_is_used_without_a_network(cache, server, tmp_path):
    fill(tmp_path / "package")
    dataset = sources.load("fashion_mnist")
    assert_whole(dataset)
    assert dataset.origin == "the package dataset-fashion-mnist"
    assert server.asked == []
    assert not cache.exists()


def test_kerass_cache_comes_before_the_package(cache, server, tmp_path):
    fill(cache)
    fill(tmp_path / "package")
    assert sources.load("fashion_mnist").origin == "Keras's cache"


def test_a_broken_package_is_named_and_the_images_are_downloaded(cache, server, tmp_path, capsys):
    fill(tmp_path / "package")
    (tmp_path / "package" / f"{TRAIN_IMAGES}.gz").write_bytes(WHOLE[:1000])
    assert sources.load("fashion_mnist").origin == "downloaded"
    assert f"{TRAIN_IMAGES}.gz: is cut short" in capsys.readouterr().err
