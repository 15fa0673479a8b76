"""The notebook has its pictures, and runs from its first cell to its last in a shortened form."""

import re
from pathlib import Path

import nbformat
import pytest
import run_notebook

PICTURES = 6


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures_in(notebook: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs_of(notebook))


def test_the_notebook_is_kept_with_its_pictures_and_nothing_of_where_it_was_run():
    text = run_notebook.NOTEBOOK.read_text()
    notebook = nbformat.reads(text, as_version=4)
    assert pictures_in(notebook) == PICTURES
    assert len(text) < 2 * 2**20
    assert not [output for output in outputs_of(notebook) if output.get("name") == "stderr"]
    assert not [output for output in outputs_of(notebook) if output.output_type == "error"]
    said = "".join(output.get("text", "") for output in outputs_of(notebook))
    assert not re.search(r"(?<!\S)/\w", said)


@pytest.mark.slow
def test_the_notebook_runs_and_shows_pictures(tmp_path, monkeypatch):
    notebook = nbformat.read(run_notebook.NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace('DATA = "fashion_mnist"', 'DATA = "sample"')
        cell.source = re.sub(
            r"data=DATA(, examples=\w+)?, epochs=2", "data=DATA, examples=96, epochs=2", cell.source
        )
    few_steps = "from clothinggan.evaluation import own_classifier as own\nown.STEPS = own.MIN_STEPS = 5"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(few_steps))
    for name in ("PYTHONPATH", "JUPYTER_PATH"):
        monkeypatch.setenv(name, "")  # They are as before when the test is over.
    run_notebook.run(notebook, Path(tmp_path))
    assert pictures_in(notebook) == PICTURES
    progress = [
        output for output in outputs_of(notebook) if "d_loss" in output.get("data", {}).get("text/plain", "")
    ]
    assert len(progress) == 4  # A line for each training: it moves, and the last one stays.
