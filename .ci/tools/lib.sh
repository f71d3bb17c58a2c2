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
    say "apt-get update: the package lists have no $1 $2 yet"
    as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 || true
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
    say "apt-get: installing $*"
    if ! apt_install_now "$log" "$@"; then
        as_root apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null 2>&1 || true
        if ! apt_install_now "$log" "$@"; then
            tail -n 15 "$log" >&2
            rm -f "$log"
            say "apt-get could not install: $*"
            return 1
        fi
    fi
    rm -f "$log"
}

apt_install_now() {
    local log=$1
    shift
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove \
        -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null
}
