/* What a convolution or a pooling sees at once, each as {rows, columns}; padding is that above and to the left. */
typedef struct {
    int kernel[2], stride[2], padding[2], dilation[2];
} Window;
