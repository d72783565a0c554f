# Writes what it reads, until the end of its stdin or until it is told to end: echo.wat for a container.
trap 'exit 143' TERM
exec 3<&0
cat <&3 &
wait
