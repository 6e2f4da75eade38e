/* Next value, of which only the sign is stored: 1, or -1 where its bit is set. */
static inline int next_value_1(Reader *at) {
    return 1 - 2 * unpack(at->values, at->value++, 1);
}
