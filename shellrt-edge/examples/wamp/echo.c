/* A WAMP component in C: it offers a procedure that answers with its own arguments.
 *
 * It speaks the daemon's line protocol: one JSON object a line on stdin and on stdout. Compiled it is a
 * WebAssembly program of some kilobytes:
 *
 *     clang --target=wasm32-wasi -O2 -o echo.wasm echo.c
 *     shellrt-edged wamp -c wasm:./echo.wasm -u ws://127.0.0.1:8080/ws -r realm1
 *
 * The procedure is "org.example.echo"; its name is given by the extra {"procedure": "..."} too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of a member, as it stands in the line: its length goes to `length`. A member of an inner
 * object is found as well, which is enough for what the daemon writes. */
static const char *member(const char *line, const char *name, size_t *length)
{
    const char *at = strstr(line, name);
    if (!at)
        return NULL;
    at += strlen(name);
    const char *end = at;
    int depth = 0;
    for (int quoted = 0; *end; end++) {
        if (quoted) {
            if (*end == '\\' && end[1])
                end++;
            else if (*end == '"')
                quoted = 0;
        } else if (*end == '"') {
            quoted = 1;
        } else if (*end == '[' || *end == '{') {
            depth++;
        } else if (*end == ']' || *end == '}' || *end == ',') {
            if (depth == 0)
                break;
            if (*end != ',' && --depth == 0) {
                end++;
                break;
            }
        }
    }
    *length = end - at;
    return at;
}

int main(void)
{
    char *line = NULL;
    size_t room = 0, length;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (getline(&line, &room, stdin) > 0) {
        if (strstr(line, "\"op\":\"init\"")) {
            const char *name = member(line, "\"procedure\":", &length);
            if (!name) {
                name = "\"org.example.echo\"";
                length = strlen(name);
            }
            printf("{\"op\":\"register\",\"id\":1,\"procedure\":%.*s}\n", (int)length, name);
        } else if (strstr(line, "\"op\":\"reply\"")) {
            /* The procedure is registered. */
            puts("{\"op\":\"ready\"}");
        } else if (strstr(line, "\"op\":\"call\"")) {
            const char *id = member(line, "\"id\":", &length);
            printf("{\"op\":\"reply\",\"id\":%.*s", (int)length, id);
            const char *args = member(line, "\"args\":", &length);
            if (args)
                printf(",\"args\":%.*s", (int)length, args);
            puts("}");
        } else if (strstr(line, "\"op\":\"error\"")) {
            /* Somebody else has registered it. Without an id this answers "init". */
            fputs(line, stderr);
            puts("{\"op\":\"error\",\"message\":\"the procedure can't be registered\"}");
        } else if (strstr(line, "\"op\":\"stop\"")) {
            return 0;
        }
    }
    return 0;
}
