/* A component that does not do its part: it registers a procedure, says that it is ready unless it is started
 * with "never", and answers no call. Started with "deaf" it reads nothing more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    const char *how = count > 1 ? arguments[1] : "";
    char *line = NULL;
    size_t room = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (getline(&line, &room, stdin) > 0) {
        if (strstr(line, "\"op\":\"init\"")) {
            puts("{\"op\":\"register\",\"id\":1,\"procedure\":\"test.mute\"}");
        } else if (strstr(line, "\"op\":\"reply\"")) {
            if (strcmp(how, "never"))
                puts("{\"op\":\"ready\"}");
            while (!strcmp(how, "deaf"))
                sleep(1);
        } else if (strstr(line, "\"op\":\"stop\"")) {
            return 0;
        }
    }
    return 0;
}
