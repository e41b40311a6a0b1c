# Sourced by run: what a case leaves behind is told, and removed where it is surely its own, so that
# one case cannot spoil the next.

all_cgroups() {
    find /sys/fs/cgroup -mindepth 2 -type d 2>/dev/null | sort
}

# Directories among the hierarchies of cgroup v1 that are none. runc's tests make them for controllers
# that the kernel knows and the host has not mounted, and other runtimes then take them for cgroups.
false_hierarchies() {
    [ "$(stat -f -c %T /sys/fs/cgroup)" = tmpfs ] || return 0
    comm -23 <(find /sys/fs/cgroup -mindepth 1 -maxdepth 1 -type d | sort) <(awk '{ print $5 }' /proc/self/mountinfo | sort)
}

# Processes that a case started: its own programs have the marker in their environment; those of
# containers, whose environment is another, have their root directory below the work folder. Seeing a
# mount there is not enough: on a host where mounts propagate everyone does.
left_processes() {
    grep -lzs "^CONFORMANCE_WORK=$work\$" /proc/[0-9]*/environ | cut -d / -f 3
    grep -lsE "^[0-9]+ [0-9]+ [^ ]+ [^ ]*/${work##*/}/[^ ]* / " /proc/[0-9]*/mountinfo | cut -d / -f 3
}

# sweep CASE
sweep() {
    local processes="" cgroups mounts again
    # The kernel may need a moment for the last ones.
    for again in 1 2 3 4 5 6 7 8 9 10; do
        processes=$(left_processes | sort -un)
        [ -n "$processes" ] || break
        sleep 0.1
    done
    if [ -n "$processes" ]; then
        echo "left by $1: process" $(for pid in $processes; do tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c 1-60; echo "($pid)"; done 2>/dev/null)
        cgroups=$(for pid in $processes; do cgroups_of "$pid"; done | sort -u)
        thaw $cgroups
        kill -KILL $processes 2>/dev/null
        sleep 0.3
        rmdir $cgroups 2>/dev/null
    fi
    mounts=$(awk -v work="$work" 'index($5, work) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
    [ -z "$mounts" ] || { echo "left by $1: mount" $mounts && umount -l $mounts; }
    [ -z "$(ls -A "$work/state" 2>/dev/null)" ] || {
        echo "left by $1: state of" $(ls -A "$work/state")
        rm -rf "${work:?}/state"
    }
    comm -13 <(echo "$false_hierarchies_before") <(false_hierarchies) | xargs -r -d '\n' rm -rf --one-file-system
    find "$work/tmp" -mindepth 1 -delete 2>/dev/null
}

# The directories of a process's cgroups, but for those that everyone is in.
cgroups_of() {
    local id controllers path root
    while IFS=: read -r id controllers path; do
        [ "$path" != / ] && ! grep -qF ":$path" /proc/self/cgroup || continue
        for root in "/sys/fs/cgroup/${controllers#name=}" /sys/fs/cgroup/unified /sys/fs/cgroup; do
            [ ! -d "$root$path" ] || { echo "$root$path" && break; }
        done
    done <"/proc/$1/cgroup" 2>/dev/null
}

# What is frozen cannot die.
thaw() {
    local cgroup
    for cgroup in "$@"; do
        [ ! -e "$cgroup/freezer.state" ] || echo THAWED >"$cgroup/freezer.state"
        [ ! -e "$cgroup/cgroup.freeze" ] || echo 0 >"$cgroup/cgroup.freeze"
    done
}

# tell_cgroups BEFORE: those that came meanwhile. They bear no owner's name, so they are only told:
# others on this machine may have made them.
tell_cgroups() {
    local new
    new=$(comm -13 <(echo "$1") <(all_cgroups))
    [ -z "$new" ] || printf 'cgroups that were not there before:\n%s\n' "$new"
}

forget_work() {
    rm -rf --one-file-system "${work:?}"
}
