# Sourced by run: what came out of each case, against what the list has of it. A line of the list is
# `pass NAME`, `fail NAME` or `skip NAME`, with `  # REASON` behind it where there is one.

# By case: what the list says, its reason, and what came out now.
declare -A listed=() reasons=() result=()
newly=() lost=()

read_list() {
    local verdict name
    [ -e "$list" ] || return 0
    while read -r verdict name; do
        [[ $verdict == pass || $verdict == fail || $verdict == skip ]] || continue
        [[ $name != *"  # "* ]] || reasons[${name%%  # *}]=${name#*  # }
        listed[${name%%  # *}]=$verdict
    done <"$list"
}

# judge_case NAME VERDICT, where a verdict is a word and perhaps a reason behind it.
judge_case() {
    local name=$1 verdict=${2%% *} reason="" before
    [[ $2 != *" "* ]] || reason=${2#* }
    before=${listed[$name]:-}
    # What the list says does not apply may well fail.
    [ "$before $verdict" != "skip fail" ] || verdict=skip
    result[$name]=$verdict
    total[$verdict]=$((total[$verdict] + 1))
    if [ "$before" = pass ] && [ "$verdict" != pass ]; then
        lost+=("$name")
        echo "NO LONGER PASSES: $name (${reason:-$verdict}), see $log"
    elif [ "$before" != pass ] && [ "$verdict" = pass ]; then
        newly+=("$name")
        echo "newly passes: $name"
    elif [ "$verdict" = fail ]; then
        echo "fails, as the list says or as a case that is new to it: $name"
    fi
    # Why it does not apply is written by hand once; until then what the suite says will do.
    [ "$verdict" != skip ] || [ -n "${reasons[$name]:-}" ] || reasons[$name]=$reason
}

# A passing case that the suite no longer has is lost as well.
judge_absent() {
    local name
    for name in "${!listed[@]}"; do
        [ "${listed[$name]}" = pass ] && [ -z "${result[$name]:-}" ] || continue
        lost+=("$name")
        echo "NO LONGER IN THE SUITE: $name"
    done
}

# What passes is added; a case that is new to the list comes in with what it did.
write_list() {
    local name
    for name in "${!result[@]}"; do
        if [ "${result[$name]}" = pass ]; then
            listed[$name]=pass
            unset "reasons[$name]"
        elif [ -z "${listed[$name]:-}" ]; then
            listed[$name]=${result[$name]}
        fi
    done
    for name in "${!listed[@]}"; do
        echo "${listed[$name]} $name${reasons[$name]:+  # ${reasons[$name]}}"
    done | LC_ALL=C sort -k 2 >"$list.new" && mv "$list.new" "$list"
}

# The last word, and the exit status of the run.
tell_totals() {
    echo "$suite: ${total[pass]} pass, ${total[fail]} fail, ${total[skip]} do not apply;" \
        "${#newly[@]} newly pass, ${#lost[@]} lost${accept:+; $list is written}"
    [ ${#lost[@]} = 0 ]
}
