/* Error function, within 1.5e-7 [Abramowitz1964, 7.1.26]; not every C library has one. */
static float error_function(float x) {
    const float t = 1 / (1 + 0.3275911f * (x < 0 ? -x : x));
    const float sum = (((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f;
    const float tail = sum * t * expf(-x * x);
    return x < 0 ? tail - 1 : 1 - tail;
}
