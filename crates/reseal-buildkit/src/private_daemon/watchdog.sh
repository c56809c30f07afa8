#!/bin/sh
# watchdog.sh PROCESS-GROUP FOLDER
#
# Ends a private buildkitd whose owner was killed before it could do so itself. The owner holds the other end of stdin
# and never writes: the read returns when the owner is gone. After an orderly end the owner kills this script.
group=$1 folder=$2
trap '' HUP INT TERM
read -r _ || :
kill -s TERM -- "-$group" 2>/dev/null || :
waited=0
while [ "$waited" -lt 5 ] && kill -s 0 -- "-$group" 2>/dev/null; do
  sleep 1
  waited=$((waited + 1))
done
kill -s KILL -- "-$group" 2>/dev/null || :
# A killed daemon leaves its overlay mounts behind; nothing below them may be removed through them.
while read -r _ target _; do
  case $target in "$folder"/*) umount -l "$target" 2>/dev/null || : ;; esac
done </proc/mounts
rm -rf -- "$folder"
