# Writes "one", "two" and "three" to stdout, each line by itself: lines.wat for a container.
echo one
echo two
echo three
