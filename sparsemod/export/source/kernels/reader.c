/* A place among the encoded weights of a layer, of which one filter is read, [from, end). A copy of a Reader reads the
 * same weights again. */
typedef struct {
    const NET_FLASH uint8_t *values, *index;
    uint32_t place, from, end; /* of weights */
    uint32_t value, entry;     /* the next ones of values and of the index */
    int found;                 /* whether the index has led to a value at this place */
} Reader;

/* Number of 1, 2, 4 or 8 bits at a position among its like; they fill each byte from its lowest bits. */
static inline int unpack(const NET_FLASH uint8_t *bytes, uint32_t position, int bits) {
    return bytes[position / (8 / bits)] >> position % (8 / bits) * bits & ((1 << bits) - 1);
}
