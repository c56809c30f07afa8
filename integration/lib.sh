# shellcheck shell=bash
# What up.sh, down.sh and the image scripts share. To be sourced.

# Everything that is expensive to make is kept here, outside the checkout.
# shellcheck disable=SC2034  # read by the scripts that source this file
CACHE=${RESEAL_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/reseal-tools}

# How much memory has to be free for the servers and their state, in GiB: all tests fill 12.
RUN_GIB=16

say() { printf '%s\n' "integration: $*" >&2; }
die() { printf '%s\n' "integration: error: $*" >&2; exit 1; }

# fast_folder GIB: the folder for what is written often: memory, because dpkg calls fsync for each file, if so many GiB are
# free there. The machine's memory is not filled up: the kernel would kill a test, not the files.
fast_folder() {
  local free
  free=$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo)
  if [[ $(stat -f -c %T /dev/shm 2>/dev/null) == tmpfs && -w /dev/shm ]] && ((free >= $1)); then
    echo /dev/shm
  else
    echo /tmp
  fi
}

# default_run: the folder of sockets, state and logs: where servers run already, else where there is room for all of them.
default_run() {
  local base
  for base in /dev/shm /tmp; do
    [[ ! -d $base/reseal-it/pid ]] || { echo "$base/reseal-it"; return; }
  done
  echo "$(fast_folder "$RUN_GIB")/reseal-it"
}

# mirror KIND: the address of the machine's own Debian archive (KIND main) or security archive (KIND security).
# No address is written in this repository: tests use the mirror that the machine itself uses.
mirror() {
  local kind=$1 site suite
  # shellcheck disable=SC2016  # apt's own placeholders, not the shell's
  local -a targets=(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 'Component: main')
  while read -r site suite; do
    case $kind:$suite in
      security:*-security | main:*-updates) echo "${site%/}"; return ;;
    esac
  done < <("${targets[@]}")
  # A machine without -updates: the first archive that is not the security one.
  while read -r site suite; do
    [[ $kind != main || $suite == *-security ]] || { echo "${site%/}"; return; }
  done < <("${targets[@]}")
  die "the apt sources of this machine name no Debian $kind archive"
}

# wait_until SECONDS WHAT COMMAND...: waits for the command to succeed; says what did not come up otherwise.
wait_until() {
  local seconds=$1 what=$2 deadline
  shift 2
  deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "$what did not come up in $seconds s"
    sleep 0.2
  done
}

# is_alive PIDFILE: whether the process of that file still runs.
is_alive() { [[ -s $1 ]] && kill -0 "$(cat "$1")" 2>/dev/null; }

# install_packages NAME...: installs Debian packages, those that are missing.
install_packages() {
  local package
  local -a missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "${missing[@]}" >&2
}
