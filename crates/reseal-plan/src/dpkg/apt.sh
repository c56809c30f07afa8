#!/bin/sh
# Upgrades packages with the image's own apt, once, without asking anything.
#
# usage: apt.sh report|all
#
# Everything that comes from outside lies in files under $in; no name is ever part of a command string.
# Exit codes tell the caller which step failed: 91 no apt, 92 indexes, 93 upgrade, 94 database left broken.
set -euf

in=/run/reseal/in
work=/run/reseal/work
lists=/var/lib/apt/lists
mode=$1

say() { printf 'reseal: %s\n' "$*"; }
stop() {
    code=$1
    shift
    say "$*"
    exit "$code"
}

command -v apt-get >/dev/null || stop 91 'the image has no apt-get'
mkdir -p "$work/conf.d" "$lists/partial" /var/cache/apt/archives/partial

# The image's settings count, but for those of container base images that throw caches away after every call, and for
# debconf's, which asks questions ahead of time: nobody is there to answer.
set +f
for file in /etc/apt/apt.conf.d/*; do
    case ${file##*/} in
        docker-clean | docker-gzip-indexes | docker-no-languages | 70debconf | '*') ;;
        *) cp "$file" "$work/conf.d/" ;;
    esac
done
set -f
cp "$in/apt.conf" "$work/conf.d/zz-reseal"
printf 'Dir::Etc::Parts "%s/conf.d";\n' "$work" >"$work/apt.conf"
export APT_CONFIG="$work/apt.conf"
# apt asks dpkg for the architectures at every start, and apt-key starts it eight times a repository: they are asked once.
if architectures=$(apt-config dump APT::Architectures); then
    printf '#clear APT::Architectures;\n%s\n' "$architectures" >>"$work/conf.d/zz-reseal"
fi

# The index cache is shared between images. A cached index counts only if the signed InRelease names its digest,
# so that no other image can have changed it. `apt-get update` checks the signature of InRelease itself each time.

# Tells which files the cached indexes are, by number, size and time.
identities() {
    set +f
    stat -c '%i %s %Y %n' -- "$lists"/*_Packages 2>/dev/null || :
    set -f
}

# Prints the digest of an index; one that is still the same file was read while apt asked for newer ones.
digest_of() {
    if grep -q -x -F -- "$(stat -c '%i %s %Y %n' -- "$1")" "$work/indexes"; then
        while read -r sum path; do
            [ "$path" != "$1" ] || {
                printf '%s\n' "$sum"
                return
            }
        done <"$work/digests"
    fi
    sum=$(sha256sum <"$1") || sum=unreadable
    printf '%s\n' "${sum%% *}"
}

check_indexes() {
    bad=0
    set +f
    for release in "$lists"/*_InRelease "$lists"/*_Release; do
        [ -e "$release" ] || continue
        # A repository that lists only packed indexes gives nothing to compare the unpacked ones with.
        grep -q '^ [0-9a-f]\{64\} .*Packages$' "$release" || continue
        prefix=${release%_*Release}
        for index in "$prefix"_*_Packages; do
            [ -e "$index" ] || continue
            # One line of the SHA256 section reads " digest size path"; only that section has 64 digits.
            if ! grep -q -- "^ $(digest_of "$index") " "$release"; then
                say "dropping an index that its release does not name: ${index##*/}"
                rm -f -- "$index"
                bad=1
            fi
        done
    done
    set -f
    return "$bad"
}

# The binary cache is built by the upgrade, once: built here it would be thrown away.
update() { apt-get -o pkgCacheFile::Generate=false update; }

say 'updating the package indexes'
identities >"$work/indexes"
set +f
sha256sum -- "$lists"/*_Packages >"$work/digests" 2>/dev/null &
reading=$!
set -f
if ! update; then
    # A cached file may be damaged: once more, from nothing.
    find "$lists" -mindepth 1 -delete
    update || stop 92 'could not update the package indexes'
fi
wait "$reading" || : # what it did not read is read when it is compared
if ! check_indexes; then
    update || stop 92 'could not update the package indexes'
    check_indexes || stop 92 'a package index does not match its signed release'
fi

# Lists what apt takes for installed automatically, as NAME:ARCHITECTURE, by its own file of marks.
automatic() {
    name='' architecture=''
    [ ! -e "$marks" ] || while read -r key value; do
        case $key in
            Package:) name=$value ;;
            Architecture:) architecture=$value ;;
            Auto-Installed:) [ "$value" != 1 ] || printf '%s:%s\n' "$name" "$architecture" ;;
        esac
    done <"$marks"
}

# To apt, whoever names a package wants it, and what it touches moves in its file of marks. The marks stay as they were,
# in their order; those of packages that are new come after them.
restore_marks() {
    automatic | sort -t : -k 1,1 -k 2,2 >"$work/automatic.after"
    new=$(grep -v -x -F -f "$work/automatic" "$work/automatic.after") || new=''
    if [ -e "$work/marks" ]; then
        cat "$work/marks" >"$marks"
    elif [ -n "$new" ]; then
        : >"$marks"
    else
        rm -f -- "$marks"
    fi
    [ -n "$new" ] || return 0
    while [ -n "$(tail -c 2 "$marks" | tr -d '\n')" ]; do
        echo >>"$marks"
    done
    for package in $new; do
        printf 'Package: %s\nArchitecture: %s\nAuto-Installed: 1\n\n' "${package%:*}" "${package##*:}" >>"$marks"
    done
}

say 'upgrading'
marks=/var/lib/apt/extended_states
automatic >"$work/automatic"
[ ! -e "$marks" ] || cp "$marks" "$work/marks"
case $mode in
    report)
        # shellcheck disable=SC2046 # one name a line, checked against the grammar; globbing is off
        set -- $(cat "$in/packages")
        apt-get install --only-upgrade --no-remove -- "$@" || stop 93 'could not upgrade the packages'
        ;;
    all)
        apt-get upgrade --with-new-pkgs --no-remove || stop 93 'could not upgrade the packages'
        ;;
    *) stop 93 "unknown mode $mode" ;;
esac
restore_marks

left=$(dpkg --audit) || stop 94 'dpkg --audit failed'
[ -z "$left" ] || stop 94 "packages are left half installed: $left"
say 'done'
