
void net_start(void) {
    frontend_start(&memory.first.frontend);
}

int net_push(const int16_t *samples, long count) {
    return frontend_push(&memory.first.frontend, samples, count, net_input());
}

void net_input_from_samples(const int16_t *samples) {
    net_start();
    net_push(samples, FRONTEND_SAMPLES);
}
