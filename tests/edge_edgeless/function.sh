#!/bin/sh
# An EDGELESS function in a container, in nothing but a shell: what it is asked it answers itself, or, behind
# "ask ", has answered by somebody else; a cast goes on to "next". What it was started with goes to the log.

# What stands behind a name, up to what ends it.
member() {
    rest=${line#*\""$1"\":}
    [ "$rest" = "$line" ] || case $rest in
    '"'*) rest=${rest#?} && printf '%s' "${rest%%\"*}" ;;
    *) printf '%s' "${rest%%[,\}]*}" ;;
    esac
}

while read -r line; do
    data=$(member data)
    case $line in
    *'"op":"init"'*)
        printf '{"op":"log","level":"info","target":"shell","message":"%s"}\n' "$data"
        echo '{"op":"ready"}'
        ;;
    *'"op":"cast"'*) printf '{"op":"cast","to":"next","data":"%s"}\n' "$data" ;;
    *'"op":"call"'*)
        open=$(member id)
        case $data in
        die) exit 3 ;;
        "ask "*) printf '{"op":"call","id":"own","to":"next","data":"%s"}\n' "${data#ask }" ;;
        *) printf '{"op":"reply","id":%s,"data":"%s"}\n' "$open" "$data" ;;
        esac
        ;;
    *'"op":"reply"'*) printf '{"op":"reply","id":%s,"data":"%s"}\n' "$open" "$data" ;;
    *'"op":"stop"'*) exit 0 ;;
    esac
done
