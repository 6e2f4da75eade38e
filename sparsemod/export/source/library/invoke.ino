// Runs the network once a second and prints what it gives. Put your sensor's values where the zero point stands:
// it stands for the real number 0, and net.h says how other numbers become integers.
#include <net.h>

void setup() {
    Serial.begin(115200);
}

void loop() {
    $type *input = net_input();
    for (long i = 0; i < NET_INPUT_SIZE; i++)
        input[i] = net_input_zero_point;
    const unsigned long start = micros();
    net_invoke();
    const unsigned long microseconds = micros() - start;
    for (long i = 0; i < NET_OUTPUT_SIZE; i++) {
        Serial.print((net_output()[i] - net_output_zero_point) * net_output_scale);
        Serial.print(' ');
    }
    Serial.print(microseconds);
    Serial.println(" us");
    delay(1000);
}
