#!/usr/bin/env bash
# Everything that has to pass, in one command, on a bare Debian machine with Rust: ./test.sh
#
# What is missing is installed first: as root with apt-get; as an ordinary user by unpacking Debian's packages into a cache
# folder, which takes no rights at all. Nothing has to be running: the tests start and stop their servers themselves.
#
# FACTUM_PG_BINDIR             the folder with the Postgres to test with, instead of the one that is found
# FACTUM_DATABASE_URL          a server on which most tests make their databases, instead of one of their own
# FACTUM_TEST_FORCE_DOWNLOAD   if set, the way of the ordinary user is taken although Postgres is installed: to test this script

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

main() {
  require_rust
  provide_system_packages

  # Queries are checked against the `.sqlx` folders, not against whatever database a variable names.
  export SQLX_OFFLINE=true

  step 'Format' cargo fmt --all --check
  step 'Lints' cargo clippy --workspace --all-targets --all-features -- -D warnings
  step 'Documentation' env RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --workspace --no-deps --all-features
  if cargo nextest --version >/dev/null 2>&1; then
    step 'Tests' cargo nextest run --workspace --all-features
  else
    step 'Tests' cargo test --workspace --all-features --lib --bins --tests --examples
  fi
  step 'Documentation tests' cargo test --workspace --all-features --doc

  heading 'All passed'
}

heading() {
  printf '\n==> %s\n' "$1"
}

step() {
  heading "$1"
  shift
  printf '    %s\n' "$*"
  "$@"
}

give_up() {
  printf '\n' >&2
  printf '%s\n' "$@" >&2
  exit 1
}

require_rust() {
  # A shell that is not a login shell may not know rustup's folder.
  if ! command -v cargo >/dev/null && [ -x "${HOME:-}/.cargo/bin/cargo" ]; then
    PATH=$HOME/.cargo/bin:$PATH
  fi
  command -v cargo >/dev/null || give_up 'cargo is missing: install Rust with rustup'
  cargo fmt --version >/dev/null 2>&1 || give_up 'rustfmt is missing: rustup component add rustfmt'
  cargo clippy --version >/dev/null 2>&1 || give_up 'clippy is missing: rustup component add clippy'
}

# Postgres for the tests, and a C compiler for the SQLite that is compiled into its store.
provide_system_packages() {
  local missing=()
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  if [ -n "${FACTUM_PG_BINDIR:-}" ]; then
    has_postgres "$FACTUM_PG_BINDIR" || give_up "FACTUM_PG_BINDIR is $FACTUM_PG_BINDIR, which has no Postgres server"
  elif [ -n "${FACTUM_TEST_FORCE_DOWNLOAD:-}" ] || ! is_postgres_installed; then
    missing+=(postgresql)
  fi
  [ "${#missing[@]}" -gt 0 ] || return 0

  if [ "$(id -u)" = 0 ] && [ -z "${FACTUM_TEST_FORCE_DOWNLOAD:-}" ]; then
    install_packages "${missing[@]}"
    return
  fi
  command -v cc >/dev/null || give_up 'a C compiler is missing: as root, apt-get install gcc libc6-dev'
  provide_unpacked_postgres
}

has_postgres() {
  [ -x "$1/initdb" ] && [ -x "$1/pg_ctl" ] && [ -x "$1/postgres" ]
}

# The places where the testkit looks, too.
is_postgres_installed() {
  local folder IFS=:
  for folder in /usr/lib/postgresql/*/bin $PATH; do
    if has_postgres "$folder"; then return 0; fi
  done
  return 1
}

install_packages() {
  heading "Install $*"
  command -v apt-get >/dev/null || give_up "please install these Debian packages, or what they are called here: $*"
  # One broken source among many is no reason to stop; without any, the next command fails.
  apt-get update || echo 'continuing with the package lists that are there'

  # Debian would start a server of its own at once, and again at each boot. Nobody has asked for that.
  local configuration=/etc/postgresql-common/createcluster.d
  local no_server=$configuration/factum-test.conf
  mkdir -p "$configuration"
  echo 'create_main_cluster = false' >"$no_server"
  local code=0
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null || code=$?
  rm -f "$no_server"
  return "$code"
}

# Sets FACTUM_PG_BINDIR and LD_LIBRARY_PATH for a Postgres in the cache folder, which is filled the first time.
provide_unpacked_postgres() {
  local by_hand='as root, apt-get install postgresql; or set FACTUM_PG_BINDIR to the folder with initdb and postgres'
  { command -v apt-get && command -v dpkg; } >/dev/null || give_up "Postgres is missing: $by_hand"
  # Debian's Postgres reads time zones from there, wherever it is itself.
  [ -e /usr/share/zoneinfo/UTC ] || give_up 'time zones are missing: as root, apt-get install tzdata'

  local cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/factum
  mkdir -p "$cache" 2>/dev/null || { cache=$PWD/target/factum && mkdir -p "$cache"; }
  local release root
  release=$(. /etc/os-release && echo "$ID-${VERSION_ID:-testing}")
  root=$cache/postgres-$release-$(dpkg --print-architecture)
  if [ ! -d "$root" ]; then
    heading "Unpack Postgres into $root"
    unpack_postgres "$root" "Postgres is missing and cannot be downloaded: $by_hand"
  fi

  # Only libraries that the machine lacks, or has in a version too old: other programs go on with what they have.
  local folder libraries=
  for folder in "$root"/usr/lib/*-linux-gnu* "$root"/lib/*-linux-gnu*; do
    [ ! -d "$folder" ] || libraries=$libraries$folder:
  done
  libraries=$libraries${LD_LIBRARY_PATH:-}
  export LD_LIBRARY_PATH=${libraries%:}
  FACTUM_PG_BINDIR=$(printf '%s\n' "$root"/usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  export FACTUM_PG_BINDIR
  "$FACTUM_PG_BINDIR/postgres" --version || give_up "the Postgres in $root does not start: $by_hand"
}

# Downloads Postgres with all that it needs and the machine lacks, and unpacks it into folder $1. Says $2 if that fails.
# Not to be called in a condition, where bash would go on after an error.
unpack_postgres() (
  work=$(mktemp -d "$(dirname "$1")/download.XXXXXX")
  trap 'code=$?; rm -rf "$work"; [ "$code" = 0 ] || give_up "$2"' EXIT
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/packages" "$work/root"
  # What is installed, without Postgres and what depends on it: it may be there and not be used.
  awk -v RS= -v ORS='\n\n' '!/(^|\n)(Package|Depends): [^\n]*postgresql/' /var/lib/dpkg/status >"$work/status"

  own_apt_get() {
    apt-get -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o Dir::State::status="$work/status" \
      -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@"
  }
  own_apt_get update || echo 'continuing with the package lists that could be read'
  # Another C library than the one that runs already does not work beside it.
  names=$(own_apt_get --simulate --no-install-recommends install postgresql | awk '$1 == "Inst" && $2 != "libc6" { print $2 }')
  [ -n "$names" ]
  cd "$work/packages"
  # One argument for each name.
  # shellcheck disable=SC2086
  own_apt_get download $names
  for package in *.deb; do
    dpkg -x "$package" "$work/root"
  done
  # Complete or not at all. If another run was faster, its folder is as good.
  mv -T "$work/root" "$1" || [ -d "$1" ]
)

main
