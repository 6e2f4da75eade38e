
/* The input from raw samples: begin a clip, then give its samples as they come in, any number at a time, until net_push
 * returns 1. Then net_invoke may run, in the same memory, and the next clip begins anew. */
void net_start(void);
int net_push(const int16_t *samples, long count);

/* The same for a clip of FRONTEND_SAMPLES samples that is there as a whole. */
void net_input_from_samples(const int16_t *samples);
