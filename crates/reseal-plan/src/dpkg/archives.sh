#!/bin/sh
# Called by apt with the packages that it is about to hand to dpkg: compares those that were in the shared cache before.
#
# apt itself looks at their sizes alone; what it has fetched in this run it has compared. A package that is not the one of
# its index is removed, and apt is stopped: the caller starts it once more.
set -euf

work=/run/reseal/work

set +f
files=" $(stat -c '%i %s %Y %n' -- /var/cache/apt/archives/*.deb 2>/dev/null |
    grep -x -F -f "$work/archives" | cut -d ' ' -f 4- | tr '\n' ' ')"
set -f

# The third version of what apt tells: settings, an empty line, and for each package its name, the old version with its
# architecture and multi-arch, a sign, the same of the new one, and the file.
sed '1,/^$/d' | while read -r name _ _ _ _ version architecture _ file; do
    case $files in
        *" $file "*) printf '%s %s %s %s\n' "$name" "$architecture" "$version" "$file" ;;
    esac
done >"$work/cached"
[ -s "$work/cached" ] || exit 0

# What the indexes say about these versions, as NAME ARCHITECTURE VERSION SHA256.
set --
while read -r name architecture version _; do
    case $architecture in all) ;; *) name=$name:$architecture ;; esac
    set -- "$@" "$name=$version"
done <"$work/cached"
{
    apt-cache show -- "$@" | grep -E '^(Package|Architecture|Version|SHA256): |^$' || :
    echo
} | while read -r key value; do
    case $key in
        Package:) name=$value ;;
        Architecture:) architecture=$value ;;
        Version:) version=$value ;;
        SHA256:) sum=$value ;;
        '')
            printf '%s %s %s %s\n' "${name-}" "${architecture-}" "${version-}" "${sum-}"
            name='' architecture='' version='' sum=''
            ;;
    esac
done >"$work/named"

while read -r name architecture version file; do
    sum=$(sha256sum <"$file")
    grep -q -x -F -- "$name $architecture $version ${sum%% *}" "$work/named" || {
        printf 'reseal: dropping a package that its index does not name: %s\n' "${file##*/}"
        rm -f -- "$file"
        : >"$work/dropped"
    }
done <"$work/cached"
[ ! -e "$work/dropped" ]
