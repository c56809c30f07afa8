#!/usr/bin/env bash
# rootfs.sh SUITE ARCHITECTURE SET    makes a Debian root file system as one image layer, unless it is in the cache,
#                                     and prints its folder: layer.tar.gz, meta.json, status, os-release.
#
# It is installed from the suite's main archive alone, so it has the packages of the last point release. Its
# sources.list then also names -updates and -security, so upgrades exist, as in an image of some age.
# SET is minbase or larger.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"

suite=$1 architecture=$2 set=$3
case $set in
  minbase) packages= ;;
  larger) packages=ca-certificates,curl,git,libexpat1,libpng16-16,libxml2,nginx-light,openssl,python3 ;;
  *) die "rootfs.sh: unknown set '$set'" ;;
esac
main=$(mirror main)
security=$(mirror security)

key=$(printf '%s\n' "$suite" "$architecture" "$packages" "$main" "$security" \
  | cat - "$here/rootfs.sh" "$here/layer.py" | sha256sum | cut -c1-16)
folder=$CACHE/images/$suite-$architecture-$set-$key
[[ -e $folder/meta.json ]] || {
  mkdir -p "$CACHE/images"
  exec 9>"$folder.lock"
  flock 9
}
if [[ ! -e $folder/meta.json ]]; then
  say "making $suite $set $architecture ..."
  work=$folder.tmp
  rm -rf "$work" && mkdir -p "$work"
  scratch=$(mktemp -d "$(dirname "$(default_run)")/reseal-rootfs.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  cat >"$scratch/sources.list" <<SOURCES
deb $main $suite main
deb $main $suite-updates main
deb $security $suite-security main
SOURCES
  # The fixed epoch makes the layer, and so the image's digest, the same each time.
  # An archive that stood still for a week has expired by its own word; the tests must not fail for it.
  SOURCE_DATE_EPOCH=1735689600 TMPDIR=$scratch nice -n 5 mmdebstrap --quiet --variant=minbase --architectures="$architecture" \
    ${packages:+--include="$packages"} --aptopt='Acquire::Check-Valid-Until "false"' --skip=check/empty \
    --customize-hook="copy-in $scratch/sources.list /etc/apt" \
    "$suite" "$scratch/root.tar" "deb $main $suite main" >&2
  nice -n 5 python3 "$here/layer.py" "$scratch/root.tar" "$work" >&2
  rm -rf "$folder"
  mv "$work" "$folder"
fi
echo "$folder"
