# shellcheck shell=bash
# Functions shared by the scripts of deploy/, which source this file after set -euo pipefail. Works with bash 3.2 (macOS).
# shellcheck disable=SC2034,SC2164 # the scripts use the variables; set -e handles a failed cd

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
programs=$CARGO_TARGET_DIR/debug
# The folders of rustup, Debian's server programs and snap.
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin:/snap/bin

headline() { printf '\n== %s\n' "$*"; }

fail() {
  printf '\nerror: %s\n' "$*" >&2
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# --- installing ---------------------------------------------------------------------------------

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    fail "this step needs root, and sudo is missing; run as root: $*"
  fi
}

# install_packages <Debian packages> [<Homebrew packages>]
install_packages() {
  local debian=$1 brew=${2:-$1}
  if have apt-get; then
    headline "Installing with apt-get: $debian"
    [[ -n ${apt_updated:-} ]] || as_root apt-get -qq update
    apt_updated=yes
    # shellcheck disable=SC2086 # a list of packages
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $debian </dev/null
  elif have brew; then
    headline "Installing with Homebrew: $brew"
    # shellcheck disable=SC2086 # a list of packages
    brew install $brew
  else
    fail "neither apt-get nor brew is available; install $debian"
  fi
}

need_rust() {
  have cargo || fail "cargo is missing; install Rust from https://rustup.rs and start again"
  have cc || install_packages "gcc libc6-dev" gcc
}

# OpenAPI Generator needs the runtime. On macOS without Java, `java` is a stub that fails.
need_java() { javac -version >/dev/null 2>&1 || install_packages default-jdk-headless openjdk; }

need_redis() { have redis-server || install_packages redis-server redis; }

need_haproxy() { have haproxy || install_packages haproxy; }

need_curl() { have curl || install_packages "curl ca-certificates" curl; }

venv=$CARGO_TARGET_DIR/venv

# Creates a Python virtual environment with the packages of deploy/checks/requirements.txt.
need_venv() {
  if cmp -s deploy/checks/requirements.txt "$venv/installed.txt"; then return; fi
  # On Debian this needs the package python3-venv.
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages "python3 python3-venv" python3
  headline "Installing from PyPI into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-input -r deploy/checks/requirements.txt
  cp deploy/checks/requirements.txt "$venv/installed.txt"
}

# --- free ports ---------------------------------------------------------------------------------

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
  local port
  while port=$((20000 + RANDOM % 10000)); do
    port_is_taken "$port" || break
  done
  echo "$port"
}

# wait_until <description> <seconds> <command …>: repeats the command until it succeeds.
wait_until() {
  local description=$1 tries=$(($2 * 10))
  shift 2
  until "$@"; do
    tries=$((tries - 1))
    [[ $tries -gt 0 ]] || fail "$description did not become ready in time"
    sleep 0.1
  done
}

# --- servers ------------------------------------------------------------------------------------

# start <command …>: starts a background process and sets $started to its id. It has its own process group, so that Ctrl-C
# reaches only the script, which then stops the processes in order.
start() {
  set -m
  "$@" </dev/null &
  started=$!
  set +m
}

running() { [[ -n ${1:-} ]] && kill -0 "$1" 2>/dev/null; }

# stop <process ids>: sends SIGTERM and waits until the processes have exited.
stop() {
  local pid
  for pid in "$@"; do
    if running "$pid"; then kill -TERM "$pid" 2>/dev/null || true; fi
  done
  for pid in "$@"; do
    wait "$pid" 2>/dev/null || true
  done
}

# start_redis <folder> <options …>: sets $redis_pid and $redis_url.
start_redis() {
  local dir=$1 port
  shift
  mkdir -p "$dir"
  port=$(free_port)
  start redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --logfile "$dir/redis.log" \
    --maxmemory-policy noeviction "$@"
  redis_pid=$started
  redis_url=redis://127.0.0.1:$port
  wait_until "Redis ($dir/redis.log)" 30 redis_answers "$port" "$dir"
}

redis_answers() {
  running "$redis_pid" || fail "Redis did not start: $(tail -n 5 "$2/redis.log" 2>/dev/null)"
  port_is_taken "$1"
}

# --- PostgreSQL: a temporary cluster, run by the installed server programs -----------------------

postgres_bin='' postgres_dir='' postgres_options=''

find_postgres() {
  local dir
  for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin | sort -rV) \
    "$(dirname "$(command -v postgres || echo /)")"; do
    if [[ -x $dir/initdb && -x $dir/postgres && -x $dir/pg_ctl ]]; then
      postgres_bin=$dir
      return
    fi
  done
  return 1
}

need_postgres() {
  find_postgres && return
  if have apt-get; then
    # Keeps Debian's package from creating and starting a cluster.
    local conf=/etc/postgresql-common/createcluster.d
    as_root mkdir -p $conf
    echo 'create_main_cluster = off' | as_root tee $conf/latchkey.conf >/dev/null
    install_packages postgresql-common
    install_packages postgresql
    as_root rm -f $conf/latchkey.conf
  else
    install_packages postgresql
  fi
  find_postgres || fail "PostgreSQL was installed, but initdb was not found"
}

# PostgreSQL refuses to run as root. Debian's packages create the user postgres.
as_postgres() {
  cd "$postgres_dir"
  if [[ $EUID -eq 0 ]]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# start_postgres <folder> [<options>]: starts a new cluster and sets $postgres_url. Not durable by default.
start_postgres() {
  local port password
  postgres_dir=$1
  port=$(free_port)
  password=$(random_hex 16)
  mkdir "$postgres_dir"
  printf '%s' "$password" >"$postgres_dir/password"
  chmod 711 "$(dirname "$postgres_dir")"
  [[ $EUID -ne 0 ]] || chown -R postgres "$postgres_dir"
  (as_postgres "$postgres_bin/initdb" -D "$postgres_dir/data" -U postgres -E UTF8 --locale=C --auth=password \
    --pwfile="$postgres_dir/password" --no-sync >"$(dirname "$postgres_dir")/initdb.log" 2>&1) ||
    fail "$(tail -n 5 "$(dirname "$postgres_dir")/initdb.log")"
  postgres_options="-h 127.0.0.1 -p $port -c unix_socket_directories= -c max_connections=300 ${2:--c fsync=off -c synchronous_commit=off -c full_page_writes=off}"
  start_postgres_again
  postgres_url=postgres://postgres:$password@127.0.0.1:$port/postgres
}

start_postgres_again() {
  (as_postgres "$postgres_bin/pg_ctl" start -w -s -D "$postgres_dir/data" -l "$postgres_dir/postgres.log" \
    -o "$postgres_options" </dev/null) || fail "PostgreSQL did not start: $(tail -n 5 "$postgres_dir/postgres.log")"
}

stop_postgres() {
  if [[ -n $postgres_dir && -f $postgres_dir/data/postmaster.pid ]]; then
    (as_postgres "$postgres_bin/pg_ctl" stop -w -s -m immediate -D "$postgres_dir/data") || true
  fi
}

# random_hex <bytes>
random_hex() { od -An -v -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# --- configuration ------------------------------------------------------------------------------

# setting <NAME> [<default>]: prints a setting as the programs read it: from the environment, then .env, then the file in
# NAME_FILE.
setting() {
  local value file
  value=$(variable "$1")
  if [[ -z $value ]]; then
    file=$(variable "$1_FILE")
    [[ -z $file ]] || value=$(<"$file")
  fi
  printf '%s' "${value:-${2:-}}"
}

variable() {
  if [[ -n ${!1:-} ]]; then
    printf '%s' "${!1}"
  elif [[ -f .env ]]; then
    sed -nE "s/^[[:space:]]*(export[[:space:]]+)?$1[[:space:]]*=[[:space:]]*(.*)$/\2/p" .env | tail -n 1 |
      sed -E "s/^\"([^\"]*)\".*$/\1/; s/^'([^']*)'.*$/\1/; s/[[:space:]]+(#.*)?$//"
  fi
}
