#!/usr/bin/env bash
# down.sh    stops what up.sh started and removes the run folder: no process, mount or network rule is left.
#            What was built or made stays in the cache.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

RUN=${RESEAL_RUN:-$(default_run)}
[[ -d $RUN/pid ]] || { say "nothing to take down in $RUN"; exit 0; }

# stop PIDFILE: the server and what it started, politely first. Each server leads a process group of its own.
stop() {
  local pid
  pid=$(cat "$1")
  kill -TERM "$pid" 2>/dev/null || true
  for _ in {1..100}; do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL -- "-$pid" 2>/dev/null || true
  rm -f "$1"
}

# Daemons before the registries that they may still talk to, then whatever else was started.
for name in dockerd buildkit-bench buildkit-new buildkit-old; do
  [[ ! -s $RUN/pid/$name ]] || stop "$RUN/pid/$name"
done
# What keeps the containers that a killed test left in dockerd's containerd, and outlives it.
for process in /proc/[0-9]*; do
  [[ $(cat "$process/comm" 2>/dev/null) == containerd-shim ]] || continue
  ! grep -qaF -- "$RUN/docker/" "$process/cmdline" 2>/dev/null || kill -KILL "${process#/proc/}" 2>/dev/null || true
done
for file in "$RUN"/pid/*; do
  # All are told before any is waited for.
  [[ ! -s $file ]] || kill -TERM "$(cat "$file")" 2>/dev/null || true
done
for file in "$RUN"/pid/*; do
  [[ ! -s $file ]] || stop "$file"
done

# What a killed daemon left mounted.
while read -r _ place _; do
  [[ $place != "$RUN"/* ]] || umount -l "$place" 2>/dev/null || true
done < <(tac /proc/self/mounts)

if [[ -s $RUN/docker/ip_forward ]]; then
  ! ip link show docker0 >/dev/null 2>&1 || ip link delete docker0
  for version in iptables ip6tables; do
    "$version-save" 2>/dev/null | grep -v -e DOCKER -e docker0 | "$version-restore" 2>/dev/null || true
  done
  cat "$RUN/docker/ip_forward" >/proc/sys/net/ipv4/ip_forward
fi
[[ ! -e $RUN/registered-arm64 ]] || echo -1 >/proc/sys/fs/binfmt_misc/qemu-aarch64 || true
[[ ! -e $RUN/mounted-binfmt ]] || umount /proc/sys/fs/binfmt_misc || true
rm -rf "$RUN"
say "everything is down"
