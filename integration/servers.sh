# shellcheck shell=bash
# How each server of the tests is started. To be sourced by up.sh, which sets RUN and here.

# put_env NAME VALUE: one line of the env file; the tests see it as RESEAL_IT_NAME.
put_env() { printf 'export RESEAL_IT_%s=%q\n' "$1" "$2" >>"$RUN/env.new"; }

# tool_folder TOOL: the folder that build.sh put the tool into.
tool_folder() { sed -n "s/^$1 //p" "$RUN/tools"; }

# link_judges: names of their own for the programs that judge signatures.
link_judges() {
  local name program
  while read -r name program; do ln -sfn "$program" "$RUN/bin/$name"; done <"$RUN/judges"
}

# link_tools: one folder with a link to each program; of the two buildkitds, the newer.
link_tools() {
  local tool folder program
  while read -r tool folder; do
    [[ $tool != buildkit-0.12 ]] || continue
    for program in "$folder"/*; do ln -sfn "$program" "$RUN/bin/"; done
  done <"$RUN/tools"
}

# reachable_buildkit: the address of a daemon that already listens on this machine, or nothing. Only unix sockets:
# a daemon elsewhere does not reach the registry on this machine's loopback.
reachable_buildkit() {
  local address
  for address in "${BUILDKIT_HOST:-}" unix:///run/buildkit/buildkitd.sock; do
    if [[ $address == unix://* ]] && accepts "${address#unix://}"; then
      echo "$address"
      return
    fi
  done
}

# accepts SOCKET: whether something listens there.
accepts() {
  python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$1" 2>/dev/null
}

# choose_ports: free ports for the servers, the same ones in every run of up.sh with this run folder.
choose_ports() {
  local name
  local -a missing=()
  touch "$RUN/ports"
  for name in REGISTRY PLAIN AUTH AUTH2 OIDC FULCIO CT REKOR REKOR2 REKOR2_GRPC REKOR2_METRICS TSA; do
    grep -q "^PORT_$name=" "$RUN/ports" || missing+=("$name")
  done
  python3 - "${missing[@]}" >>"$RUN/ports" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in sys.argv[1:]]
for name, server in zip(sys.argv[1:], held):
    print(f"PORT_{name}={server.getsockname()[1]}")
PYTHON
  # shellcheck source=/dev/null
  source "$RUN/ports"
}

# serve NAME COMMAND...: starts a server in a session of its own, unless it runs.
serve() {
  local name=$1
  shift
  ! is_alive "$RUN/pid/$name" || return 0
  mkdir -p "$RUN/tmp"
  # A killed daemon leaves mounts where its temporary files are: there down.sh finds them.
  # The lock of up.sh must not outlive it in a server.
  TMPDIR=$RUN/tmp setsid nohup "$@" >"$RUN/log/$name" 2>&1 8>&- </dev/null &
  echo $! >"$RUN/pid/$name"
}

answers() { curl --silent --fail --noproxy '*' --output /dev/null "$@"; }

start_registry() {
  mkdir -p "$RUN/registry"
  serve registry "$RUN/bin/registry" --addr "127.0.0.1:$PORT_REGISTRY" --dir "$RUN/registry" --log "$RUN/registry-requests"
  wait_until 20 "the registry" answers "http://127.0.0.1:$PORT_REGISTRY/v2/"
  put_env REGISTRY "127.0.0.1:$PORT_REGISTRY"
  put_env REGISTRY_LOG "$RUN/registry-requests"
}

# distribution NAME PORT EXTRA: Debian's docker-registry, which has no referrers API.
distribution() {
  local name=$1 port=$2 extra=$3
  mkdir -p "$RUN/$name"
  cat >"$RUN/$name.yml" <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $RUN/$name}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port"}
$extra
CONFIG
  serve "$name" docker-registry serve "$RUN/$name.yml"
}

start_plain_registry() {
  distribution registry-plain "$PORT_PLAIN" ""
  wait_until 20 "the plain registry" answers "http://127.0.0.1:$PORT_PLAIN/v2/"
  put_env REGISTRY_PLAIN "127.0.0.1:$PORT_PLAIN"
}

# secret FILE: makes a password in the file, once, and prints it.
secret() {
  [[ -s $1 ]] || (umask 077 && head -c 12 /dev/urandom | base64 | tr '+/' '-_' >"$1")
  cat "$1"
}

start_auth_registry() {
  PASSWORD=$(secret "$RUN/password")
  # The password reaches perl by its standard input: arguments are visible to everybody.
  # shellcheck disable=SC2016  # perl's own variables
  perl -e 'chomp(my $word = <STDIN>); print "reseal:", crypt($word, "\$2y\$05\$" . "resealresealresealrese"), "\n"' \
    <"$RUN/password" >"$RUN/htpasswd"
  distribution registry-auth "$PORT_AUTH" "auth: {htpasswd: {realm: reseal, path: $RUN/htpasswd}}"
  wait_until 20 "the registry with passwords" answers --user "reseal:$PASSWORD" "http://127.0.0.1:$PORT_AUTH/v2/"
  put_env REGISTRY_AUTH "127.0.0.1:$PORT_AUTH"
  put_env REGISTRY_AUTH_USER reseal
  put_env REGISTRY_AUTH_PASSWORD "$PASSWORD"
}

# start_counting_buildkitd: a daemon of its own for benchmarks, which starts containers through a script that counts them.
start_counting_buildkitd() {
  mkdir -p "$RUN/counting"
  cat >"$RUN/counting/buildkit-runc" <<SCRIPT
#!/bin/sh
case " \$* " in *" run "*) echo >>"$RUN/containers" ;; esac
exec runc "\$@"
SCRIPT
  chmod +x "$RUN/counting/buildkit-runc"
  touch "$RUN/containers"
  put_env CONTAINERS "$RUN/containers"
  PATH=$RUN/counting:$PATH start_buildkitd bench "$RUN/bin"
}

# A registry of another owner: other credentials, and unlike the one before with the referrers API and its header.
start_second_auth_registry() {
  local password
  password=$(secret "$RUN/password2")
  mkdir -p "$RUN/registry-auth2"
  serve registry-auth2 "$RUN/bin/registry" --addr "127.0.0.1:$PORT_AUTH2" --dir "$RUN/registry-auth2" \
    --user release --password-file "$RUN/password2" --oci-subject
  wait_until 20 "the second registry with passwords" answers --user "release:$password" "http://127.0.0.1:$PORT_AUTH2/v2/"
  put_env REGISTRY_AUTH2 "127.0.0.1:$PORT_AUTH2"
  put_env REGISTRY_AUTH2_USER release
  put_env REGISTRY_AUTH2_PASSWORD "$password"
}

# start_buildkitd WHICH FOLDER: WHICH is new, old or bench.
start_buildkitd() {
  local which=$1 folder=$2 port
  mkdir -p "$RUN/buildkit-$which"
  {
    # No garbage collection: the daemon must not throw a cache away in the middle of a test.
    cat <<CONFIG
root = "$RUN/buildkit-$which/state"
[grpc]
  address = ["unix://$RUN/buildkit-$which.sock"]
[worker.oci]
  enabled = true
  gc = false
  snapshotter = "overlayfs"
[worker.containerd]
  enabled = false
CONFIG
    for port in "$PORT_REGISTRY" "$PORT_PLAIN" "$PORT_AUTH" "$PORT_AUTH2"; do
      printf '[registry."127.0.0.1:%s"]\n  http = true\n' "$port"
    done
    # copa pulls its tools from these two; up.sh bench puts them into the local registry.
    for name in docker.io ghcr.io; do
      printf '[registry."%s"]\n  mirrors = ["127.0.0.1:%s"]\n' "$name" "$PORT_REGISTRY"
    done
  } >"$RUN/buildkit-$which.toml"
  serve "buildkit-$which" "$folder/buildkitd" --config "$RUN/buildkit-$which.toml"
  wait_until 30 "buildkitd ($which)" "$folder/buildctl" --addr "unix://$RUN/buildkit-$which.sock" debug workers
  put_env "BUILDKIT_${which^^}" "unix://$RUN/buildkit-$which.sock"
}

# register_arm64: lets the kernel run arm64 programs. down.sh takes back what was not there before.
register_arm64() {
  local misc=/proc/sys/fs/binfmt_misc
  if ! mountpoint -q "$misc"; then
    mount -t binfmt_misc binfmt_misc "$misc"
    touch "$RUN/mounted-binfmt"
  fi
  if [[ ! -e $misc/qemu-aarch64 ]]; then
    cat /usr/lib/binfmt.d/qemu-aarch64.conf >"$misc/register"
    touch "$RUN/registered-arm64"
  fi
}

# unpack NAME SUITE PACKAGE...: Debian packages of a suite, unpacked into the cache and not installed: they do not belong
# to this machine's suite, or would start a server. Prints the folder. What they need must be on the machine.
unpack() {
  local name=$1 suite=$2 folder work package
  shift 2
  folder=$CACHE/$name-$suite-$(sha256sum <<<"$*" | cut -c1-16)
  if [[ ! -e $folder/.complete ]]; then
    say "unpacking $name of $suite ..."
    work=$folder.tmp
    rm -rf "$work" && mkdir -p "$work"/{lists/partial,cache/archives/partial,debs,root}
    cat >"$work/apt.conf" <<CONFIG
Dir::Etc::SourceList "$work/sources.list"; Dir::Etc::SourceParts "/dev/null";
Dir::State "$work"; Dir::State::Lists "$work/lists"; Dir::State::Status "$work/status"; Dir::Cache "$work/cache";
Acquire::Check-Valid-Until "false"; Acquire::Languages "none"; APT::Sandbox::User "root";
CONFIG
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror main) $suite main" >"$work/sources.list"
    : >"$work/status"
    (
      export APT_CONFIG=$work/apt.conf
      cd "$work/debs" || exit
      apt-get -qq update && apt-get -qq download "$@"
    ) >&2
    for package in "$work"/debs/*.deb; do dpkg -x "$package" "$work/root"; done
    rm -rf "$work"/{lists,cache,debs}
    touch "$work/.complete"
    rm -rf "$folder" && mv "$work" "$folder"
  fi
  echo "$folder/root"
}

# link_clients: the programs by which clients reach a daemon elsewhere, and what stands there for the tests, in a folder
# of their own: the machine's PATH is none of their business.
link_clients() {
  local trixie bookworm program
  trixie=$(unpack clients trixie docker-buildx kubectl)
  # Installed, these two would start services. Their libraries are among what up.sh installs.
  bookworm=$(unpack clients bookworm conmon openssh-server podman)
  mkdir -p "$RUN/clients"
  for program in "$trixie/usr/bin/kubectl" "$trixie/usr/libexec/docker/cli-plugins/docker-buildx" \
    "$bookworm/usr/sbin/sshd" "$bookworm/usr/bin/podman" "$bookworm/usr/bin/conmon" \
    "$(tool_folder kube)/kube" "$(tool_folder nerdctl)/nerdctl" "$RUN/docker/bin/docker"; do
    [[ -x $program ]] || die "there is no $program"
    ln -sfn "$program" "$RUN/clients/"
  done
  put_env CLIENTS "$RUN/clients"
}

start_dockerd() {
  local folder programs=$RUN/docker/bin name
  # The oldest dockerd with a usable containerd store.
  folder=$(unpack dockerd trixie docker.io docker-cli containerd)
  mkdir -p "$programs"
  # Only these: the whole of its usr/bin on PATH would shadow the machine's own programs.
  for name in dockerd docker-proxy docker containerd containerd-shim-runc-v2; do
    for place in bin sbin libexec/docker; do
      [[ ! -x $folder/usr/$place/$name ]] || ln -sfn "$folder/usr/$place/$name" "$programs/$name"
    done
  done
  cat >"$RUN/docker/daemon.json" <<CONFIG
{"data-root": "$RUN/docker/data", "exec-root": "$RUN/docker/exec", "pidfile": "$RUN/docker/pidfile",
 "hosts": ["unix://$RUN/docker.sock"], "features": {"containerd-snapshotter": true},
 "insecure-registries": ["127.0.0.1:$PORT_REGISTRY", "127.0.0.1:$PORT_PLAIN", "127.0.0.1:$PORT_AUTH", "127.0.0.1:$PORT_AUTH2"]}
CONFIG
  if ! is_alive "$RUN/pid/dockerd"; then
    # down.sh takes back what dockerd does to the network, unless another dockerd was there before.
    ip link show docker0 >/dev/null 2>&1 || cat /proc/sys/net/ipv4/ip_forward >"$RUN/docker/ip_forward"
    rm -f "$RUN/docker/pidfile"
  fi
  serve dockerd env PATH="$programs:$PATH" dockerd --config-file "$RUN/docker/daemon.json"
  wait_until 60 dockerd curl --silent --fail --unix-socket "$RUN/docker.sock" http://docker/_ping
  put_env DOCKER "unix://$RUN/docker.sock"
  put_env CONTAINERD "$RUN/docker/exec/containerd/containerd.sock"
}
