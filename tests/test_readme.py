"""What the README and the pages of docs/ show of the commands, and their programs, are as they say."""

import contextlib
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
README = "\n".join(page.read_text() for page in PAGES)
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
IN_SENTENCES = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
LINES = [*SHELL.splitlines(), *(" ".join(code.split()) for code in IN_SENTENCES)]
COMMANDS = [line for line in LINES if re.match(r"!?python -m clothinggan\.", line)]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line):
    _, _, module, *arguments = shlex.split(line, comments=True)
    with contextlib.suppress(SystemExit) if "help" in arguments else contextlib.nullcontext():
        assert import_module(module).parse(arguments)


def test_the_programs_draw_what_is_said(small_run, small_swift):
    shutil.copy(small_run / "clothingGANlatest.h5", ".")
    Path("swift").mkdir()
    shutil.copy(small_swift, "swift/swiftGANepoch10.h5")
    names = {}
    for program in PROGRAMS:
        exec(program, names)
    assert names["images"].shape == (25, 28, 28)
    assert 0 <= names["images"].min() <= names["images"].max() <= 1
    assert tuple(names["sneakers"].shape) == (25, 28, 28, 1)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_to_a_file_and_to_a_heading_of_it(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", linked.read_text())
            anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in anchors, target
