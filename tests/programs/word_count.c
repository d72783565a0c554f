/* Counts the lines, words and bytes of files, as wc does: a C program for wasi-libc, by the book. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            failed = 1;
            continue;
        }
        long lines = 0, words = 0, bytes = 0;
        int c, inside = 0;
        while ((c = fgetc(file)) != EOF) {
            bytes++;
            lines += c == '\n';
            words += !inside && !isspace(c);
            inside = !isspace(c);
        }
        fclose(file);
        printf("%ld %ld %ld %s\n", lines, words, bytes, argv[i]);
    }
    const char *status = getenv("EXIT_WITH");
    return status ? atoi(status) : failed;
}
