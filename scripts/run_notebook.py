"""Runs notebooks/first_gan.ipynb, ten minutes on two threads, and keeps it and its pictures, to be committed.

    .venv/bin/python scripts/run_notebook.py

Fashion-MNIST is taken as a user's kernel takes it: from Keras's cache, else downloaded. What the runs write
goes to a folder that is removed.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from checkout import CHECKOUT
from nbclient import NotebookClient

NOTEBOOK = CHECKOUT / "notebooks" / "first_gan.ipynb"
SECONDS = 1_200  # for each cell


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Runs all cells in a folder, with the package of this checkout; their outputs do not tell where that is.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(
        map(str, [CHECKOUT, *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    # The kernel is this Python, and none that is installed for the user.
    os.environ["JUPYTER_PATH"] = str(folder)
    metadata = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=SECONDS, record_timing=False, resources=metadata).execute()
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if output.output_type == "stream":
            output.text = output.text.replace(f"{folder.resolve()}{os.sep}", "")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs it and writes it; returns the exit status."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args(argv)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        run(notebook, Path(folder))
    notebook.metadata = {"kernelspec": notebook.metadata.kernelspec, "language_info": {"name": "python"}}
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK.relative_to(CHECKOUT)}: {NOTEBOOK.stat().st_size / 2**10:.0f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
