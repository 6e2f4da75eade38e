/* Real numbers depend on the order of a sum and on the C library. */
#define TOLERANCE $tolerance
#define SAME(found, recorded) ((found) - (recorded) <= TOLERANCE && (recorded) - (found) <= TOLERANCE)
#define AGREEING "within the tolerance"

