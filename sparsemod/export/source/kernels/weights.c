/* Weights of a layer and its constants, one of each per output channel; bias may be 0 for none.
 * Either weight holds all weights, or values and index hold them encoded; the index may be 0 for none. */
typedef struct {
    const int8_t *weight;
    const uint8_t *values, *index;
    const int32_t *bias, *multiplier;
    const int8_t *shift;
} Weights;
