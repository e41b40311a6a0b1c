# Sourced by the lanes: how a lane tells tests/run what came out.

passed=0 failed=0 left_out=()
# What cargo builds and tests.
read -ra scope <<<"${TEST_SCOPE:---workspace}"

# left_out_because REASON: something did not run.
left_out_because() {
    echo "left out: $1"
    left_out+=("$1")
}

# step NAME COMMAND…: a command that passes or fails as a whole.
step() {
    local name=$1
    shift
    echo "--- $name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $name"
    fi
}

# count_tests FILE: adds up the result lines of test programs in their output. An ignored test is
# one that was left out.
count_tests() {
    local ignored
    read -r p f ignored < <(
        tr -d '\r' <"$1" | sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored;.*/\1 \2 \3/p' |
            awk '{ p += $1; f += $2; i += $3 } END { print p + 0, f + 0, i + 0 }'
    )
    passed=$((passed + p)) failed=$((failed + f))
    [ "$f" = 0 ] || tell_why "$1" >>"${LANE_FAILURES:-/dev/stdout}"
    [ "$ignored" = 0 ] || left_out_because "$ignored ignored tests"
}

# tell_why FILE: of each test that failed, its name and the first lines of what it said: where all that was
# said is too long to be kept, this is what is needed of it.
tell_why() {
    tr -d '\r' <"$1" | awk '
        /^---- .* stdout ----$/ { left = 12 }
        /^stack backtrace:$/ { left = 0 }
        left && NF { print substr($0, 1, 400); left-- }
    '
}

# report: the last thing a lane does.
report() {
    {
        echo "$passed $failed"
        [ ${#left_out[@]} = 0 ] || printf '%s\n' "${left_out[@]}"
    } >"${LANE_RESULT:-/dev/stdout}"
    [ "$failed" = 0 ]
}
