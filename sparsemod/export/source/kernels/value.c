/* Next value, of $bits bits as a two's complement. */
static inline int next_value_$bits(Reader *at) {
    const int sign = 1 << ($bits - 1);
    return (unpack(at->values, at->value++, $bits) ^ sign) - sign;
}
