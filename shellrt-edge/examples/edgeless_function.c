/* An EDGELESS function with EDGELESS's own ABI: it does the same as the sample that is built into
 * `shellrt-edged edgeless`. There is no library behind it, not even C's.
 *
 *     clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -o function.wasm edgeless_function.c
 *     shellrt-edged edgeless --module ./function.wasm
 */

typedef unsigned int u32;
typedef unsigned char u8;

#define IMPORT(name) __attribute__((import_module("env"), import_name(#name))) name
#define EXPORT(name) __attribute__((export_name(#name))) name

void IMPORT(cast_raw_asm)(const u8 *node, const u8 *function, const char *data, u32 length);
void IMPORT(cast_asm)(const char *alias, u32 alias_length, const char *data, u32 length);
int IMPORT(call_raw_asm)(const u8 *node, const u8 *function, const char *data, u32 length,
                         char **out, u32 *out_length);
int IMPORT(call_asm)(const char *alias, u32 alias_length, const char *data, u32 length, char **out,
                     u32 *out_length);
void IMPORT(telemetry_log_asm)(u32 level, const char *target, u32 target_length, const char *text,
                               u32 length);
void IMPORT(delayed_cast_asm)(unsigned long long delay_ms, const char *alias, u32 alias_length,
                              const char *data, u32 length);
void IMPORT(sync_asm)(const char *state, u32 length);

/* The host asks for memory, uses it, and clears all of it before the next event. */
extern u8 __heap_base;
static u32 top;

void EXPORT(edgeless_mem_clear)(void) { top = 0; }

void EXPORT(edgeless_mem_free)(u8 *place, u32 length) {}

u8 *EXPORT(edgeless_mem_alloc)(u32 length) {
    u8 *place = &__heap_base + top;
    u32 rounded = (length + 7) & ~7u;
    top += rounded;
    u32 pages = ((u32)place + rounded + 65535) / 65536, there_are = __builtin_wasm_memory_size(0);
    if (rounded < length || (pages > there_are &&
                             __builtin_wasm_memory_grow(0, pages - there_are) == (u32)-1))
        __builtin_trap();
    return place;
}

/* A text that is being read, word by word. */
struct text {
    const char *at;
    u32 length;
};

static struct text word(struct text *rest) {
    struct text first = {rest->at, 0};
    while (first.length < rest->length && first.at[first.length] != ' ')
        first.length++;
    u32 taken = first.length + (first.length < rest->length);
    rest->at += taken;
    rest->length -= taken;
    return first;
}

static int is(struct text text, const char *name) {
    u32 i = 0;
    for (; i < text.length && name[i]; i++)
        if (text.at[i] != name[i])
            return 0;
    return i == text.length && !name[i];
}

static unsigned long long number(struct text text) {
    unsigned long long value = 0;
    for (u32 i = 0; i < text.length && text.at[i] >= '0' && text.at[i] <= '9'; i++)
        value = value * 10 + (text.at[i] - '0');
    return value;
}

/* An id is the 16 bytes of a UUID; as a text it has 32 digits, and hyphens between some. */
static void id(struct text text, u8 *bytes) {
    u32 digits = 0;
    for (u32 i = 0; i < text.length && digits < 32; i++) {
        u8 c = text.at[i];
        if (c == '-')
            continue;
        u8 digit = c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
        bytes[digits / 2] = bytes[digits / 2] << 4 | (digit & 15);
        digits++;
    }
}

void EXPORT(handle_init_asm)(const char *payload, u32 length, const char *state, u32 state_length) {}

void EXPORT(handle_cast_asm)(const u8 *node, const u8 *function, const char *data, u32 length) {
    struct text rest = {data, length}, command = word(&rest);
    if (is(command, "recast")) {
        struct text alias = word(&rest);
        cast_asm(alias.at, alias.length, rest.at, rest.length);
    } else if (is(command, "recast-raw")) {
        u8 to_node[16] = {0}, to_function[16] = {0};
        id(word(&rest), to_node);
        id(word(&rest), to_function);
        cast_raw_asm(to_node, to_function, rest.at, rest.length);
    } else if (is(command, "recast-delayed")) {
        struct text delay = word(&rest), alias = word(&rest);
        delayed_cast_asm(number(delay), alias.at, alias.length, rest.at, rest.length);
    } else if (is(command, "telemetry-log")) {
        struct text target = word(&rest);
        telemetry_log_asm(3 /* info */, target.at, target.length, rest.at, rest.length);
    } else if (is(command, "sync")) {
        sync_asm(rest.at, rest.length);
    } else {
        delayed_cast_asm(1000, "output", 6, data, length);
    }
}

/* 0: no reply, 1: a reply, anything else: an error. */
int EXPORT(handle_call_asm)(const u8 *node, const u8 *function, const char *data, u32 length,
                            const char **out, u32 *out_length) {
    struct text rest = {data, length}, command = word(&rest);
    if (is(command, "recall")) {
        struct text alias = word(&rest);
        return call_asm(alias.at, alias.length, rest.at, rest.length, (char **)out, out_length);
    }
    if (is(command, "recall-raw")) {
        u8 to_node[16] = {0}, to_function[16] = {0};
        id(word(&rest), to_node);
        id(word(&rest), to_function);
        return call_raw_asm(to_node, to_function, rest.at, rest.length, (char **)out, out_length);
    }
    if (is(command, "noret"))
        return 0;
    if (is(command, "err"))
        return 2;
    *out = data;
    *out_length = length;
    return 1;
}

void EXPORT(handle_stop_asm)(void) {}
