"""The programs of the README, of docs/ and of the notebook are well typed, as their users' would be."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
NOTEBOOK = CHECKOUT / "notebooks" / "first_gan.ipynb"
CONFIGURATION = (
    "[mypy]\n" + re.search(r"```ini\n(.*?)```", (CHECKOUT / "docs" / "python.md").read_text(), re.DOTALL)[1]
)


def programs() -> dict[str, str]:
    """The programs by the names of files for them."""
    found = {
        f"{page.stem}_{number}.py": program
        for page in PAGES
        for number, program in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    }
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    source = "\n".join("".join(cell["source"]) for cell in cells)
    return found | {"notebook.py": re.sub(r"(?m)^( *)%pip .*$", r"\1pass", source)}


def check(folder: Path, *command: str) -> str:
    """What a checker of types says of the programs; nothing where it has no complaint."""
    environment = {**os.environ, "MYPYPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.slow
def test_mypy_accepts_the_programs_and_knows_wrong_ones(tmp_path):
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    for name, program in programs().items():
        (tmp_path / name).write_text(program)
    # What is wrong in the package itself is no matter of a user's program.
    strict = "mypy", "--strict", "--follow-imports=silent"
    assert check(tmp_path, *strict, ".") == ""
    (tmp_path / "wrong.py").write_text('import clothinggan\nclothinggan.fit("swift", epohcs=3)\n')
    assert 'Unexpected keyword argument "epohcs"' in check(tmp_path, *strict, "wrong.py")
