# Writes 00000, 00001 and so on, a line each, until it is told to end: count.wat for a container.
trap 'exit 143' TERM
n=0
while :; do
    printf '%05d\n' "$n"
    n=$((n + 1))
    sleep 0.005
done
