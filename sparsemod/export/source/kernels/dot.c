/* Adds to the sums of up to four filters their products with the same inputs. Inputs lie step elements apart, filters
 * size weights. Each input is read once; where fewer filters are left than four, the last one fills the rest. */
KERNEL void dot(const int8_t *in, int step, int zero_point, const NET_FLASH int8_t *weight, int taps, int size,
                int32_t *sums, int left) {
    const NET_FLASH int8_t *first = weight, *second = left > 1 ? first + size : first;
    const NET_FLASH int8_t *third = left > 2 ? second + size : second, *fourth = left > 3 ? third + size : third;
    int32_t sum[4] = {0, 0, 0, 0};
    for (const NET_FLASH int8_t *end = first + taps; first < end; in += step) {
        const int value = *in - zero_point; /* up to 255, and weights to 127: 16 bits hold a product */
        sum[0] += *first++ * value;
        sum[1] += *second++ * value;
        sum[2] += *third++ * value;
        sum[3] += *fourth++ * value;
    }
    for (int k = 0; k < 4 && k < left; k++)
        sums[k] += sum[k];
}
