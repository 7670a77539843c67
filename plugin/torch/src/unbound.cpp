// What of libtorch the backend uses and tch does not bind.
#include <ATen/Context.h>
#include <c10/core/InferenceMode.h>

// Of `blocks.cpp`: while there is a guard on a thread, what it takes is kept.
void underscore_count_guards(int change);

// libtorch rounds what a card multiplies in convolutions and recurrent layers to ten bits of mantissa (TF32) unless it is told not to. A
// model's test vector, and a stream that moves from a card to the processor, ask for float32.
extern "C" void underscore_multiply_exactly() {
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
}

// A guard is of the thread that makes it, and is given back on it.
extern "C" void* underscore_begin_inference() {
  underscore_count_guards(1);
  return new c10::InferenceMode(true);
}

extern "C" void underscore_end_inference(void* guard) {
  delete static_cast<c10::InferenceMode*>(guard);
  underscore_count_guards(-1);
}
