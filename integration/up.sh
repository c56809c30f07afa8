#!/usr/bin/env bash
# up.sh [demo|sign|test|bench]    installs, builds and starts what the tests need, makes the images, and writes the
#                            addresses of everything to the file `env` in the run folder, whose path it prints.
#
#   sign    all the registries and, for signatures, a private Sigstore (Fulcio, Rekor 1 and 2, timestamps), a token with a
#           key, and the programs that judge them; no BuildKit and no images
#   demo    BuildKit 0.32 (unless a daemon already answers), a registry, one bullseye image and its report, cosign
#   test    both, and BuildKit 0.12, dockerd, the clients of other ways to a daemon, arm64 and bookworm images, Trivy (the
#           default)
#   bench   also copa, the peer in benchmarks, and larger images for both platforms
#
# May be run again at any time: what is there is kept. down.sh takes everything away again. Needs root and Debian.
# RESEAL_RUN is the run folder, RESEAL_TOOLS_CACHE the folder of built tools and root file systems.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"
# shellcheck source=servers.sh
source "$here/servers.sh"
# shellcheck source=signing.sh
source "$here/signing.sh"
# shellcheck source=images/fleet.sh
source "$here/images/fleet.sh"

level=${1:-test}
case $level in demo | sign | test | bench) ;; *) die "usage: up.sh [demo|sign|test|bench]" ;; esac
[[ $EUID == 0 ]] || die "up.sh must run as root: it starts buildkitd and makes root file systems"
RUN=${RESEAL_RUN:-$(default_run)}
mkdir -p "$RUN"/{bin,log,pid,layouts,reports}
exec 8>"$RUN/.lock"
flock 8

# The level sign stands apart: no images are patched there.
patches() { [[ $level != sign ]]; }
signs() { [[ $level != demo ]]; }
at_least() { [[ $1 == demo || $level == bench || ($1 == test && $level == test) ]]; }

# Debian packages, only those that are missing.
wanted=(python3 ca-certificates curl)
! patches || wanted+=(mmdebstrap runc)
! signs || wanted+=(docker-registry openssl softhsm2)
! signs || python3 -c 'import ensurepip' 2>/dev/null || wanted+=(python3-venv)
! at_least test || wanted+=(arch-test iptables iproute2 libglib2.0-0 libsubid4 libwrap0 openssh-client qemu-user-static shellcheck skopeo zstd)
install_packages "${wanted[@]}"

# The tools are built while the first root file system is made: the one waits for the processor, the other for the network.
tools=(registry)
! patches || [[ -n ${BUILDKIT:=$(reachable_buildkit)} && $level == demo ]] || tools+=(buildkit-0.32)
! signs || tools+=(crane sigstack rekor2 tsa)
! at_least test || tools+=(buildkit-0.12 kube nerdctl trivydb trivy)
! at_least bench || tools+=(copa)
"$here/tools/build.sh" "${tools[@]}" >"$RUN/tools.new" &
building=$!
! patches || rootfs bullseye amd64 minbase >/dev/null
if signs; then
  "$here/judges.sh" >"$RUN/judges"
else
  "$here/judges.sh" cosign-new >"$RUN/judges"
fi
if at_least test; then
  register_arm64
  test_rootfs
fi
wait "$building" || die "a tool could not be built"
mv "$RUN/tools.new" "$RUN/tools"
link_tools
link_judges

choose_ports
: >"$RUN/env.new"
put_env RUN "$RUN"
put_env TOOLS "$RUN/bin"
put_env MIRROR "$(mirror main)"
put_env MIRROR_SECURITY "$(mirror security)"
start_registry
if signs; then
  start_plain_registry
  start_auth_registry
  start_second_auth_registry
  start_sigstore
  start_token
fi
if ! patches; then
  :
elif [[ -x $RUN/bin/buildkitd ]]; then
  start_buildkitd new "$RUN/bin"
else
  put_env BUILDKIT_NEW "$BUILDKIT"
fi
if at_least test; then
  start_buildkitd old "$(tool_folder buildkit-0.12)"
  start_dockerd
  link_clients
fi

if at_least test; then
  "$RUN/bin/trivydb" "$here/../testdata/advisories" "$RUN/trivy-cache"
  put_env TRIVY_CACHE "$RUN/trivy-cache"
fi
! patches || demo_images
! at_least test || test_images
if at_least bench; then
  start_counting_buildkitd
  bench_images
fi
mv "$RUN/env.new" "$RUN/env"
say "ready; the addresses are in $RUN/env"
echo "$RUN/env"
