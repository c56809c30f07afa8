#!/bin/sh
# Configures packages that lie unpacked in the image, with the image's own dpkg.
#
# Exit codes tell the caller which step failed: 95 configuring, 94 database left broken.
set -euf

stop() {
    code=$1
    shift
    printf 'reseal: %s\n' "$*"
    exit "$code"
}

# Configuration files lie as they should already: dpkg has nothing to ask about.
dpkg --force-confdef --force-confold --configure --pending || stop 95 'could not configure the packages'

left=$(dpkg --audit) || stop 94 'dpkg --audit failed'
[ -z "$left" ] || stop 94 "packages are left half installed: $left"
