/* Weights of a layer in real numbers; bias may be 0 for none. Values are float32 if there is no scale, and else
 * integers in the steps of each output channel; the index may be 0 for none. */
typedef struct {
    const NET_FLASH uint8_t *values, *index;
    const NET_FLASH float *scale, *bias;
} FloatWeights;
