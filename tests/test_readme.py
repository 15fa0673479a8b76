"""What the README shows of the four commands, and its programs, are as it says."""

import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
IN_SENTENCES = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
LINES = [*SHELL.splitlines(), *(" ".join(code.split()) for code in IN_SENTENCES)]
COMMANDS = [line for line in LINES if re.match(r"!?python -m clothinggan\.", line)]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line):
    _, _, module, *arguments = shlex.split(line, comments=True)
    assert import_module(module).parse(arguments)


def test_the_programs_draw_what_is_said(small_run, small_swift):
    shutil.copy(small_run / "clothingGANlatest.h5", ".")
    Path("swift").mkdir()
    shutil.copy(small_swift, "swift/swiftGANepoch10.h5")
    names = {}
    for program in PROGRAMS:
        exec(program, names)
    assert names["images"].shape == (1000, 28, 28)
    assert 0 <= names["images"].min() <= names["images"].max() <= 1
    assert tuple(names["sneakers"].shape) == (25, 28, 28, 1)
