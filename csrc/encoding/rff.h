// Random Fourier features of points, cos and sin of 2π x·B, and their product with a weight.
//
//   x        (N, C)      freqs  (C, F), in turns per unit of x
//   weight   (D, 2F), F columns for the cosines, then F for the sines; absent: the features themselves
//   bias     (D); absent: zeros               token  (D), what stands for a hidden point; absent: zeros
//   visible  (N), false hides a point; absent: all are visible
//   out      (N, D); (N, 2F) and 0 at hidden points without a weight
//
// A hidden point is never read into arithmetic. Results do not depend on `threads`.
#pragma once

#include "common/tensor.h"

namespace olift {

struct RffShape {
  int64_t points, coordinates, frequencies, width;  // N, C, F, and D or 2F
};

struct Rff {
  Array<const float> x, freqs, weight;
  Array<const bool> visible;
  int threads;
  RffShape shape;  // found by the binding
};

struct RffForward : Rff {
  Array<const float> bias, token;
  Array<float> out;
};

// The gradients of out's inputs from dout, whose rows may lie apart; an absent one is not wanted. The features are
// computed again. dx is 0 at hidden points, dtoken is the sum of dout there and every other sum leaves them
// out.
struct RffBackward : Rff {
  Strided<const float> dout;
  Array<float> dx, dfreqs, dweight, dbias, dtoken;
};

}  // namespace olift
