// libtorch rounds what a card multiplies in convolutions and recurrent layers to ten bits of mantissa (TF32) unless it is told not to, and
// tch does not say so. A model's test vector, and a stream that moves from a card to the processor, ask for float32.
#include <ATen/Context.h>

extern "C" void underscore_multiply_exactly() {
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
}
