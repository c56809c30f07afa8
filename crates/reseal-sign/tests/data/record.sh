#!/usr/bin/env bash
# Makes the fixtures of this folder: real signatures of real cosigns, as a registry keeps them. Run it after
# `integration/up.sh test`, in the environment that it writes; needs jq, openssl and curl. See README.md.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
: "${COSIGN_OLD:?cosign 2.5}" "${COSIGN_NEW:?cosign 3.1}" "${REGISTRY:?host:port of a registry with referrers}"
CRANE=${CRANE:-crane}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export COSIGN_PASSWORD='' HOME=$work

printf '%s' '{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json"}' >nolog.json
printf '%s' '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}' >noroot.json

# --- images ---------------------------------------------------------------------------------------------------------

mkdir rootfs && date --date=@0 >rootfs/file
tar --sort=name --mtime=@0 --owner=0 --group=0 -C rootfs -cf layer.tar file

run=fixtures-$(date +%s)

# A fresh repository with the same image for each case; sets `image`.
fresh() {
  local name=$1
  "$CRANE" append --insecure -f layer.tar -t "$REGISTRY/$run/$name:1" >/dev/null 2>&1
  digest=$("$CRANE" digest --insecure "$REGISTRY/$run/$name:1")
  image=$REGISTRY/$run/$name@$digest
}

# Writes what the repository holds about the image to NAME.json.
record() {
  local name=$1 repo=$REGISTRY/$run/$1 tag out layer blob
  out=$(jq -n --arg subject "$digest" '{subject: $subject, bundles: [], signatures: [], attestations: []}')
  for manifest in $(curl -sf "http://$REGISTRY/v2/$run/$name/referrers/$digest" | jq -r '.manifests[].digest'); do
    "$CRANE" manifest --insecure "$repo@$manifest" >manifest.json
    blob=$(jq -r '.layers[0].digest' manifest.json)
    "$CRANE" blob --insecure "$repo@$blob" >content
    out=$(jq --arg manifest "$manifest" --rawfile bundle content --slurpfile m manifest.json \
      '.bundles += [{manifest: $manifest, predicate_type: $m[0].annotations["dev.sigstore.bundle.predicateType"], bundle: $bundle}]' <<<"$out")
  done
  for kind in sig:signatures att:attestations; do
    tag=${digest/:/-}.${kind%%:*}
    "$CRANE" manifest --insecure "$repo:$tag" >manifest.json 2>/dev/null || continue
    for layer in $(seq 0 $(($(jq '.layers | length' manifest.json) - 1))); do
      blob=$(jq -r ".layers[$layer].digest" manifest.json)
      "$CRANE" blob --insecure "$repo@$blob" >content
      out=$(jq --arg kind "${kind##*:}" --argjson n "$layer" --rawfile payload content --slurpfile m manifest.json \
        '.[$kind] += [{media_type: $m[0].layers[$n].mediaType, payload: $payload, annotations: $m[0].layers[$n].annotations}]' <<<"$out")
    done
  done
  jq . <<<"$out" >"$here/$name.json"
  echo "recorded $name: $(jq -c '[.bundles, .signatures, .attestations] | map(length)' "$here/$name.json")"
}

old() { "$COSIGN_OLD" "$1" --allow-http-registry=true --allow-insecure-registry=true --yes "${@:2}" >out.log 2>&1 || { cat out.log; exit 1; }; }
new() { "$COSIGN_NEW" "$1" --allow-http-registry=true --allow-insecure-registry=true --yes "${@:2}" >out.log 2>&1 || { cat out.log; exit 1; }; }

# --- keys -----------------------------------------------------------------------------------------------------------

"$COSIGN_NEW" generate-key-pair --output-key-prefix p256 >/dev/null 2>&1
"$COSIGN_OLD" generate-key-pair --output-key-prefix other >/dev/null 2>&1
openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem 2>/dev/null
openssl genpkey -algorithm ED25519 -out ed25519.pem
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem
for key in rsa ed25519 p384; do "$COSIGN_NEW" import-key-pair --key "$key.pem" --output-key-prefix "$key" --yes >/dev/null 2>&1; done
for key in p256 other rsa ed25519 p384; do cp "$key.pub" "$here/"; done

printf '%s' '{"@context":"https://openvex.dev/ns/v0.2.0","statements":[]}' >vex.json
printf '%s' '{"scanner":{"uri":"","version":"","db":{"uri":"","version":""},"result":null},"metadata":{"scanStartedOn":"2024-01-01T00:00:00Z","scanFinishedOn":"2024-01-01T00:00:00Z"}}' >vuln.json

for key in p256 rsa ed25519 p384; do
  fresh "old-$key"
  old sign --key "$key.key" --tlog-upload=false "$image"
  record "old-$key"
done
fresh old-annotated
old sign --key p256.key --tlog-upload=false -a env=production -a build=77 "$image"
record old-annotated
fresh old-two-signers
old sign --key other.key --tlog-upload=false "$image"
old sign --key p256.key --tlog-upload=false "$image"
record old-two-signers
for key in p256 ed25519; do
  fresh "old-attest-$key"
  old attest --key "$key.key" --tlog-upload=false --type openvex --predicate vex.json "$image"
  record "old-attest-$key"
done
for key in p256 rsa; do
  fresh "new-$key"
  new sign --key "$key.key" --signing-config nolog.json --trusted-root noroot.json "$image"
  record "new-$key"
done
fresh new-annotated
new sign --key p256.key --signing-config nolog.json --trusted-root noroot.json -a env=production "$image"
record new-annotated
fresh new-attest-p256
new attest --key p256.key --signing-config nolog.json --trusted-root noroot.json --type vuln --predicate vuln.json "$image"
new attest --key p256.key --signing-config nolog.json --trusted-root noroot.json --type openvex --predicate vex.json "$image"
record new-attest-p256
fresh new-two-signers
new sign --key other.key --signing-config nolog.json --trusted-root noroot.json "$image"
new sign --key p256.key --signing-config nolog.json --trusted-root noroot.json "$image"
record new-two-signers
# Bytes, not a statement: what `sign-blob` makes of the image's manifest, attached by hand.
"$CRANE" manifest --insecure "$image" >subject.json
"$COSIGN_NEW" sign-blob --yes --key p256.key --signing-config nolog.json --trusted-root noroot.json --bundle blob.bundle subject.json >/dev/null 2>&1
jq -n --arg subject "$digest" --rawfile bundle blob.bundle \
  '{subject: $subject, bundles: [{manifest: ("sha256:" + "0" * 64), predicate_type: null, bundle: $bundle}], signatures: [], attestations: []}' >"$here/new-blob.json"

if [ -z "${SIGSTACK_FULCIO:-}" ]; then
  echo 'SIGSTACK_FULCIO is not set: signatures with logs and certificates are left as they are'
  exit 0
fi

# --- logs, certificates, timestamps -------------------------------------------------------------------------------

cp "$TRUSTED_ROOT" "$here/trusted_root.json"
# cosign 2.5 takes whom it trusts from these.
export SIGSTORE_ROOT_FILE=$FULCIO_CHAIN SIGSTORE_REKOR_PUBLIC_KEY=$REKOR_KEY SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=$CT_KEY
token() { curl -sf -X POST "$SIGSTACK_OIDC/$1/mint"; }
services=(--fulcio-url "$SIGSTACK_FULCIO" --rekor-url "$SIGSTACK_REKOR")

# Not Ed25519: Rekor wants its pre-hashed form there, which cosign does not make.
for key in p256 rsa; do
  fresh "old-$key-rekor1"
  old sign --key "$key.key" "${services[@]}" "$image"
  record "old-$key-rekor1"
done
fresh old-attest-p256-rekor1
old attest --key p256.key "${services[@]}" --type openvex --predicate vex.json "$image"
record old-attest-p256-rekor1
fresh old-attest-p256-tsa
old attest --key p256.key --tlog-upload=false --timestamp-server-url "$TSA" --type openvex --predicate vex.json "$image"
record old-attest-p256-tsa
fresh old-attest-alice-rekor1-tsa
old attest "${services[@]}" --timestamp-server-url "$TSA" --identity-token "$(token email)" --type openvex --predicate vex.json "$image"
record old-attest-alice-rekor1-tsa
fresh old-alice-rekor1
old sign "${services[@]}" --identity-token "$(token email)" "$image"
record old-alice-rekor1
fresh old-alice-rekor1-tsa
old sign "${services[@]}" --timestamp-server-url "$TSA" --identity-token "$(token email)" "$image"
record old-alice-rekor1-tsa
fresh old-alice-tsa
old sign "${services[@]}" --tlog-upload=false --timestamp-server-url "$TSA" --identity-token "$(token email)" "$image"
record old-alice-tsa
fresh old-attest-alice-rekor1
old attest "${services[@]}" --identity-token "$(token email)" --type openvex --predicate vex.json "$image"
record old-attest-alice-rekor1

for services in REKOR1 REKOR1_TSA REKOR2 TSA; do
  config=SIGNING_CONFIG_$services
  name=$(tr 'A-Z_' 'a-z-' <<<"$services")
  fresh "new-p256-$name"
  new sign --key p256.key --signing-config "${!config}" --trusted-root "$TRUSTED_ROOT" "$image"
  record "new-p256-$name"
  fresh "new-alice-$name"
  new sign --signing-config "${!config}" --trusted-root "$TRUSTED_ROOT" --identity-token "$(token email)" "$image"
  record "new-alice-$name"
done
jq 'del(.tsaUrls) | .tsaConfig = {}' "$SIGNING_CONFIG_REKOR2" >untimed.json
fresh new-p256-rekor2-untimed
new sign --key p256.key --signing-config untimed.json --trusted-root "$TRUSTED_ROOT" "$image"
record new-p256-rekor2-untimed
# RSA signs the same in the same way, and the log takes nothing twice: the second one says something else.
fresh new-rsa-rekor2
new sign --key rsa.key --signing-config "$SIGNING_CONFIG_REKOR2" --trusted-root "$TRUSTED_ROOT" "$image"
record new-rsa-rekor2
fresh new-rsa-rekor2-untimed
new sign --key rsa.key --signing-config untimed.json --trusted-root "$TRUSTED_ROOT" -a timed=no "$image"
record new-rsa-rekor2-untimed
fresh new-attest-alice-rekor2
new attest --signing-config "$SIGNING_CONFIG_REKOR2" --trusted-root "$TRUSTED_ROOT" --identity-token "$(token email)" \
  --type slsaprovenance1 --predicate <(echo '{"buildDefinition":{"buildType":"x"},"runDetails":{"builder":{"id":"y"}}}') "$image"
record new-attest-alice-rekor2
fresh new-github-rekor1
new sign --signing-config "$SIGNING_CONFIG_REKOR1" --trusted-root "$TRUSTED_ROOT" --identity-token "$(token github)" "$image"
record new-github-rekor1

# --- what no honest authority makes -------------------------------------------------------------------------------

# An authority that puts no promise of a certificate log into its certificates, and one that is past its time.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 7300 -subj '/O=careless/CN=careless root' 2>/dev/null
openssl x509 -in ca.pem -outform DER | base64 -w0 >"$here/careless.b64"
# leaf NAME START END: a certificate of the careless authority, and a bundle that it signed and that has a signed time.
leaf() {
  local name=$1
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout leaf.key -out leaf.csr -subj / 2>/dev/null
  cat >leaf.cnf <<CNF
[v]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = codeSigning
subjectAltName = critical, email:alice@example.com
1.3.6.1.4.1.57264.1.8 = ASN1:UTF8String:$SIGSTACK_OIDC/email
CNF
  mkdir -p ca && : >ca/index && echo 01 >ca/serial
  cat >ca.cnf <<CNF
[ca]
default_ca = c
[c]
new_certs_dir = ca
database = ca/index
serial = ca/serial
default_md = sha256
policy = p
[p]
CNF
  openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -extfile leaf.cnf -extensions v -in leaf.csr -out leaf.pem \
    -startdate "$2" -enddate "$3" -notext -subj / 2>/dev/null
  fresh "$name"
  printf '%s' '{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"'"${digest#sha256:}"'"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}' >payload
  { printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$(stat -c %s payload)"; cat payload; } >pae
  openssl dgst -sha256 -sign leaf.key -out signature pae
  openssl ts -query -data signature -sha256 -cert -out request.tsq 2>/dev/null
  curl -sf -H 'Content-Type: application/timestamp-query' --data-binary @request.tsq -o answer.tsr "$TSA"
  jq -n --arg cert "$(openssl x509 -in leaf.pem -outform DER | base64 -w0)" --arg payload "$(base64 -w0 payload)" \
    --arg signature "$(base64 -w0 signature)" --arg time "$(base64 -w0 answer.tsr)" '{
      mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
      verificationMaterial: {certificate: {rawBytes: $cert}, timestampVerificationData: {rfc3161Timestamps: [{signedTimestamp: $time}]}},
      dsseEnvelope: {payload: $payload, payloadType: "application/vnd.in-toto+json", signatures: [{sig: $signature}]}}' >bundle.json
  jq -n --arg subject "$digest" --rawfile bundle bundle.json \
    '{subject: $subject, bundles: [{manifest: ("sha256:" + "0" * 64), predicate_type: null, bundle: $bundle}], signatures: [], attestations: []}' >"$here/$name.json"
}
leaf careless-unlogged "$(date -u -d '1 hour ago' +%Y%m%d%H%M%SZ)" "$(date -u -d '10 years' +%Y%m%d%H%M%SZ)"
leaf careless-expired 20200101000000Z 20200101001000Z
