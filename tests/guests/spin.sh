# Computes until it is told to end: spin.wat for a container.
trap 'exit 143' TERM
while :; do :; done
