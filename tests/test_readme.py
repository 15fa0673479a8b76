"""What the README and the pages of docs/ show of the commands, and their programs, are as they say."""

import contextlib
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from conftest import stranger
from matplotlib import pyplot

CHECKOUT = Path(__file__).parents[1]
README = CHECKOUT / "README.md"
DOCS = sorted((CHECKOUT / "docs").glob("*.md"))
PAGES = [README, *DOCS]
OTHERS = [CHECKOUT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "weights/README.md")]
TEXT = "\n".join(page.read_text() for page in PAGES)
SHELL = "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).replace("\\\n", " ")
IN_SENTENCES = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
LINES = [*SHELL.splitlines(), *(" ".join(code.split()) for code in IN_SENTENCES)]
COMMANDS = list(dict.fromkeys(line for line in LINES if re.match(r"!?python -m clothinggan\.", line)))
SCRIPTS = list(dict.fromkeys(line for line in LINES if re.match(r"python scripts/", line)))
# Of these the files are there, or can be had in a moment, and nothing is trained.
QUICK = [
    line
    for line in COMMANDS
    if re.search(r"clothinggan\.(display|compare) ", line)
    and not re.search(r"\*|generator_epoch|latest\.weights|acgan|FILE", line)
] + [line for line in COMMANDS if "--set help" in line]
OWN_CLASSES = ["hats", "odd socks", "scarves", *"abcdefg"]


def named(page):
    return str(page.relative_to(CHECKOUT))


def words(line):
    return shlex.split(line, comments=True)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line):
    _, _, module, *arguments = words(line)
    with contextlib.suppress(SystemExit) if "help" in arguments else contextlib.nullcontext():
        assert import_module(module).parse(arguments)


@pytest.mark.parametrize("line", SCRIPTS)
def test_every_script_is_there_and_knows_its_options(line):
    _, script, *arguments = words(line)
    options = [word for word in arguments if word.startswith("--")]
    assert [option for option in options if f'"{option}"' not in (CHECKOUT / script).read_text()] == []


@pytest.fixture
def files_of_readers(small_run, small_swift, tmp_path):
    """The files that the pages speak of, in the folder that their reader is in."""
    for run in ("swift", "plain", "slow", "small", "mine", "runs/plain", "runs/bare", "runs/two"):
        Path(run).mkdir(parents=True)
        own = {"class_names": OWN_CLASSES} if run == "mine" else {}
        stranger(Path(small_swift), Path(run, "swiftGANlatest.h5"), seed=len(run), **own)
    for epoch in (5, 10):
        shutil.copy(small_swift, f"swift/swiftGANepoch{epoch}.h5")
    shutil.copy(small_run / "clothingGANlatest.h5", ".")
    shutil.copy(small_run / "clothingGANepoch4.h5", "clothingGANepoch5.h5")


def test_the_quick_commands_do_what_they_say(files_of_readers, capsys):
    for line in QUICK:
        _, _, module, *arguments = words(line)
        try:
            status = import_module(module).main(arguments)
        except SystemExit as end:
            status = end.code or 0
        assert status == 0, (line, capsys.readouterr().err)
        assert capsys.readouterr().out, line


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_programs_of_a_page_run_as_they_stand(page, files_of_readers, monkeypatch):
    monkeypatch.setattr(pyplot, "show", lambda: None)
    programs = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    names = {}
    for program in programs:
        exec(program, names)
    for name in names.keys() & {"images", "sneakers"}:
        assert tuple(names[name].shape)[:3] == (25, 28, 28)


def test_there_are_programs_and_quick_commands_to_run():
    assert TEXT.count("```python") >= 4
    assert len(QUICK) >= 6


def test_the_table_of_contents_has_every_page():
    contents = (CHECKOUT / "docs" / "README.md").read_text()
    assert [
        page.name for page in DOCS if page.name != "README.md" and f"]({page.name})" not in contents
    ] == []


def test_the_readme_can_be_read_in_five_minutes():
    assert len(README.read_text().split()) < 1_100


@pytest.mark.parametrize("page", PAGES + OTHERS, ids=named)
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
