#!/bin/sh
# A component in a container's shell: it answers with the name of its machine and what it was started with.
while read -r line; do
    case $line in
    *'"op":"init"'*)
        extra=${line#*\"extra\":}
        extra=${extra%\}}
        echo '{"op":"register","id":1,"procedure":"test.shell"}'
        ;;
    *'"op":"reply"'*) echo '{"op":"ready"}' ;;
    *'"op":"call"'*)
        id=${line#*\"id\":}
        id=${id%%[,\}]*}
        case $line in
        *'"args":["die"]'*) exit 3 ;;
        esac
        echo "{\"op\":\"reply\",\"id\":$id,\"args\":[[\"$(hostname)\",$extra]]}"
        ;;
    *'"op":"stop"'*) exit ;;
    esac
done
