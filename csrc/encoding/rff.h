// Random Fourier features of points, cos and sin of 2π x·B, and their product with a weight.
//
//   x        (N, C) float, contiguous             freqs  (C, F) float, contiguous, in turns per unit of x
//   weight   (D, 2F) float, contiguous, F columns for the cosines, then F for the sines; null: the features themselves
//   bias     (D) float; null: zeros               token  (D) float, what stands for a hidden point; null: zeros
//   visible  (N) bytes, 0 hides a point; null: all are visible
//   out      (N, D) float, contiguous; (N, 2F) and 0 at hidden points without a weight
//
// A hidden point is never read into arithmetic. Results do not depend on `threads`.
#pragma once

#include <cstdint>

namespace olift {

struct RffShape {
  int64_t points, coordinates, frequencies, width;  // N, C, F, D; D is not read without a weight
};

struct RffForward {
  const float *x, *freqs, *weight, *bias, *token;
  const uint8_t* visible;
  float* out;
  RffShape shape;
  int threads;
};

void rff_forward_baseline(const RffForward&);
void rff_forward_avx2(const RffForward&);
void rff_forward_avx512(const RffForward&);

// The gradients of out's inputs from grad_out, whose rows lie grad_stride apart; a null one is not wanted. The features are
// computed again. grad_x is 0 at hidden points, grad_token is the sum of grad_out there and every other sum leaves them out.
struct RffBackward {
  const float *x, *freqs, *weight, *grad_out;
  const uint8_t* visible;
  float *grad_x, *grad_freqs, *grad_weight, *grad_bias, *grad_token;
  RffShape shape;
  int64_t grad_stride;
  int threads;
};

void rff_backward_baseline(const RffBackward&);
void rff_backward_avx2(const RffBackward&);
void rff_backward_avx512(const RffBackward&);

}  // namespace olift
