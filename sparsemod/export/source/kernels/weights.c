/* Weights of a layer and its constants, one of each per output channel; bias may be 0 for none.
 * Either weight holds all weights, or values and index hold them encoded; the index may be 0 for none. */
typedef struct {
    const NET_FLASH int8_t *weight;
    const NET_FLASH uint8_t *values, *index;
    const NET_FLASH int32_t *bias, *multiplier;
    const NET_FLASH int8_t *shift;
} Weights;
