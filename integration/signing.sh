# shellcheck shell=bash
# A private Sigstore, the files that say whom to trust, and a token for keys. To be sourced by up.sh after servers.sh.
# Logs, authorities and keys are made anew with each run folder; the trust files follow them.

start_sigstore() {
  local out=$RUN/sigstore
  mkdir -p "$out/rekor2"
  # A log that starts anew has new keys: the old files must not pass for them.
  is_alive "$RUN/pid/sigstack" || rm -f "$out"/{ready,primed}
  serve sigstack "$RUN/bin/sigstack" --out "$out" --oidc "127.0.0.1:$PORT_OIDC" --fulcio "127.0.0.1:$PORT_FULCIO" \
    --ct "127.0.0.1:$PORT_CT" --rekor "127.0.0.1:$PORT_REKOR"
  # Rekor 2 takes a key from a file; the timestamp authority makes one at each start.
  [[ -s $out/rekor2.pem ]] || openssl genpkey -algorithm ed25519 -out "$out/rekor2.pem" 2>/dev/null
  openssl pkey -in "$out/rekor2.pem" -pubout -out "$out/rekor2.pub"
  # Its host name is the origin of its checkpoints, which must be that of its address.
  serve rekor2 "$(tool_folder rekor2)/posix" serve --hostname 127.0.0.1 --http-port "$PORT_REKOR2" --grpc-port "$PORT_REKOR2_GRPC" \
    --http-metrics-port "$PORT_REKOR2_METRICS" --signer-filepath "$out/rekor2.pem" --storage-dir "$out/rekor2" \
    --checkpoint-interval 500ms --batch-max-age 50ms
  serve tsa "$RUN/bin/tsa" --addr "127.0.0.1:$PORT_TSA"
  wait_until 30 "sigstack" test -e "$out/ready"
  wait_until 30 "Rekor 2" answers "http://127.0.0.1:$PORT_REKOR2/healthz"
  wait_until 30 "the timestamp authority" answers "http://127.0.0.1:$PORT_TSA/ping"
  curl --silent --fail --noproxy '*' --output "$out/tsa.pem" "http://127.0.0.1:$PORT_TSA/api/v1/timestamp/certchain"
  trust_files "$out"
  prime_logs "$out"

  put_env COSIGN_OLD "$RUN/bin/cosign-old"
  put_env COSIGN_NEW "$RUN/bin/cosign-new"
  put_env SIGSTORE_PYTHON "$RUN/bin/sigstore-python"
  put_env SIGSTACK_OIDC "http://127.0.0.1:$PORT_OIDC"
  put_env SIGSTACK_FULCIO "http://127.0.0.1:$PORT_FULCIO"
  put_env SIGSTACK_CT "http://127.0.0.1:$PORT_CT/ct"
  put_env SIGSTACK_REKOR "http://127.0.0.1:$PORT_REKOR"
  put_env REKOR2 "http://127.0.0.1:$PORT_REKOR2"
  put_env TSA "http://127.0.0.1:$PORT_TSA/api/v1/timestamp"
  put_env TRUSTED_ROOT "$out/trusted_root.json"
  put_env TRUSTED_ROOT_EMPTY "$out/trusted_root_empty.json"
  # What services a signer uses: none, Rekor 1, Rekor 1 and timestamps, Rekor 2 and timestamps, timestamps only.
  for which in none rekor1 rekor1_tsa rekor2 tsa; do
    put_env "SIGNING_CONFIG_${which^^}" "$out/signing_$which.json"
  done
  # cosign 2.5 takes its trust for `.sig` tags from these, one variable each.
  put_env FULCIO_CHAIN "$out/fulcio.pem"
  put_env CT_KEY "$out/ctfe.pub"
  put_env REKOR_KEY "$out/rekor.pub"
  put_env REKOR2_KEY "$out/rekor2.pub"
  put_env TSA_CHAIN "$out/tsa.pem"
}

# trust_files FOLDER: the trusted root and the signing configurations, by the new cosign, unless they are of these keys.
trust_files() {
  local out=$1 new since rekor=url=http://127.0.0.1:$PORT_REKOR rekor2=url=http://127.0.0.1:$PORT_REKOR2
  local fulcio=url=http://127.0.0.1:$PORT_FULCIO tsa=url=http://127.0.0.1:$PORT_TSA/api/v1/timestamp
  new=$(cat "$out"/{fulcio.pem,ctfe.pub,rekor.pub,rekor2.pub,tsa.pem} "$RUN/ports" | sha256sum)
  [[ $new != "$(cat "$out/trusted" 2>/dev/null)" ]] || return 0
  since=$(date --utc --date '1 hour ago' +%Y-%m-%dT%H:%M:%SZ)

  new_cosign trusted-root create --fulcio "$fulcio,certificate-chain=$out/fulcio.pem" \
    --ctfe "url=http://127.0.0.1:$PORT_CT/ct,public-key=$out/ctfe.pub,start-time=$since" \
    --rekor "$rekor,public-key=$out/rekor.pub,start-time=$since" \
    --rekor "$rekor2,public-key=$out/rekor2.pub,start-time=$since,origin=127.0.0.1" \
    --tsa "$tsa,certificate-chain=$out/tsa.pem" --out "$out/trusted_root.json"
  echo '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}' >"$out/trusted_root_empty.json"

  local of="start-time=$since,operator=reseal"
  local -a authority=(--fulcio "$fulcio,api-version=1,$of" --oidc-provider "url=http://127.0.0.1:$PORT_OIDC/email,api-version=1,$of")
  local -a log1=(--rekor "$rekor,api-version=1,$of" --rekor-config ANY) log2=(--rekor "$rekor2,api-version=2,$of" --rekor-config ANY)
  local -a time=(--tsa "$tsa,api-version=1,$of" --tsa-config ANY)
  signing_config "$out/signing_none.json"
  signing_config "$out/signing_rekor1.json" "${authority[@]}" "${log1[@]}"
  signing_config "$out/signing_rekor1_tsa.json" "${authority[@]}" "${log1[@]}" "${time[@]}"
  signing_config "$out/signing_rekor2.json" "${authority[@]}" "${log2[@]}" "${time[@]}"
  signing_config "$out/signing_tsa.json" "${authority[@]}" "${time[@]}"
  echo "$new" >"$out/trusted"
}

signing_config() {
  local file=$1
  shift
  new_cosign signing-config create "$@" --out "$file"
}

new_cosign() { "$RUN/bin/cosign-new" "$@" >&2; }

# prime_logs FOLDER: puts an entry into each log. cosign 2.5 takes the very first, which has index 0, for a missing one.
prime_logs() {
  local out=$1 work
  [[ ! -e $out/primed ]] || return 0
  work=$(mktemp -d)
  head -c 32 /dev/urandom >"$work/blob"
  (
    # The name of the folder that keys are made in cannot be chosen.
    cd "$work"
    export COSIGN_PASSWORD=
    new_cosign generate-key-pair
    for which in rekor1_tsa rekor2; do
      new_cosign sign-blob --yes --key cosign.key --bundle "$which" --signing-config "$out/signing_$which.json" \
        --trusted-root "$out/trusted_root.json" blob
    done
  ) 2>"$work/errors" || { cat "$work/errors" >&2; die "the logs could not be primed"; }
  rm -rf "$work"
  touch "$out/primed"
}

# start_token: a token of SoftHSM, a library that acts as a device for keys, with one key in it.
start_token() {
  local out=$RUN/token module pin
  mkdir -p "$out/tokens"
  pin=$(secret "$out/pin")
  module=$(dpkg -L libsofthsm2 | grep '/libsofthsm2.so$' | head -n 1)
  if [[ ! -e $out/ready ]]; then
    rm -rf "$out/tokens" && mkdir "$out/tokens"
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$out/tokens" >"$out/softhsm2.conf"
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$out/key.pem" 2>/dev/null
    openssl pkey -in "$out/key.pem" -pubout -out "$out/key.pub"
    (
      export SOFTHSM2_CONF=$out/softhsm2.conf
      softhsm2-util --init-token --free --label reseal --pin "$pin" --so-pin "$pin"
      softhsm2-util --import "$out/key.pem" --token reseal --label sign --id 01 --pin "$pin"
    ) >&2
    # The key is in the token only, as one in a real device would be.
    rm "$out/key.pem"
    touch "$out/ready"
  fi
  put_env PKCS11_MODULE "$module"
  put_env PKCS11_CONF "$out/softhsm2.conf"
  put_env PKCS11_PIN "$pin"
  put_env PKCS11_KEY "pkcs11:token=reseal;object=sign?module-path=$module"
  put_env PKCS11_PUBLIC "$out/key.pub"
}
