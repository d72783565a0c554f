# Writes "tick" every 20 ms until it is told to end: ticks.wat for a container.
trap 'exit 143' TERM
while :; do
    echo tick
    sleep 0.02
done
