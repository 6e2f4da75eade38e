/* Real numbers start at whole words. */
static union {
    int8_t bytes[NET_ARENA_SIZE];
    float words[NET_ARENA_SIZE / 4];
} memory;
#define arena memory.bytes
