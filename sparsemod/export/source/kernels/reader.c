/* A place in encoded weights: the next value, the next entry of the index, zeros before the next value, and whether
 * there is a value behind them. A copy of a Reader reads the same weights again. */
typedef struct {
    const NET_FLASH uint8_t *values, *index;
    uint32_t value, entry;
    int zeros, found;
} Reader;

/* Number of 1, 2, 4 or 8 bits at a position among its like; they fill each byte from its lowest bits. */
static inline int unpack(const NET_FLASH uint8_t *bytes, uint32_t position, int bits) {
    return bytes[position / (8 / bits)] >> position % (8 / bits) * bits & ((1 << bits) - 1);
}
