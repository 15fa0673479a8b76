"""The package as it is built: archives that an index takes, and a wheel that works where no checkout is."""

import os
import subprocess
import sys
import tarfile
import venv
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from zipfile import ZipFile

import nbformat
import numpy as np
import pytest
from run_notebook import NOTEBOOK

from clothinggan import __version__
from clothinggan.data.sample import make_split

CHECKOUT = Path(__file__).parents[1]
# In one process: TensorFlow's import takes longer than all that the commands do here.
USE = """
import sys
from clothinggan import display, evaluate, resume, train
small = ["--data", "sample", "--examples", "64", "--out", "run"]
sys.exit(
    train.main(["--model", "swift", "--epochs", "1", *small])
    or resume.main(["--out", "run", "--more", "1"])
    or display.main(["--weights", "run/swiftGANlatest.h5", "--no-real"])
    or display.main(["--weights", "run/swiftGANlatest.h5", "--page", "page.html"])
    or evaluate.main(["--weights", "run/swiftGANlatest.h5", "--data", "x.npz", "--images", "50", "--quick"])
)
"""


CELL = """
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_cell(open("cell").read()).raise_error()
import clothinggan
print(clothinggan.__file__)
"""


def run(*command, **settings):
    """Runs a command as where no checkout is on Python's path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The source archive, and the wheel that is built from it and not from the checkout."""
    folder = tmp_path_factory.mktemp("built")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "backend"]
    subprocess.run([*install, "setuptools>=77"], check=True, capture_output=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", CHECKOUT],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(folder / "backend")},
    )
    (source,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return source, wheel


def environment_without_the_package(folder):
    """Makes a virtual environment with what the package needs, lent by this one: it is gigabytes."""
    venv.create(folder / "environment", with_pip=False)
    (packages,) = (folder / "environment").glob("lib/python*/site-packages")
    lent = folder / "lent"
    lent.mkdir()
    for path in next(Path(sys.prefix).glob("lib/python*/site-packages")).iterdir():
        if "clothinggan" not in path.name:  # The checkout is in this one.
            (lent / path.name).symlink_to(path)
    (packages / "lent.pth").write_text(f"{lent}\n")
    return folder / "environment"


@pytest.fixture(scope="module")
def bare_environment(archives, tmp_path_factory):
    """The folder of the programs of a virtual environment with the wheel in it."""
    environment = environment_without_the_package(tmp_path_factory.mktemp("bare"))
    pip = [sys.executable, "-m", "pip", "--python", environment]
    installed = run(*pip, "install", "--quiet", "--no-deps", archives[1])
    assert installed.returncode == 0, installed.stderr
    return environment / "bin"


@pytest.mark.slow
def test_the_notebook_gets_the_package_from_an_index_where_no_checkout_is_around_it(archives, tmp_path):
    environment = environment_without_the_package(tmp_path)
    first = next(cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code")
    Path("cell").write_text(first.source)
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(archives[1].parent)}
    done = run(environment / "bin" / "python", "-c", CELL, **index)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(str(environment))


@pytest.mark.slow
def test_a_wheel_has_all_that_its_commands_need(bare_environment):
    images = make_split("test")[0][:200]
    np.savez("x.npz", x_train=images[:100], x_test=images[100:])
    done = run(bare_environment / "python", "-c", USE)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_an_installed_wheel_draws_without_training_and_without_the_web(bare_environment, tmp_path):
    done = run(bare_environment / "clothinggan-display", "--weights", "example:swift", "--no-real")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "example-swift_generated.png").exists()


@pytest.mark.slow
def test_a_wheel_is_small(archives):
    assert archives[1].stat().st_size < 4_000_000


@pytest.mark.slow
def test_an_index_takes_the_archives(archives):
    done = run(sys.executable, "-m", "twine", "check", "--strict", *archives)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_source_archive_has_what_its_tests_read(archives):
    with tarfile.open(archives[0]) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("clothinggan", "docs", "notebooks", "scripts", "tests", "weights")
    files = [path for folder in folders for path in (CHECKOUT / folder).rglob("*") if path.is_file()]
    files += [path for path in CHECKOUT.iterdir() if path.suffix in (".md", ".cff", ".cfg", ".toml")]
    wanted = {str(path.relative_to(CHECKOUT)) for path in files if path.suffix != ".pyc"}
    assert wanted <= packed


@pytest.mark.slow
def test_an_archive_says_what_it_is(archives):
    with ZipFile(archives[1]) as wheel:
        said = wheel.read(f"clothinggan-{__version__}.dist-info/METADATA").decode()
    for line in ("Author: The ClothingGAN authors", "License: MIT", "Keywords: GAN"):
        assert line in said
    assert "Project-URL: " in said
    assert "](weights/" not in said


@pytest.fixture(scope="module")
def index_page():
    """What makes the page of an index."""
    spec = spec_from_file_location("setup_of_clothinggan", CHECKOUT / "setup.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.index_page


README = "![25 garments](weights/x.png) in [a page](docs/y.md#z) and [paper](https://z.org/)"


def test_on_an_index_pictures_and_links_lead_to_the_address_that_is_named(index_page):
    assert index_page(README, "https://x.org/raw/") == (
        "![25 garments](https://x.org/raw/weights/x.png) in [a page](https://x.org/raw/docs/y.md#z) and "
        "[paper](https://z.org/)"
    )


def test_on_an_index_without_an_address_no_picture_is_broken_and_no_link_dead(index_page):
    assert index_page(README, None) == "*[picture: 25 garments]* in a page and [paper](https://z.org/)"


def test_the_version_is_the_same_everywhere():
    assert f"\nversion: {__version__}\n" in (CHECKOUT / "CITATION.cff").read_text()
    assert f"\n## {__version__}" in (CHECKOUT / "CHANGELOG.md").read_text()
