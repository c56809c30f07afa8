#!/usr/bin/env bash
# judges.sh [cosign-new]    puts the programs that judge signatures into the tools cache, once, and prints a line "NAME PROGRAM" for each:
#
#   cosign-old         2.5.0, of Debian trixie: `verify` knows `.sig` tags only
#   cosign-new         3.1.1, of Debian forky: bundles that refer to the image, and `.sig` tags where there are none
#   sigstore-python    4.5.1, of PyPI: bundles
#
# With an argument, that one alone, which is all that the demo needs.
#
# The cosigns come from the Debian mirror that this machine uses and count only with the digests given here; they need
# no library but libc. Nothing is installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

# cached NAME KEY MAKE...: the folder of the cache that `MAKE... WORK-FOLDER` filled, now or earlier, is in $folder.
cached() {
  local name=$1 key=$2
  shift 2
  folder=$CACHE/$name-$key
  [[ ! -e $folder/.complete ]] || return 0
  mkdir -p "$CACHE"
  # Two runs that start at the same time must not make the same thing twice.
  exec 9>"$CACHE/.lock-$name"
  flock 9
  if [[ ! -e $folder/.complete ]]; then
    say "getting $name ..."
    rm -rf "$folder"
    # A virtual environment cannot be moved: it is made in its place and complete when the mark is there.
    mkdir -p "$folder"
    "$@" "$folder" >&2
    touch "$folder/.complete"
  fi
  exec 9>&-
}

# debian_cosign FILE SHA256 FOLDER
debian_cosign() {
  local file=$1 digest=$2 folder=$3
  curl --silent --show-error --fail --retry 3 --output "$folder/cosign.deb" "$(mirror main)/pool/main/c/cosign/$file" ||
    die "the Debian mirror has no $file any more: pin its successor in $here/judges.sh"
  echo "$digest  $folder/cosign.deb" | sha256sum --check --quiet || die "$file is not the file that was pinned"
  dpkg -x "$folder/cosign.deb" "$folder/root"
  mv "$folder/root/usr/bin/cosign" "$folder/cosign"
  rm -rf "$folder/root" "$folder/cosign.deb"
}

# cosign NAME FILE SHA256
cosign() {
  cached "$1" "${3:0:16}" debian_cosign "$2" "$3"
  echo "$1 $folder/cosign"
}

# python_environment REQUIREMENTS FOLDER
python_environment() {
  python3 -m venv "$2"
  "$2/bin/pip" --quiet --disable-pip-version-check install --no-deps --require-hashes --only-binary :all: --requirement "$1"
}

machine=$(dpkg --print-architecture)
[[ $machine == amd64 ]] || die "no cosign is pinned for $machine"
cosign cosign-new 'cosign_3.1.1-2_amd64.deb' d8622ebffce1d69197288fc030ff06a4c247af5507107f85c5a878870b686b23
[[ ${1:-} != cosign-new ]] || exit 0
cosign cosign-old 'cosign_2.5.0-2+b5_amd64.deb' 3b6eadd27f3c4c00bfa7eab5c2397a6a15a763630c7a1d40d06ff60d24799eef

requirements=$here/tools/sigstore-python/requirements.txt
# The interpreter belongs to the environment: another one makes another.
key=$({ cat "$requirements"; python3 -c 'import sys; print(sys.executable, sys.version)'; } | sha256sum | cut -c1-16)
cached sigstore-python "$key" python_environment "$requirements"
echo "sigstore-python $folder/bin/sigstore"
