#!/usr/bin/env bash
# build.sh TOOL...    builds the named tool modules of this folder that the cache does not hold yet
#                     and prints one line "TOOL BIN-FOLDER" for each.
#
# A tool's folder in the cache is named after the hash of its go.mod, go.sum and sources, so nothing is built twice and
# a changed lock file never meets an old binary. The cache lies outside the checkout: RESEAL_TOOLS_CACHE,
# else reseal-tools in XDG_CACHE_HOME or ~/.cache.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RESEAL_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/reseal-tools}

build_one() {
  local tool=$1 source=$here/$1 key bin work
  [[ -d $source ]] || { echo "build.sh: there is no tool module '$tool' in $here" >&2; return 2; }
  key=$(cd "$source" && shopt -s nullglob && sha256sum -- go.mod go.sum *.go | sha256sum | cut -c1-16)
  bin=$cache/$tool-$key/bin
  if [[ ! -e $bin/.complete ]]; then
    mkdir -p "$cache"
    # Two runs that start at the same time must not build the same tool twice.
    exec 9>"$cache/.lock-$tool"
    flock 9
    if [[ ! -e $bin/.complete ]]; then
      echo "building $tool ..." >&2
      work=$cache/$tool-$key.tmp
      rm -rf "$work" && mkdir -p "$work"
      compile "$tool" "$source" "$work"
      touch "$work/.complete"
      rm -rf "${bin%/bin}" && mkdir -p "${bin%/bin}"
      mv "$work" "$bin"
    fi
    exec 9>&-
  fi
  printf '%s %s\n' "$tool" "$bin"
}

compile() {
  local tool=$1 source=$2 out=$3 toolchain
  local -a environment=(CGO_ENABLED=0 GOBIN="$out" GOFLAGS="-buildvcs=false -trimpath")
  # A module that needs a newer Go than the machine has names it; Go fetches it as a module, also where it is told not
  # to by default.
  toolchain=$(sed -n 's/^toolchain //p' "$source/go.mod")
  [[ -z $toolchain ]] || environment+=(GOTOOLCHAIN="$toolchain")
  # Trivy uses encoding/json/v2, which Go 1.26 still hides behind an experiment.
  [[ $tool != trivy ]] || environment+=(GOEXPERIMENT=jsonv2)
  (
    cd "$source"
    if [[ -e main.go ]]; then
      env "${environment[@]}" nice -n 10 go build -o "$out/$tool" .
    else
      env "${environment[@]}" nice -n 10 go install tool
    fi
  ) >&2
}

for tool in "$@"; do build_one "$tool"; done
