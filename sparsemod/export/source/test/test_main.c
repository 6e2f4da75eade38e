/* Runs the network on recorded inputs and compares each output with the recorded one. */
#include <stdio.h>

#include "net.h"
#include "vectors.h"

int main(void) {
    int identical = 0;
    for (int vector = 0; vector < VECTORS; vector++) {
        int wrong = 0;
        give(vector);
        net_invoke();
        for (long i = 0; i < NET_OUTPUT_SIZE; i++) {
            if (SAME(net_output()[i], outputs[vector][i]))
                continue;
            if (!wrong++)
                printf("vector %d, output %ld: " SHOWN ", recorded " SHOWN "\n", vector, i, net_output()[i],
                       outputs[vector][i]);
        }
        identical += !wrong;
    }
    printf("%d of %d vectors " AGREEING "\n", identical, VECTORS);
    return identical == VECTORS ? 0 : 1;
}
