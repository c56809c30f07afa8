# shellcheck shell=bash
# The images of the tests: which there are, and where they are put. To be sourced by up.sh,
# which sets `here` to its own folder.

# shellcheck disable=SC2154
rootfs() { "$here/images/rootfs.sh" "$@"; }

# image NAME FAMILY [--zstd] [--dress] ARCHITECTURE=ROOTFS...: makes a layout, pushes it as test/NAME:1.4 to every
# registry that runs, writes a report for each platform, and names all of them in the env file.
image() {
  local name=$1 layout=$RUN/layouts/$1 variable architecture
  shift
  variable=${name//-/_}
  variable=${variable^^}
  put_env "DIGEST_$variable" "$("$here/images/image.py" make "$1" "$layout" "${@:2}")"
  put_env "LAYOUT_$variable" "$layout"
  put_env "IMAGE_$variable" "127.0.0.1:$PORT_REGISTRY/test/$name:1.4"
  "$here/images/image.py" push "$layout" "http://127.0.0.1:$PORT_REGISTRY/test/$name:1.4"
  ! is_alive "$RUN/pid/registry-plain" ||
    "$here/images/image.py" push "$layout" "http://127.0.0.1:$PORT_PLAIN/test/$name:1.4"
  ! is_alive "$RUN/pid/registry-auth" ||
    "$here/images/image.py" push "$layout" "http://127.0.0.1:$PORT_AUTH/test/$name:1.4" --user "reseal:$(cat "$RUN/password")"
  for architecture in amd64 arm64; do
    if "$here/images/report.py" "$layout" "127.0.0.1:$PORT_REGISTRY/test/$name:1.4" "$architecture" \
      >"$RUN/reports/$name-$architecture.json"; then
      put_env "REPORT_${variable}_${architecture^^}" "$RUN/reports/$name-$architecture.json"
    else
      # The image has no such platform.
      rm "$RUN/reports/$name-$architecture.json"
    fi
  done
}

demo_images() {
  image bullseye oci amd64="$(rootfs bullseye amd64 minbase)"
}

# test_rootfs: makes what test_images wants, while the tools are still being built.
test_rootfs() {
  rootfs bullseye arm64 minbase
  rootfs bookworm amd64 minbase
  rootfs bookworm arm64 minbase
  rootfs bookworm amd64 larger
  rootfs bullseye amd64 larger
  rootfs trixie amd64 minbase
} >/dev/null

# trivy_report NAME ARCHITECTURE: the report of the real Trivy on a single image, which must find what report.py finds.
trivy_report() {
  local ours=$RUN/reports/$1-$2.json theirs=$RUN/reports/$1-$2-trivy.json variable=${1//-/_}
  "$RUN/bin/trivy" --cache-dir "$RUN/trivy-cache" image --input "$RUN/layouts/$1" --format json --output "$theirs" \
    --scanners vuln --pkg-types os --list-all-pkgs --offline-scan --quiet \
    --skip-db-update --skip-java-db-update --skip-version-check --disable-telemetry
  "$here/images/compare.py" "$ours" "$theirs" || die "report.py and Trivy differ on $1"
  put_env "TRIVY_REPORT_${variable^^}_${2^^}" "$theirs"
}

test_images() {
  local bullseye bullseye_arm bookworm bookworm_arm larger bullseye_larger trixie
  bullseye=$(rootfs bullseye amd64 minbase)
  bullseye_arm=$(rootfs bullseye arm64 minbase)
  bookworm=$(rootfs bookworm amd64 minbase)
  bookworm_arm=$(rootfs bookworm arm64 minbase)
  larger=$(rootfs bookworm amd64 larger)
  bullseye_larger=$(rootfs bullseye amd64 larger)
  trixie=$(rootfs trixie amd64 minbase)
  put_env ROOTFS_TARS "$(printf '%s/layer.tar.gz:' "$bookworm_arm" "$larger" "$bullseye_larger")$trixie/layer.tar.gz"
  image bullseye-arm64 oci arm64="$bullseye_arm"
  image bullseye-multi oci amd64="$bullseye" arm64="$bullseye_arm"
  image bullseye-dressed oci --dress amd64="$bullseye" arm64="$bullseye_arm"
  # The security archive of bullseye has no arm64 packages any more: two platforms are patched on bookworm.
  image bookworm-dressed oci --dress amd64="$bookworm" arm64="$bookworm_arm"
  image bookworm-docker-list docker amd64="$bookworm" arm64="$bookworm_arm"
  image bullseye-docker docker amd64="$bullseye"
  image bullseye-docker-list docker amd64="$bullseye" arm64="$bullseye_arm"
  image bullseye-zstd oci --zstd amd64="$bullseye"
  image bookworm oci amd64="$bookworm"
  image bookworm-multi oci amd64="$bookworm" arm64="$bookworm_arm"
  image bookworm-larger oci amd64="$larger"
  image bullseye-larger oci amd64="$bullseye_larger"
  # There are no advisories for trixie, so no report either.
  "$here/images/image.py" make oci "$RUN/layouts/trixie" amd64="$trixie" >/dev/null
  "$here/images/image.py" push "$RUN/layouts/trixie" "http://127.0.0.1:$PORT_REGISTRY/test/trixie:1.4"
  put_env IMAGE_TRIXIE "127.0.0.1:$PORT_REGISTRY/test/trixie:1.4"
  trivy_report bullseye amd64
  trivy_report bullseye-arm64 arm64
  trivy_report bookworm-larger amd64
}

# bench_images: also the images that copa runs its tools in: one with a report, and without one that of the image's release.
# It asks for them at two hosts, which buildkitd's configuration sends to the local registry.
bench_images() {
  local tag suite slim place
  image bookworm-larger-multi oci amd64="$(rootfs bookworm amd64 larger)" arm64="$(rootfs bookworm arm64 larger)"
  for tag in stable-slim=trixie 12-slim=bookworm; do
    suite=${tag#*=} tag=${tag%=*}
    slim=$RUN/layouts/debian-$tag
    "$here/images/image.py" make oci "$slim" --bare \
      amd64="$(rootfs "$suite" amd64 minbase)" arm64="$(rootfs "$suite" arm64 minbase)" >/dev/null
    for place in project-copacetic/copacetic/debian library/debian; do
      "$here/images/image.py" push "$slim" "http://127.0.0.1:$PORT_REGISTRY/$place:$tag"
    done
  done
}
