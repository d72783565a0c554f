# Sleeps until it is told to end: forever.wat for a container.
trap 'exit 143' TERM
sleep 3600 &
wait
