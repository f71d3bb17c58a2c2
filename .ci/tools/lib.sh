# shellcheck shell=bash
# Helpers that the scripts in this folder share. Sourced, never run.
#
# Rules that all of them follow: a tool's script looks for the tool, chooses, says in one line what it chose
# (stderr) and prints the result (stdout). What is missing is installed; where that needs rights that we do not
# have, the exact command is printed and the script fails.

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(cd "$HERE/../.." && pwd -P)
TOOLS=${DOSSIER_TOOLS:-$ROOT/.tools}

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

# What a tool's script chose. Silent when another script only asks again for the answer.
chose() { [ -n "${DOSSIER_QUIET:-}" ] || say "$@"; }

have() { command -v "$1" >/dev/null 2>&1; }

# version_at_least HAVE WANT: compares dotted numbers.
version_at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)" = "$2" ]
}

# The first dotted number in the text on stdin.
first_version() { sed -n 's/[^0-9]*\([0-9][0-9]*\(\.[0-9][0-9]*\)*\).*/\1/p' | head -n 1; }

# For a cargo that builds: in CI, Cargo.lock must be as it should be.
# shellcheck disable=SC2034 # the scripts that source this use it
LOCKED=()
# shellcheck disable=SC2034
[ -z "${CI:-}" ] || LOCKED=(--locked)

# Newer Rusts bring new lints. Up to this one they are errors; beyond it they are shown only.
STRICT_UP_TO=1.96

# lint_while_building FOLDER: sets the environment in which cargo has the clippy in FOLDER compile the workspace's own
# crates, as `cargo clippy` has it check them. So lints cost no second build of everything.
lint_while_building() {
    export RUSTC_WORKSPACE_WRAPPER="$1/clippy-driver" CLIPPY_ARGS=
    if version_at_least "$STRICT_UP_TO" "$("$1/clippy-driver" rustc --version | first_version | cut -d . -f 1,2)"; then
        CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__
    else
        say "lint: this Rust is newer than $STRICT_UP_TO, so warnings do not fail"
    fi
}

# limited SECONDS COMMAND...: bounds a command that may hang on a closed network.
limited() {
    if have timeout; then
        timeout "$@"
    else
        shift
        "$@"
    fi
}

# one_at_a_time NAME: clones may share the tools folder, so only one of them installs NAME at a time.
one_at_a_time() {
    mkdir -p "$TOOLS"
    if have flock; then
        exec 9>"$TOOLS/.lock-$1"
        flock -n 9 || {
            say "$1: another run is installing it; waiting"
            flock 9
        }
    fi
}

# tool_from_python NAME VERSION PACKAGE==RELEASE: finds the program NAME of exactly that version in PATH, or installs the
# ready one that a Python package carries into the tools folder. Prints its path; fails if there is none.
tool_from_python() {
    local name=$1 version=$2 package=$3 home="$TOOLS/$1-$2" work
    if have "$name" && [ "$("$name" --version 2>/dev/null | first_version)" = "$version" ]; then
        chose "$name: $version from PATH"
        command -v "$name"
        return 0
    fi
    one_at_a_time "$name"
    if [ ! -x "$home/bin/$name" ]; then
        say "$name: fetching $version (the Python package ${package%%=*})"
        work=$(mktemp -d "$TOOLS/$name.XXXXXX")
        python_package "$package" "$work" && [ -x "$work/bin/$name" ] || {
            rm -rf "$work"
            return 1
        }
        mkdir -p "$home/bin"
        mv "$work/bin/$name" "$home/bin/$name"
        rm -rf "$work"
    fi
    chose "$name: $version in $home"
    printf '%s\n' "$home/bin/$name"
}

# python_package PACKAGE==RELEASE FOLDER: unpacks a package that needs no compiling, without what it depends on.
python_package() {
    local python
    python=$("$HERE/python") || return 1
    limited 300 "$python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --target "$2" "$1" >&2
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

can_be_root() { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }

# The upstream version of the package that apt would install, nothing if it knows none.
apt_version() {
    have apt-cache || return 0
    # Not `| head`: it would close the pipe early, which pipefail takes for a failure.
    apt-cache policy "$1" 2>/dev/null |
        sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}\([0-9][0-9.]*\).*/\2/p'
}

# apt_has PACKAGE VERSION: apt would install PACKAGE in VERSION or newer. Package lists may be missing, or older than the
# release that brought VERSION; so before saying no, they are updated.
apt_has() {
    have apt-get || return 1
    ! apt_knows "$1" "$2" || return 0
    can_be_root || return 1
    apt_alone
    if ! apt_knows "$1" "$2"; then
        say "apt-get update: the package lists have no $1 $2 yet"
        as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 8>&- || true
    fi
    exec 8>&-
    apt_knows "$1" "$2"
}

apt_knows() {
    local version
    version=$(apt_version "$1")
    [ -n "$version" ] && version_at_least "$version" "$2"
}

# apt_install PACKAGE...: installs; never removes anything to do so. Without the rights to install, the script ends
# here: .ci/tools/setup collects the packages and tells one command for all of them.
apt_install() {
    have apt-get || return 1
    if ! can_be_root; then
        say "${0##*/}: missing, apt-get has it: $*"
        if [ -n "${DOSSIER_MISSING:-}" ]; then
            printf '%s\n' "$@" >>"$DOSSIER_MISSING"
        else
            say "Run, then try again: sudo apt-get install -y --no-install-recommends $*"
        fi
        exit 1
    fi
    local log
    log=$(mktemp)
    apt_alone
    say "apt-get: installing $*"
    if ! apt_install_now "$log" "$@"; then
        as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 8>&- || true
        if ! apt_install_now "$log" "$@"; then
            exec 8>&-
            tail -n 15 "$log" >&2
            rm -f "$log"
            say "apt-get could not install: $*"
            return 1
        fi
    fi
    exec 8>&-
    rm -f "$log"
}

# Until file descriptor 8 is closed, no other script here uses apt-get: setup runs several at once.
apt_alone() {
    have flock || return 0
    mkdir -p "$TOOLS"
    exec 8>"$TOOLS/.lock-apt"
    flock 8
}

apt_install_now() {
    local log=$1
    shift
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove \
        -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null 8>&- 9>&-
}
