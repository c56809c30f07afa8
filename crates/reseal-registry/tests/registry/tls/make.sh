#!/bin/sh
# Makes the certificates of this folder anew. They are for tests on loopback only; their keys are no secret.
set -eu
cd "$(dirname "$0")"
for name in ca server client; do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$name.key"
done
openssl req -x509 -new -key ca.key -subj "/CN=reseal test authority" -days 36500 -out ca.pem \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
sign() {
    printf 'subjectAltName=IP:127.0.0.1,IP:0.0.0.0\nextendedKeyUsage=%s\n' "$2" >extensions
    openssl req -new -key "$1.key" -subj "/CN=reseal test $1" |
        openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 36500 -extfile extensions -out "$1.pem"
    rm extensions
}
sign server serverAuth
sign client clientAuth
rm ca.key ca.srl
