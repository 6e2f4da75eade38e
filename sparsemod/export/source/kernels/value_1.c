/* The weight that was found, of which only the sign is stored: 1, or -1 where its bit is set. */
static inline int take_1(Reader *at) {
    at->place++, at->found = 0;
    return 1 - 2 * unpack(at->values, at->value++, 1);
}
