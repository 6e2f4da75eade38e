/* Those of some steps along an axis that lie inside a tensor, as [first, end). */
typedef struct {
    int first, end;
} Span;

/* The first step is at start, which may lie outside, and each further one so far behind it. */
static Span inside(int start, int step, int steps, int size) {
    Span span = {0, steps};
    while (span.first < span.end && start + span.first * step < 0)
        span.first++;
    while (span.first < span.end && start + (span.end - 1) * step >= size)
        span.end--;
    return span;
}
