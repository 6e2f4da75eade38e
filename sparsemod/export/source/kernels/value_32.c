/* The weight that was found, a float32. */
static inline float take_32(Reader *at) {
    at->place++, at->found = 0;
    return ((const NET_FLASH float *)at->values)[at->value++];
}
