#!/usr/bin/env bash
# record-signatures.sh    makes the recorded signatures anew that the tests of reseal-sign read without any server:
#                         real cosigns sign and attest with a private Sigstore, and what the registry then holds is kept.
#
# All of them change: keys, logs and authorities are other ones each time. See crates/reseal-sign/tests/data.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

command -v jq >/dev/null || die "jq is missing"
env=$("$here/up.sh" sign)
# shellcheck source=/dev/null
source "$env"
# The recorder knows the names without the tests' prefix.
while read -r name; do
  declare -x "${name#RESEAL_IT_}=${!name}"
done < <(compgen -v RESEAL_IT_)
export CRANE=$RESEAL_IT_TOOLS/crane
exec "$here/../crates/reseal-sign/tests/data/record.sh"
