# Ends the server in folder $1 and deletes it, once nobody has used it for $2 seconds.
#
# Its input is `watchdog.lock`, locked: that it is open is what tells that there is a watchdog. `home.rs` explains the locks.
home=$1 idle_max=$2 data=$1/data idle=0

exec 8<"$home/start.lock" 9<"$home/users.lock"

# Without our input: else it would keep the lock for us if we are killed.
pause() {
  sleep "$1" </dev/null
}

# Sets $pid if the server runs. After a crash its file may name a stranger's process, so the command line is asked as well.
# (/proc/$pid/cwd would tell the same, but root in a container may not read it.)
server_runs() {
  read -r pid 2>/dev/null <"$data/postmaster.pid" || return 1
  case $pid in '' | *[!0-9]*) return 1 ;; esac
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -e "$data"
}

stop_server() {
  server_runs || return 0
  # Immediate shutdown: nobody will read the data again.
  kill -QUIT "$pid"
  tenths=0
  while server_runs; do
    [ "$tenths" -lt 100 ] || kill -KILL "$pid"
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
    mv -T "$home" "$home.gone" && rm -rf "$home.gone"
    exit 0
  fi
  flock -u 8
  idle=0
done
