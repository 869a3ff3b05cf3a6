#!/bin/sh
# Make .venv hold what pyproject.toml and constraints.txt ask for. Quick when it already does.
#
# Usage: tools/setup_venv.sh          PYTHON=python3.12 names the interpreter to use
#
# Needs Python >= 3.11 with either ensurepip or pip. The stamp is written last, so an interrupted
# set-up is done again from the start; it also names the folder, so a copied tree makes its own.
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")/.."

venv=.venv
stamp=$venv/.hwsim-stamp

say() { printf '%s\n' "$@" >&2; }
fail() { say "$@"; exit 2; }

key() { { pwd; cat pyproject.toml constraints.txt hwsim/__init__.py tools/setup_venv.sh; } | cksum; }

up_to_date() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(key)" ] && "$venv/bin/python" -c '' 2>/dev/null
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has() { "$1" -c "import $2" >/dev/null 2>&1; }
can_make_venv() { has "$1" venv && { has "$1" ensurepip || has "$1" pip; }; }

# Named versions first: these are the ones hwsim is made for, newest first.
find_python() {
    unfit=
    for candidate in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
        new_enough "$candidate" || continue
        if can_make_venv "$candidate"; then
            python=$candidate
            return
        fi
        unfit=$candidate
    done
    [ -z "$unfit" ] || fail "hwsim: $unfit has neither venv with ensurepip nor pip." \
        "On Debian and Ubuntu: apt install python3-venv"
    fail "hwsim: needs Python 3.11 or newer as ${PYTHON:-python3}, and found none." \
        "Name one with: make PYTHON=/path/to/python3"
}

make_venv() {
    if has "$python" ensurepip; then
        "$python" -m venv --clear "$venv"
    else
        "$python" -m venv --clear --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install -qq pip
    fi
}

install() { "$venv/bin/python" -m pip install -qq --constraint constraints.txt "$@"; }

up_to_date && exit 0
find_python
say "hwsim: setting up $venv with $python (once, about a minute)"
# Settings of pip that would send packages elsewhere than into .venv, or leave some out. Those that
# say where packages come from stay.
unset PIP_CONSTRAINT PIP_DRY_RUN PIP_NO_BUILD_ISOLATION PIP_NO_DEPS PIP_PREFIX PIP_PYTHON \
    PIP_REQUIREMENT PIP_REQUIRE_HASHES PIP_ROOT PIP_TARGET PIP_USER
unset PYTHONHOME PYTHONPATH
PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_DISABLE_PIP_VERSION_CHECK
make_venv
install editables hatchling
install --no-build-isolation --editable '.[dev,rtl]'
key > "$stamp"
