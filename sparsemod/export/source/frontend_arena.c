/* The front end works where the network does later: everywhere but in the input, which it writes. */
static union {
    int8_t bytes[NET_ARENA_SIZE];
    struct {
$before        Frontend frontend;
    } first;
} memory;
#define arena memory.bytes
