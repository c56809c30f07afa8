#!/bin/sh
# Called by apt with the packages that it is about to hand to dpkg: compares those that were in the shared cache before.
#
# apt itself looks at their sizes alone; what it has fetched in this run it has compared. A package that is not the one of
# its index is removed, and apt is stopped: the caller starts it once more.
set -euf

work=/run/reseal/work

: >"$work/cached"
files=" $(tr '\n' ' ' <"$work/archives")"

# The third version of what apt tells: settings, an empty line, and for each package its name, the old version with its
# architecture and multi-arch, a sign, the same of the new one, and the file.
read -r first
[ "$first" = 'VERSION 3' ] || {
    printf 'reseal: this apt does not tell what it hands to dpkg: %s\n' "$first"
    exit 1
}
sed '1,/^$/d' | while read -r name _ _ _ _ version architecture _ file; do
    case $files in
        *" $file "*)
            printf '%s %s %s\n' "$name" "$architecture" "$version" >>"$work/cached"
            printf '%s\n' "$file"
            ;;
    esac
done >"$work/cached-files"
[ -s "$work/cached-files" ] || exit 0

# What the indexes say about these versions, as NAME ARCHITECTURE VERSION SHA256.
set --
while read -r name architecture version; do
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

set --
while read -r file; do set -- "$@" "$file"; done <"$work/cached-files"
sha256sum -- "$@" | cut -d ' ' -f 1 | paste -d ' ' "$work/cached" - >"$work/claimed"
[ "$(grep -c -x -F -f "$work/named" "$work/claimed")" != $# ] || exit 0
grep -n -v -x -F -f "$work/named" "$work/claimed" | cut -d : -f 1 | while read -r place; do
    file=$(sed -n "${place}p" "$work/cached-files")
    printf 'reseal: dropping a package that its index does not name: %s\n' "${file##*/}"
    rm -f -- "$file"
    : >"$work/dropped"
done
exit 1
