/* Integers are the same on every processor. */
#define SAME(found, recorded) ((found) == (recorded))
#define AGREEING "identical"

