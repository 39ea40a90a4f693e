// Banded temporal attention: softmax(q·k·scale + bias) v over the frames t-left … t+right of the same joint.
//
//   q, k, v, out  (B, T, J, H, Dh) float or bfloat16, any strides, unit last stride; the arithmetic is float
//   bias          (H, left + right + 1) float, bias[h, s - t + left]; null: none
//   visible       (B, T, J) bytes, 0 hides a key; null: all are visible
//   lengths       (B) int64, keys and queries from lengths[b] on do not exist; null: T
//   lse           (B, T, J, H) float, log2 of the sum of exponentials, -inf where a query has no key; null: not wanted
//
// What is hidden is never read into arithmetic. A query without any key gives 0. Results do not depend on `threads`.
#pragma once

#include <cstdint>

namespace olift {

struct Shape5 {
  int64_t batch, frames, joints, heads, width;
};

struct Strides4 {  // in elements; the last dimension has stride 1
  int64_t batch, frame, joint, head;
};

enum class Element { kFloat, kBFloat16 };

struct BandedForward {
  const void *q, *k, *v;
  void* out;
  float* lse;
  const float* bias;
  const uint8_t* visible;
  const int64_t* lengths;
  Shape5 shape;
  Strides4 q_strides, k_strides, v_strides, out_strides;
  int64_t visible_strides[3];
  int64_t left, right;
  float scale;
  Element element;
  int threads;
};

void banded_forward_baseline(const BandedForward&);
void banded_forward_avx2(const BandedForward&);
void banded_forward_avx512(const BandedForward&);

// The gradients of out's inputs from grad_out, with lse as the forward left it; grad_bias null: not wanted.
// Each key's gradient is gathered from the queries in its band: no atomics. grad_* are written everywhere, 0 where hidden.
struct BandedBackward {
  const void *q, *k, *v;
  const float* lse;
  const void* grad_out;
  void *grad_q, *grad_k, *grad_v;
  const float* bias;
  float* grad_bias;
  const uint8_t* visible;
  const int64_t* lengths;
  Shape5 shape;
  Strides4 q_strides, k_strides, v_strides, grad_out_strides, grad_q_strides, grad_k_strides, grad_v_strides;
  int64_t visible_strides[3];
  int64_t left, right;
  float scale;
  Element element;
  int threads;
};

void banded_backward_baseline(const BandedBackward&);
void banded_backward_avx2(const BandedBackward&);
void banded_backward_avx512(const BandedBackward&);

// One query for each batch entry, joint and head against keys and values in rings: frame s lies in slot s % slots of them.
//
//   q                 (B, q_slots, J, H, Dh) float or bfloat16, any strides, unit last stride; the query is frame frames[b]
//   k, v              (B, slots, J, H, Dh), the same
//   visible           (B, visible_slots, J) bytes, 0 hides a key; null: all are visible
//   frames, lengths   (B) int64; frames lengths[b] - slots … lengths[b] - 1 are held; a query that is none of 0 … lengths[b] - 1
//                     gives 0
//   out               (B, J, H, Dh), contiguous
struct BandedStep {
  const void *q, *k, *v;
  void* out;
  const float* bias;
  const uint8_t* visible;
  const int64_t *frames, *lengths;
  int64_t batch, joints, heads, width;
  int64_t q_slots, slots, visible_slots;
  Strides4 q_strides, k_strides, v_strides;
  int64_t visible_strides[3];
  int64_t left, right;
  float scale;
  Element element;
  int threads;
};

void banded_step_baseline(const BandedStep&);
void banded_step_avx2(const BandedStep&);
void banded_step_avx512(const BandedStep&);

}  // namespace olift
