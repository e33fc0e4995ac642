# Ends the server in folder $1 and deletes it, once nobody has used it for $2 seconds.
#
# Its input is `watchdog.lock`, locked: that it is open is what tells that there is a watchdog. `home.rs` explains the locks.
home=$1 idle_max=$2 data=$1/data idle=0

exec 8<"$home/start.lock" 9<"$home/users.lock"

# Without our input: else it would keep the lock for us if we are killed.
pause() {
  sleep "$1" </dev/null
}

# Sets $servers to the processes that have the data folder as an argument, or one that is filled to become it, and $all to them
# and those that they began. Not from a file with their number: it may be missing yet, and after a crash the number may be a
# stranger's. (/proc/$pid/cwd would tell the same, but root in a container may not read it.)
server_runs() {
  servers=$(printf '%s\n' "$data" "$data/pgbouncer.ini" "$home/new-[0-9a-f]*" |
    grep -lzx -f - /proc/[0-9]*/cmdline 2>/dev/null | cut -d / -f 3)
  all=$servers
  for pid in $servers; do
    all="$all $(grep -l "^PPid:[[:space:]]*$pid\$" /proc/[0-9]*/status 2>/dev/null | cut -d / -f 3)"
  done
  [ -n "$servers" ]
}

stop_server() {
  tenths=0
  while server_runs; do
    # Immediate shutdown: nobody will read the data again. A test may have stopped its processes, so they go on first. They are
    # not asked only once, since one of them may be about to start another.
    # shellcheck disable=SC2086
    kill -CONT $all
    # shellcheck disable=SC2086
    kill -QUIT $servers
    # shellcheck disable=SC2086
    [ "$tenths" -lt 100 ] || kill -KILL $all
    tenths=$((tenths + 1))
    pause 0.1
  done
}

while :; do
  pause 1
  # Somebody has deleted the folder: what is there now is not ours to end.
  [ /proc/self/fd/8 -ef "$home/start.lock" ] || exit 0
  if flock -n -x 9; then
    flock -u 9
    idle=$((idle + 1))
  else
    idle=0
  fi
  [ "$idle" -ge "$idle_max" ] || continue

  # Under the start lock nobody can become a user, so the answer stays true until the folder is gone.
  flock -x 8
  if flock -n -x 9; then
    stop_server
    # Moved first: the moment the folder is away, others may make a new one.
    rm -rf "$home.gone"
    mv -T "$home" "$home.gone" || exit 0
    # A process that was begun by one that was stopped may write for a moment, which makes this fail.
    tenths=0
    until rm -rf "$home.gone" || [ "$tenths" = 100 ]; do
      tenths=$((tenths + 1))
      pause 0.1
    done
    exit 0
  fi
  flock -u 8
  idle=0
done
