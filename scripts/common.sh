# Sourced by the scripts here: goes to the project's folder, and makes its environment where there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

# install EXTRAS: the project with these extras ("" for none) into .venv, unless it is there already.
install() {
    local wanted stamp=.venv/installed$1
    if [ ! -x .venv/bin/python ]; then
        local python=${PYTHON:-python3}
        "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
            echo "$python is not Python 3.10 to 3.13; name one that is: PYTHON=python3.12 $0" >&2
            exit 1
        }
        say "making the environment .venv"
        # A half-made one would look finished the next time.
        trap 'rm -rf .venv' EXIT
        # Of one whose Python is gone, nothing is kept: what is noted there as installed is not.
        "$python" -m venv --clear .venv
        trap - EXIT
    fi
    wanted=$(cat setup.cfg pyproject.toml)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        say "installing the project into .venv (TensorFlow is large: one to three minutes)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --editable ".$1"
        # By all cores, where pip would use one. Some packages hold files that are of no Python, or of another.
        .venv/bin/python -m compileall -qq -j 0 .venv/lib || :
        printf '%s\n' "$wanted" > "$stamp"
    fi
}
