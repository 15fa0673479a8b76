"""Fashion-MNIST itself: from Keras's cache, from the package of Debian and Ubuntu, or from the web."""

import io
import os
import sys
from pathlib import Path

import numpy as np

from clothinggan import files
from clothinggan.data.arrays import as_images
from clothinggan.data.formats import Flaw, opened, read_idx
from clothinggan.errors import ClothingGANError, shown

# Keras's name of each array, and the IDX file that holds it.
IDX_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}

PACKAGE = "dataset-fashion-mnist"  # of Debian and Ubuntu
PACKAGE_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DOWNLOAD_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
DOWNLOAD_TIMEOUT = 30.0  # seconds: to connect, and to wait for each piece

_MAX_DOWNLOAD = 64 * 2**20  # bytes; the largest of the four files has 26 million


def fetch_fashion_mnist() -> tuple[dict[str, np.ndarray], str]:
    """Returns Fashion-MNIST's arrays by Keras's names for them, and in a few words where they came from.

    Keras's cache is asked first, then the package's folder. What is missing in both, or broken, is downloaded
    into Keras's cache.

    Raises:
        ClothingGANError: If they cannot be had.
    """
    cache = Path(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras"), "datasets", "fashion-mnist")
    arrays, flaws = _read_present(cache)
    if len(arrays) == len(IDX_FILES):
        return arrays, "Keras's cache"
    packaged, packaged_flaws = _read_present(PACKAGE_FOLDER)
    if len(packaged) == len(IDX_FILES):
        return packaged, f"the package {PACKAGE}"
    for flaw in packaged_flaws.values():
        _say(flaw)
    for name in IDX_FILES:
        if name in flaws:
            _say(f"{flaws[name]}; downloading it again")
        if name not in arrays:
            arrays[name] = _download(name, cache, flaws.get(name))
    return arrays, "downloaded"


def _read_present(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns those arrays of a folder that can be read, and a line for each file that is broken.

    Keras trusts whatever lies in its cache: on a file that a crash cut short it fails for ever after.
    """
    arrays, flaws = {}, {}
    for name, file_name in IDX_FILES.items():
        path = folder / f"{file_name}.gz"
        if os.path.lexists(path):
            try:
                with opened(path) as file:
                    arrays[name] = _checked(name, read_idx(file))
            except Flaw as flaw:
                flaws[name] = f"{shown(path)}: {flaw}"
    return arrays, flaws


def _checked(name: str, array: np.ndarray) -> np.ndarray:
    return as_images(array)[0] if name.startswith("x") else array


def _download(name: str, folder: Path, broken: str | None) -> np.ndarray:
    path = folder / f"{IDX_FILES[name]}.gz"
    url = DOWNLOAD_URL + path.name
    try:
        content = _get(url)
        array = _checked(name, read_idx(io.BytesIO(content)))
    except Flaw as flaw:
        raise ClothingGANError(
            f"{f'{broken}, and ' if broken else ''}the download {url} {flaw}; try again, "
            f"install {PACKAGE} (Debian, Ubuntu), or use --data FOLDER with Fashion-MNIST's four files, or "
            "--data sample"
        ) from flaw
    _keep(content, path)
    return array


def _get(url: str) -> bytes:
    # Hardly ever needed, and slower to import than the rest of the module.
    import http.client
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT) as response:
            size = f" ({response.length:,} bytes)" if response.length else ""
            _say(f"downloading {url}{size}")
            return response.read(_MAX_DOWNLOAD)
    except (OSError, http.client.HTTPException, ValueError) as error:  # the last of a proxy's address
        # A plain URLError wraps what happened; an HTTPError is what happened.
        is_http = isinstance(error, urllib.error.HTTPError)
        reason = error if is_http else getattr(error, "reason", error)
        raise Flaw(f"failed ({shown(reason)})") from error


def _keep(content: bytes, path: Path) -> None:
    """Writes a download to the cache; where that cannot be, this run can still go on without."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic_write(path) as temporary:
            temporary.write_bytes(content)
    except (OSError, ClothingGANError) as error:
        _say(f"not kept for the next time: {shown(error)}")


def _say(line: str) -> None:
    print(f"clothinggan: {line}", file=sys.stderr, flush=True)
