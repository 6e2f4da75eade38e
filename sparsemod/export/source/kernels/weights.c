/* Weights of a layer and its constants, one of each per output channel; bias may be 0 for none.
 * With a bitmap, weight holds only the weights that are not zero: bit i of the bitmap, counted from the lowest bit of
 * the first byte, says whether weight i is one of them. */
typedef struct {
    const int8_t *weight;
    const uint8_t *bitmap;
    const int32_t *bias, *multiplier;
    const int8_t *shift;
} Weights;
