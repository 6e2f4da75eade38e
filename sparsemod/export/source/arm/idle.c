/* The smallest program around the network: it shows what of a part's memory is left. */
#include "net.h"

int main(void) {
    for (;;)
        net_invoke();
}
