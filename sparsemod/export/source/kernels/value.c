/* The weight that was found, of $bits bits as a two's complement. */
static inline int take_$bits(Reader *at) {
    const int sign = 1 << ($bits - 1);
    at->place++, at->found = 0;
    return (unpack(at->values, at->value++, $bits) ^ sign) - sign;
}
