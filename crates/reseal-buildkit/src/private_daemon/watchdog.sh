#!/bin/sh
# watchdog.sh PROCESS-GROUP FOLDER [ROOTLESSKIT]
#
# Ends a private buildkitd whose owner was killed before it could do so itself. The owner holds the other end of stdin
# and never writes: the read returns when the owner is gone. After an orderly end the owner kills this script.
group=$1 folder=$2 rootlesskit=${3-}
trap '' HUP INT TERM
read -r _ || :
# A number may belong to somebody else by now; the daemon's command line names its folder.
is_ours() { grep -qF -- "$folder" "/proc/$group/cmdline" 2>/dev/null; }
is_ours && kill -s TERM -- "-$group" 2>/dev/null
waited=0
while [ "$waited" -lt 5 ] && is_ours; do
  sleep 1
  waited=$((waited + 1))
done
is_ours && kill -s KILL -- "-$group" 2>/dev/null
# A killed daemon leaves its overlay mounts behind; nothing below them may be removed through them.
while read -r _ target _; do
  case $target in "$folder"/*) umount -l "$target" 2>/dev/null || : ;; esac
done </proc/mounts
rm -rf -- "$folder" 2>/dev/null && exit
# Files of a rootless daemon belong to sub-users.
[ -z "$rootlesskit" ] || "$rootlesskit" rm -rf -- "$folder"
