#!/bin/sh
# Word count in two stages, as a Disco worker that needs a POSIX shell and its tools; curl only for files of other nodes.
#
#     map     text -> the words of each partition with their counts; the partition's number is the label
#     reduce  the files of one label -> the words with their sums
#
# It speaks Worker Protocol 1.1: frames of `<name> <length> <payload as JSON>` go out on descriptor 2, replies come in
# on descriptor 0. Descriptors 1 and 2 are both the channel, so every tool writes elsewhere: descriptor 3 is the
# channel from here on, and what tools say goes to a file. The number of partitions is the job data of the pack. Files
# hold one line `<length> <word> <length> <count>` for each word, the oldest record format of Disco, sorted by the bytes
# of the words. Words must not hold zero bytes, which shells and awk do not know.

set -u
LC_ALL=C # lengths, order and blanks are those of bytes
export LC_ALL
folder=wordcount
work=$folder/task.$$
mkdir -p "$work" >/dev/null 2>&1
exec 3>&2 >/dev/null 2>"$work/log"
trap 'rm -rf "$work"' EXIT

# say NAME PAYLOAD: send a message
say() {
    printf '%s %d %s\n' "$1" "${#2}" "$2" >&3
}

# quote TEXT: print it as a JSON string
quote() {
    printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\000-\037\177' | sed 's/[\\"]/\\&/g; 1s/^/"/; $s/$/"/'
}

# end KIND TEXT: the task ends here. No reply follows: the master kills the worker.
end() {
    say "$1" "$(quote "$2")"
    exit 1
}

# ask NAME PAYLOAD: send a message; its reply is in $kind and $reply. Replies are ASCII without a newline inside.
ask() {
    say "$1" "$2"
    IFS=' ' read -r kind length reply || exit 1 # the master is gone
    [ "$length" = "${#reply}" ] || end FATAL "the reply $kind to $1 is no frame: its length is ${#reply}, not $length"
}

# expect WANTED NAME PAYLOAD: send a message that has one possible reply
expect() {
    ask "$2" "$3"
    [ "$kind" = "$1" ] || end FATAL "the master replied $kind to $2"
    [ "$kind" != OK ] || [ "$reply" = '"ok"' ] || end FATAL "the master replied OK to $2 with something else than ok"
}

# flatten: read JSON and print its leaves in order, one a line: path, tab, value. The path has a dot and a key or place
# for each level. Control characters inside strings become blanks, so that a value is one line.
flatten() {
    awk '
        function fail() { exit 1 }
        function skip() { while (substr(text, at, 1) ~ /[ \t]/) at++ }
        function escaped(   i, code) {
            for (i = 1; i <= 4; i++) code = code * 16 + index(hex, tolower(substr(text, at + i, 1))) - 1
            at += 4
            return code
        }
        function utf8(code) {
            if (code >= 55296 && code < 56320 && substr(text, at + 1, 2) == "\\u") {
                at += 2
                code = 65536 + (code - 55296) * 1024 + escaped() - 56320
            }
            if (code < 32) return " "
            if (code < 128) return sprintf("%c", code)
            if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
            if (code < 65536) return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
            return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
        }
        function string(   c, out) {
            at++
            while ((c = substr(text, at, 1)) != "\"") {
                if (c == "") fail()
                if (c == "\\") {
                    c = substr(text, ++at, 1)
                    if (c == "u") c = utf8(escaped())
                    else if (index("bfnrt", c)) c = " "
                }
                out = out c
                at++
            }
            at++
            return out
        }
        function value(path,   c, place, key, start) {
            skip()
            c = substr(text, at, 1)
            if (c == "\"") { print path "\t" string(); return }
            if (c == "[" || c == "{") {
                at++; skip()
                if (substr(text, at, 1) ~ /[]}]/) { at++; print path "\t"; return }
                for (place = 0; ; place++) {
                    skip()
                    key = place
                    if (c == "{") {
                        if (substr(text, at, 1) != "\"") fail()
                        key = string(); skip()
                        if (substr(text, at++, 1) != ":") fail()
                    }
                    value(path "." key); skip()
                    if (substr(text, at, 1) != ",") break
                    at++
                }
                if (substr(text, at++, 1) != (c == "[" ? "]" : "}")) fail()
                return
            }
            start = at
            while (substr(text, at, 1) ~ /[-+.0-9a-zA-Z]/) at++
            if (at == start) fail()
            print path "\t" substr(text, start, at - start)
        }
        BEGIN { hex = "0123456789abcdef" }
        { text = text $0 }
        END { at = 1; value(""); skip(); if (at <= length(text)) fail() }
    '
}

# field NAME: the value of a key of the TASK reply
field() {
    awk -F '\t' -v key=".$1" '$1 == key { print $2; found = 1 } END { exit !found }' "$work/task" ||
        end FATAL "the master's TASK has no $1"
}

# fetch_http URL FILE
fetch_http() {
    curl --silent --fail --noproxy '*' --max-time 60 --output "$2" "$1"
}

# fetch_from_node REST FILE: a file that a node keeps, `host/disco/path`: below the data directory, or served by it
fetch_from_node() {
    path=${1#*/disco/}
    host=${1%%/*}
    case $1 in
        */disco/?*) ;;
        *) return 1 ;;
    esac
    case /$path/ in
        */../*) return 1 ;;
    esac
    if [ -f "$data/$path" ]; then
        cat "$data/$path" >"$2"
    else
        fetch_http "http://${host%%:*}:$port/disco/$path" "$2"
    fi
}

# fetch URL LABEL FILE: write what a url leads to, for `dir://` the files of its index that have the label
fetch() {
    case $1 in
        dir://*)
            fetch_from_node "${1#dir://}" "$work/index" || return 1
            [ -z "$(tail -c 1 "$work/index")" ] || return 1 # cut off within a line
            : >"$3"
            while read -r line_label place size; do
                [ "$2" = all ] || [ "$2" = "$line_label" ] || continue
                fetch_from_node "${place#disco://}" "$work/part" || return 1
                [ "$(wc -c <"$work/part" | tr -d ' ')" = "$size" ] || return 1
                cat "$work/part" >>"$3" || return 1
            done <"$work/index"
            ;;
        disco://*) fetch_from_node "${1#disco://}" "$3" ;;
        http://*) fetch_http "$1" "$3" ;;
        raw://*) printf '%s' "${1#raw://}" >"$3" ;;
        file://*) cat "${1#file://}" >"$3" ;;
        *://*)
            echo "this worker does not know urls of this scheme" >&2
            return 1
            ;;
        *) cat "$1" >"$3" ;;
    esac
}

# read_input ID LABEL: write the input to $work/input under the first url that works. The urls are the lines `rid url`
# of $work/replicas; after each that fails the master says which are worth trying.
read_input() {
    failed=
    tried=
    while read -r rid url <"$work/replicas" && [ -n "$url" ]; do
        case ",$failed," in
            *",$rid,"*) break ;;
        esac
        fetch "$url" "$2" "$work/input" && return
        failed=$failed${failed:+,}$rid
        tried="$tried${tried:+, }$url ($(tail -n 1 "$work/log"))"
        ask INPUT_ERR "[$1,[$failed]]"
        [ "$kind" = RETRY ] || break
        printf '%s' "$reply" | flatten | awk -F '\t' '/^\.[0-9]+\.0\t/ { rid = $2 } /^\.[0-9]+\.1\t/ { print rid, $2 }' >"$work/replicas"
    done
    end ERROR "input $1 cannot be read: ${tried:-it has no url}"
}

# inputs FILTER: run the filter on each input; what it prints is collected in $work/words
inputs() {
    seen=
    state=more
    : >"$work/words"
    while [ "$state" = more ]; do
        expect INPUT INPUT "[\"exclude\",[$seen]]"
        printf '%s' "$reply" | flatten >"$work/rows" || end FATAL "the master's INPUT is not JSON"
        state=$(awk -F '\t' '$1 == ".0" { print $2 }' "$work/rows")
        case $state in
            more | done) ;;
            *) end FATAL "the master's INPUT is neither done nor more" ;;
        esac
        rows=$(awk -F '\t' '$1 ~ /^\.1\.[0-9]+\.0$/ { split($1, path, "."); print path[3] }' "$work/rows")
        for row in $rows; do
            id=$(awk -F '\t' -v key=".1.$row.0" '$1 == key { print $2 }' "$work/rows")
            label=$(awk -F '\t' -v key=".1.$row.2" '$1 == key { print $2 }' "$work/rows")
            awk -F '\t' -v head=".1.$row.3." '
                index($1, head) == 1 && $1 ~ /\.0$/ { rid = $2 }
                index($1, head) == 1 && $1 ~ /\.1$/ { print rid, $2 }
            ' "$work/rows" >"$work/replicas"
            read_input "$id" "$label"
            "$1" <"$work/input" >>"$work/words" || end FATAL "input $id has another form than expected"
            seen=$seen${seen:+,}$id
        done
    done
}

# words: one a line, with a count in front of it
words() {
    tr -s '\t\n\v\f\r ' '\n' | awk 'length($0) { count[$0]++ } END { for (word in count) printf "%d %s\n", count[word], word }'
}

# records: the same, of a file of records
records() {
    awk 'NF != 4 || length($2) != $1 { exit 1 } { print $4, $2 }'
}

# write_parts N: sum the words and write the records of each of N partitions to $work/part-<number>
write_parts() {
    awk '{ sum[$2] += $1 } END { for (word in sum) printf "%s %d\n", word, sum[word] }' "$work/words" >"$work/sums" &&
        sort -k 1,1 "$work/sums" >"$work/sorted" &&
        awk -v parts="$1" '
            BEGIN { for (i = 1; i < 256; i++) code[sprintf("%c", i)] = i }
            {
                total = 0
                for (i = length($1); i > 0; i--) total += code[substr($1, i, 1)]
                print total % parts, length($1), $1, length($2), $2
            }
        ' "$work/sorted" >"$work/numbered" &&
        sort -s -n -k 1,1 "$work/numbered" >"$work/parts" &&
        awk -v place="$work/part-" '
            part != place $1 { close(part); part = place $1 }
            { print $2, $3, $4, $5 > part }
        ' "$work/parts" || end ERROR "the words cannot be summed: $(tail -n 1 "$work/log")"
}

# output LABEL PART: the file appears whole or not at all, then it is reported
output() {
    [ -f "$work/part-$2" ] || return 0
    path=$folder/$stage-$taskid-$1
    [ ! -d "$path" ] && mv "$work/part-$2" "$path" || end ERROR "the output $path cannot be written: $(tail -n 1 "$work/log")"
    expect OK OUTPUT "[$1,$(quote "$path"),$(wc -c <"$path" | tr -d ' ')]"
}

expect OK WORKER "{\"version\":\"1.1\",\"pid\":$$}"
expect TASK TASK '""'
printf '%s' "$reply" | flatten >"$work/task" || end FATAL "the master's TASK is not JSON"
stage=$(field stage) && taskid=$(field taskid) && group=$(field group.0) && jobfile=$(field jobfile) &&
    data=$(field disco_data) && port=$(field disco_port) || exit 1

case $stage in
    map)
        # The fifth big-endian word of the pack says where the job data begins.
        start=$(od -A n -t u1 -j 16 -N 4 "$jobfile" | awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }')
        partitions=$(tail -c "+$((start + 1))" "$jobfile")
        case $partitions in
            '' | *[!0-9]* | ??????* | 0) end FATAL "the job data is not a number of partitions from 1 to 10000" ;;
        esac
        inputs words
        write_parts "$partitions"
        label=0
        while [ "$label" -lt "$partitions" ]; do
            output "$label" "$label"
            label=$((label + 1))
        done
        expect OK MSG "$(quote "$(awk '{ print $2 }' "$work/words" | sort -u | wc -l | tr -d ' ') different words")"
        ;;
    reduce)
        inputs records
        write_parts 1
        output "$group" 0
        ;;
    *) end FATAL "this worker has the stages map and reduce, not $stage" ;;
esac
rm -rf "$work" # nothing runs after DONE: the master kills the worker
say DONE '""'
