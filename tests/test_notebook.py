"""The notebook runs from its first cell to its last, in a shortened form."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "first_gan.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_shows_pictures(tmp_path, monkeypatch):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('DATA = "fashion_mnist"', 'DATA = "sample"')
        cell.source = re.sub(
            r"data=DATA(, examples=20_000)?, epochs=2", "data=DATA, examples=640, epochs=2", cell.source
        )
    few_steps = "from clothinggan.evaluation import own_classifier as own\nown.STEPS = own.MIN_STEPS = 5"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(few_steps))
    # The kernel is this Python, with what this process imports.
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    client = NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 5
    progress = [output for output in outputs if "d_loss" in output.get("data", {}).get("text/plain", "")]
    assert len(progress) == 3  # A line for each training: it moves, and the last one stays.
