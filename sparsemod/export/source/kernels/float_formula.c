static float function_$name(float x, const float *with) {
    (void)with;
    return $formula;
}
