# Sourced by the scripts here: goes to the project's folder, and makes its environment where there is none.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*"; }

# install EXTRAS: the project with these extras ("" for none) into .venv, unless it is there already.
install() {
    local wanted stamp=.venv/installed$1
    if [ ! -x .venv/bin/python ]; then
        say "making the environment .venv"
        "${PYTHON:-python3}" -m venv .venv
    fi
    wanted=$(cat setup.cfg pyproject.toml)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        say "installing the project into .venv (TensorFlow is large: one to three minutes)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$1"
        printf '%s\n' "$wanted" > "$stamp"
    fi
}
