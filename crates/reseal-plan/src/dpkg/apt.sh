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

# The cache of indexes is shared between images, and any of them may have left something there. `apt-get update` checks the
# signature of each release file, and what it fetches it compares with it; what lies there already it takes as it is. So
# an index that was there before counts only if its release names its digest, and no other kind of file stays.

# Removes what apt would use instead of an index, such as packed ones, and names that apt does not give.
clean_cache() {
    find "$lists" -mindepth 1 -maxdepth 1 \
        ! \( -type d -name partial \) \
        ! \( -type f ! -name '*[[:space:]]*' \
        \( -name lock -o -name '*_Packages' -o -name '*Release' -o -name '*_Release.gpg' \) \) \
        -exec rm -rf -- {} +
}

# Tells which files the indexes are, by number, size and time; nothing if there are none.
identities() {
    [ ! -e "$1" ] || stat -c '%i %s %Y %n' -- "$@"
}

# Lists the release files that may be an index's own, by their names.
releases_of() {
    for release in "$lists"/*Release; do
        case $1 in "${release%_*Release}"_*) printf '%s\n' "$release" ;; esac
    done
}

# Tells whether all of them name a cached index: apt has checked only those of the image's own sources.
is_named() {
    digest='' named=1
    while read -r sum path; do
        [ "$path" != "$1" ] || digest=$sum
    done <"$work/digests"
    [ -n "$digest" ] || return 1
    for release in $(releases_of "$1"); do
        # Lines of the list read " digest size path".
        tr / _ <"$release" | grep -- "^ $digest " | sed 's/.* //' |
            grep -q -x -F -- "${1#"${release%_*Release}"_}" || return 1
        named=0
    done
    return "$named"
}

# Drops cached indexes that are not named, with those release files.
check_indexes() {
    bad=0
    set +f
    for index in "$lists"/*_Packages; do
        [ -e "$index" ] || continue
        # One that has come since is apt's own.
        case $cached in *"|$(identities "$index")|"*) ;; *) continue ;; esac
        is_named "$index" || {
            say "dropping an index that its release does not name: ${index##*/}"
            # shellcheck disable=SC2046 # names without spaces
            rm -f -- "$index" $(releases_of "$index")
            bad=1
        }
    done
    set -f
    return "$bad"
}

# The binary cache is built by the upgrade, once: built here it would be thrown away.
update() { apt-get -o pkgCacheFile::Generate=false update; }

# Where no repository is named there is nothing to fetch and nothing newer: apt is content, and the image would look up to date.
grep -rqs '^[[:space:]]*deb[[:space:]]' /etc/apt/sources.list /etc/apt/sources.list.d ||
    [ -n "$(apt-get indextargets 'Created-By: Packages' 2>/dev/null)" ] ||
    stop 92 'the image names no package repository (/etc/apt/sources.list)'

say 'updating the package indexes'
clean_cache
set +f
cached="|$(identities "$lists"/*_Packages | tr '\n' '|')"
# Read while apt asks for newer ones.
sha256sum -- "$lists"/*_Packages >"$work/digests" 2>/dev/null &
reading=$!
set -f
if ! update; then
    # A cached file may be damaged: once more, from nothing.
    find "$lists" -mindepth 1 -delete
    update || stop 92 'could not update the package indexes'
fi
wait "$reading" || :
if ! check_indexes; then
    update || stop 92 'could not update the package indexes'
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

upgrade() {
    # What has the name of one of these is compared before dpkg sees it.
    set +f
    printf '%s\n' /var/cache/apt/archives/*.deb >"$work/archives"
    set -f
    case $mode in
        report)
            # shellcheck disable=SC2046 # one name a line, checked against the grammar; globbing is off
            apt-get install --only-upgrade --no-remove -- $(cat "$in/packages")
            ;;
        all) apt-get upgrade --with-new-pkgs --no-remove ;;
        *) stop 93 "unknown mode $mode" ;;
    esac
}

say 'upgrading'
marks=/var/lib/apt/extended_states
automatic >"$work/automatic"
[ ! -e "$marks" ] || cp "$marks" "$work/marks"
if ! upgrade; then
    # A cached package that was not the one of its index is gone, and dpkg has seen none: it is fetched now.
    [ -e "$work/dropped" ] || stop 93 'could not upgrade the packages'
    rm "$work/dropped"
    upgrade || stop 93 'could not upgrade the packages'
fi
restore_marks

left=$(dpkg --audit) || stop 94 'dpkg --audit failed'
[ -z "$left" ] || stop 94 "packages are left half installed: $left"
say 'done'
